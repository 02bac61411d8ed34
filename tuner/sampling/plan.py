"""What sampling needs of a study and what never changes of it: its spec, worked out once per process.

Owns the cache of plans, so that most reports of a study without a pruner, and most asks, read no study row.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache

from optuna.study import StudyDirection
from sqlalchemy import Connection, Engine

from tuner.domain.errors import WrongStateError
from tuner.domain.spec import StudySpec
from tuner.sampling import frozen
from tuner.sampling.distributions import Space
from tuner.store import studies

MAX_PLANS = 512

PlanKey = tuple[Engine, int]  # the database and the study's id, which it never uses twice


@dataclass(frozen=True)
class Plan:
    """A study as its sampler and pruner see it.

    Attributes:
        key: names the study in the caches of this process.
        max_resource: the last step that a pruner can see; None where the spec does not tell.
    """

    key: PlanKey
    study_id: int
    name: str
    directions: list[StudyDirection]
    spec: StudySpec
    space: Space
    max_resource: int | None


_plans: OrderedDict[PlanKey, Plan] = OrderedDict()
_lock = threading.Lock()


def of(connection: Connection, study_id: int) -> Plan:
    """The study's plan; read from the database once.

    Raises:
        NotFoundError: there is no such study.
        WrongStateError: it was made through Optuna's storage and has no spec.
    """
    key = (connection.engine, study_id)
    with _lock:
        plan = _plans.get(key)
        if plan is not None:
            _plans.move_to_end(key)
            return plan
    plan = _read(connection, key, study_id)
    with _lock:
        _plans[key] = plan
        while len(_plans) > MAX_PLANS:
            _plans.popitem(last=False)
    return plan


def forget(key: PlanKey) -> None:
    """Drops the plan of a study that is gone."""
    with _lock:
        _plans.pop(key, None)


def _read(connection: Connection, key: PlanKey, study_id: int) -> Plan:
    row = studies.get(connection, study_id)
    if row.spec is None:
        raise WrongStateError(
            f"study {study_id} was made through Optuna's storage: only Optuna itself can sample for it"
        )
    spec, space = _worked_out(row.spec)
    return Plan(
        key=key,
        study_id=study_id,
        name=row.name,
        directions=frozen.directions(row.directions),
        spec=spec,
        space=space,
        max_resource=last_step(spec),
    )


@lru_cache(maxsize=128)
def _worked_out(spec_text: str) -> tuple[StudySpec, Space]:
    spec = StudySpec.model_validate_json(spec_text)
    assert spec.search_space is not None, "a resolved spec has its search space"
    return spec, Space(spec.search_space)


def last_step(spec: StudySpec) -> int | None:
    """The pruner's step after which a trial is done, where the spec tells."""
    if spec.evaluation.rounds > 1:
        return spec.evaluation.rounds
    epochs = spec.fixed.get("epochs")
    return epochs if isinstance(epochs, int) and not isinstance(epochs, bool) else None
