"""Writes a trained model as a folder that MLflow loads without this project and without unpickling anything.

The folder is an MLflow pyfunc model from code: `exported_model.py`, a `torch.export` network that takes any number of
rows, the JSON of its preprocessing, an explicit signature, pinned requirements and a synthetic input example. Given all
that, MLflow has nothing to infer, which would start a process and take seconds.
"""

from __future__ import annotations

import json
import shutil
import warnings
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import torch
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

from trainers import (
    answers,
    export_labelled_series,
    export_language,
    export_recommender,
    export_sequence,
    preprocessing,
    subwords,
    token_ids,
)
from trainers.contract import Dataset, TrainResult
from trainers.data import pixels, waves
from trainers.data.info import DatasetInfo

MODEL_CODE = Path(__file__).with_name("exported_model.py")
TOKENISER, SUBWORDS = Path(token_ids.__file__), Path(subwords.__file__)
MEDIA_CODE = Path(__file__).with_name("exported_media.py")
DECODERS = {"image": Path(pixels.__file__), "audio": Path(waves.__file__)}
REQUIRED = ("mlflow", "numpy", "pandas", "torch")
DECODING = {"image": ("pillow",), "audio": ("scipy", "soundfile")}
FORMS = {
    "interactions": export_recommender,
    "series": export_sequence,
    "labelled-series": export_labelled_series,
    "language": export_language,
}
READY = {"interactions", "series", "language"}  # whose example is as the network takes it
RAW_TYPES = {
    ("number", ""): "double",
    ("number", "whole"): "double",
    ("category", "whole"): "double",
    ("boolean", "1/0"): "double",
    ("boolean", ""): "boolean",
    ("boolean", "true/false"): "boolean",  # so pandas reads these words
    ("date", ""): "datetime",
}


def save_model(result: TrainResult, folder: Path, dataset: Dataset | DatasetInfo) -> None:
    """Writes a result's model.

    Args:
        result: of a trainer.
        folder: where to; must not exist or be empty.
        dataset: what it was trained on; its name and digest are written into the model's metadata.

    Raises:
        ValueError: it is of a structured task, and its `answers` are of no use.
    """
    column = result.preprocessing.get("media", {}).get("column", "")
    with TemporaryDirectory() as scratch:
        network, facts = Path(scratch, "network.pt2"), Path(scratch, "preprocessing.json")
        _save_network(result, network)
        facts.write_text(json.dumps(result.preprocessing, allow_nan=False), encoding="utf-8")
        mlflow.pyfunc.save_model(
            path=folder,
            python_model=str(form.CODE if (form := _form(result)) else MEDIA_CODE if column else MODEL_CODE),
            artifacts={"network": str(network), "preprocessing": str(facts), **_code(result, Path(scratch))},
            signature=signature(result),
            input_example=_example(result),
            pip_requirements=requirements(*DECODING.get(column, ("tokenizers",) if _has_subwords(result) else ())),
            metadata={"dataset": dataset.name, "dataset_digest": dataset.digest, "task": dataset.task},
            # else a uv.lock and pyproject.toml of the current folder would be copied in
            uv_project_path=scratch,
        )


def warm_up() -> None:
    """Makes torch load its exporter, which takes seconds, before a trial has to wait for it."""
    torch.export.export(torch.nn.Identity(), (torch.zeros(2, 1),))


def signature(result: TrainResult) -> ModelSignature:
    """What the model takes and gives: named columns, a column of texts or of files, or a tensor of raw images.

    A column is of the type that reading the training file gives it: text where a number, a boolean or a date is written
    in a way of its own. One that had missing values is optional.
    """
    facts = result.preprocessing
    if form := _form(result):
        return form.signature(facts, _type)
    if facts["kind"] == "tabular":
        takes = Schema([ColSpec(_type(each), each["name"], required=not each["optional"]) for each in facts["columns"]])
    elif facts["kind"] == "text":
        takes = Schema([ColSpec("string", facts["feature_names"][0])])
    elif "media" in facts:
        takes = Schema([ColSpec("binary", facts["media"]["column"])])
    else:
        takes = Schema([TensorSpec(np.dtype(result.example.dtype), (-1, *facts["shape"]))])
    if facts["task"] == "structured":
        return ModelSignature(inputs=takes, outputs=Schema([ColSpec("string", "prediction")]))
    gives = facts["class_names"] or ["prediction"]
    # what `predict` is asked for: probabilities, or the class that a row is taken for
    asked = ParamSchema([ParamSpec("output", DataType.string, "probabilities")]) if facts["class_names"] else None
    return ModelSignature(inputs=takes, outputs=Schema([ColSpec("double", name) for name in gives]), params=asked)


def requirements(*more: str) -> list[str]:
    """The versions the model was made with; of torch without its build (`+cpu`), which no index serves."""
    return [f"{name}=={version(name).partition('+')[0]}" for name in (*REQUIRED, *more)]


def _form(result: TrainResult) -> Any:
    """The module that knows what the model of a kind of data, or a task, takes and gives; None: it is known here."""
    return FORMS.get(result.preprocessing["kind"]) or FORMS.get(result.preprocessing["task"])


def _has_subwords(result: TrainResult) -> bool:
    return subwords.TOKENIZER in result.preprocessing.get("text", {})


def _code(result: TrainResult, scratch: Path) -> dict[str, str]:
    """The code that a model runs beside its network: of files, texts or tables, and of a structured task the trainer's own."""
    code: dict[str, str] = {}
    if result.preprocessing["task"] == "structured":
        answers.load(result.answers)  # refused here, and not where the model is loaded
        code["answers"] = shutil.copy(
            str(result.answers), str(scratch / "answers.py")
        )  # by a name that no other file has
    if "media" in result.preprocessing:
        return code | {"decoder": str(DECODERS[result.preprocessing["media"]["column"]])}
    if result.preprocessing["kind"] == "text":
        return code | {"token_ids": str(SUBWORDS if _has_subwords(result) else TOKENISER)}
    return code | ({"tables": str(MODEL_CODE), **form.BESIDE} if (form := _form(result)) else {})


def _save_network(result: TrainResult, path: Path) -> None:
    # the example has at least two rows: torch.export takes a dimension of one for a constant; subwords are as many as a text has
    free = range(2 if _has_subwords(result) else 1)
    raw = result.example
    facts = result.preprocessing
    x = torch.from_numpy(raw if READY & {facts["kind"], facts["task"]} else preprocessing.apply(facts, raw))
    # loops within a network are traced by torch's compiler, which warns of gradients
    with warnings.catch_warnings(), torch.no_grad():
        # torch's own GRU keeps a list of its weights, which is made anew while it is traced
        warnings.filterwarnings("ignore", message="The tensor attributes .*_flat_weights")
        program = torch.export.export(
            result.network, (x,), dynamic_shapes=(dict.fromkeys(free, torch.export.Dim.DYNAMIC),)
        )
    program.example_inputs = None  # torch would pickle it beside the weights
    torch.export.save(program, path)


def _type(column: dict[str, Any]) -> str:
    """MLflow's type of a column; whole numbers that may be missing are doubles, as pandas reads them."""
    kind, form = column["kind"], column["format"]
    if form in {"whole", "1/0"} and not column["optional"]:
        return "long"
    return RAW_TYPES.get((kind, form), "string")


def _example(result: TrainResult) -> Any:
    """The synthetic rows as their owner would write them."""
    facts = result.preprocessing
    if form := _form(result):
        return form.example(facts, result.example, _raw)
    if facts["kind"] == "text":
        return pd.DataFrame({facts["feature_names"][0]: pd.Series(result.example, dtype="str")})
    if "media" in facts:
        return pd.DataFrame({facts["media"]["column"]: _files(facts["media"], result.example)})
    if facts["kind"] != "tabular":
        return result.example
    return pd.DataFrame({each["name"]: _raw(each, result.example[:, i]) for i, each in enumerate(facts["columns"])})


def _files(media: dict[str, Any], rows: np.ndarray) -> list[bytes]:
    """Synthetic rows as files."""
    if media["column"] == "image":
        return [pixels.encode(row) for row in rows]
    return [waves.encode(row, media["sample_rate"]) for row in rows]


def _raw(column: dict[str, Any], cells: np.ndarray) -> Any:
    """A synthetic column of `trainers.preprocessing.synthetic` in the type of the signature."""
    kind, form, given = column["kind"], column["format"], _type(column)
    if kind == "category":
        names = dict(zip(column["codes"], column["vocabulary"], strict=True))
        named = pd.Series([names.get(cell) for cell in cells.tolist()], dtype="str")
        return named if given == "string" else named.astype({"long": np.int64, "double": np.float64}[given])
    if kind == "date":
        times = pd.Series(pd.to_datetime(cells, unit="D").as_unit("us"))
        return times if given == "datetime" else times.dt.strftime("%Y-%m-%d" if form == "ISO8601" else form)
    if given == "string" and kind == "boolean":
        return pd.Series(np.where(cells == 1, *form.split("/")), dtype="str")
    if given == "string":  # a number in a format of its own
        written = pd.Series([f"{cell:.2f}" for cell in cells], dtype="str")
        return written.str.replace(".", ",", regex=False) if form == "1.234,50" else written
    return cells.astype({"long": np.int64, "double": np.float64, "boolean": bool}[given])
