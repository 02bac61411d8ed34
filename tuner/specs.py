"""A study's spec as an object, parsed once a process; it never changes after submission (budgets are columns)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from sqlalchemy import Connection

from tuner.domain.errors import NotFoundError, WrongStateError
from tuner.domain.spec import StudySpec
from tuner.store import studies


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


def with_spec(connection: Connection, study_id: int) -> studies.StudyRow:
    """The row of a study that has a spec to show.

    Raises:
        NotFoundError: there is no such study, or it was made by an Optuna script.
    """
    row = studies.get(connection, study_id)
    if row.spec is None:
        raise NotFoundError(f"study {study_id} was made by an Optuna script and has no spec: see it in the dashboard")
    return row


@lru_cache(maxsize=512)
def _parse(text: str) -> StudySpec:
    return StudySpec.model_validate_json(text)
