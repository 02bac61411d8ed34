"""A study's spec as an object, parsed once a process; it never changes after submission (budgets are columns)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tuner.domain.errors import WrongStateError
from tuner.domain.spec import StudySpec


def of(study: Any) -> StudySpec:
    """The spec of a study's row."""
    return _parse(study.spec)


def require(study: Any) -> StudySpec:
    """The same, of a row that may have none.

    Raises:
        WrongStateError: the study was made by an Optuna script.
    """
    if study.spec is None:
        raise WrongStateError(f"study {study.id} was made by an Optuna script and is run by it: nothing is queued here")
    return of(study)


@lru_cache(maxsize=512)
def _parse(text: str) -> StudySpec:
    return StudySpec.model_validate_json(text)
