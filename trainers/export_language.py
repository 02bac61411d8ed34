"""What MLflow is told of an exported language model: its code, what it takes and gives, and an example of nobody's.

Owns the words; `trainers.export` writes the folder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from trainers import text_preprocessing

CODE = Path(__file__).with_name("exported_language.py")
GIVES = Schema([ColSpec("long", "tokens"), ColSpec("double", "log_likelihood"), ColSpec("double", "perplexity")])


def signature(facts: dict[str, Any], _type_of: Callable[[dict[str, Any]], str]) -> ModelSignature:
    """The column of texts; of each text how likely it is, or where asked for how it goes on.

    Args:
        facts: the preprocessing of `trainers.passages`.
    """
    asked = [ParamSpec("output", DataType.string, "likelihood"), ParamSpec("tokens", DataType.long, 20)]
    return ModelSignature(
        inputs=Schema([ColSpec("string", facts["feature_names"][0])]), outputs=GIVES, params=ParamSchema(asked)
    )


def example(facts: dict[str, Any], x: np.ndarray, _raw: Callable[[dict[str, Any], np.ndarray], Any]) -> pd.DataFrame:
    """Texts that were there before any data.

    Args:
        facts: the preprocessing of `trainers.passages`.
        x: the example of the network, as many rows.
    """
    return pd.DataFrame({facts["feature_names"][0]: pd.Series(text_preprocessing.synthetic(len(x)), dtype="str")})
