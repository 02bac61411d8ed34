"""What a user does with studies: submit, dry-run, enqueue, delete.

Owns these use cases, each one transaction. Pausing, extending and the like are in `tuner.lifecycle`; how studies are shown
is in `tuner.views`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine

from trainers.data.info import TIME, DatasetInfo, of_role
from tuner import datasets, idempotency, past, specs
from tuner.datasets import Shelf
from tuner.domain.errors import FieldError, InvalidError, WrongStateError
from tuner.domain.space import Scalar
from tuner.domain.spec import StudySpec
from tuner.domain.states import ENDED, Move, StudyState, moved
from tuner.points import check_points
from tuner.resolve import Resolved, resolve
from tuner.store import notify, studies, trials, workers
from tuner.store.database import transaction
from tuner.wire import HistoryTrialBody, ResolvedStudy

FIXED_PARAMS = "fixed_params"  # Optuna's own name for an enqueued point


def submit(engine: Engine, spec: StudySpec, idempotency_key: str | None = None, *, shelf: Shelf | None = None) -> int:
    """Stores a study and queues it; returns its id.

    The same key with the same body gives the same study, however often and however concurrently it is sent.

    Args:
        engine: to our tables.
        spec: as submitted.
        idempotency_key: chosen by whoever sends it.
        shelf: the files of data sets, which only a study needs that splits by a column.

    Raises:
        InvalidError: the study does not make sense.
        NameTakenError: another study has the name.
        IdempotencyMismatchError: the key came with another body before.
    """
    digest = idempotency.digest_of(spec.model_dump_json())
    with transaction(engine) as connection:  # a repeated request asks nothing of the data set, which may be gone by now
        known = _known(connection, idempotency_key, digest)
    if known is not None:
        return known
    spec, sizes = _split_by_column(engine, spec, shelf)
    with transaction(engine) as connection:
        known = _known(connection, idempotency_key, digest)
        if known is not None:
            return known
        study_id = _insert(connection, _resolved(connection, spec, sizes), n_past=0)
        if idempotency_key is not None:
            studies.remember_key(connection, idempotency_key, digest, study_id)
    notify.work(engine)
    return study_id


def _known(connection: Connection, idempotency_key: str | None, digest: str) -> int | None:
    """The study that an earlier request of this key has made."""
    found = None if idempotency_key is None else idempotency.known(connection, idempotency_key, digest)
    return None if found is None else int(found.study_id)


def dry_run(engine: Engine, spec: StudySpec, *, shelf: Shelf | None = None) -> ResolvedStudy:
    """The study as it would be stored, with an estimate of its time.

    Raises:
        InvalidError: the study does not make sense.
    """
    spec, sizes = _split_by_column(engine, spec, shelf)
    with transaction(engine) as connection:
        resolved = _resolved(connection, spec, sizes)
        trial_s = trials.typical_duration_s(connection, resolved.trainer, resolved.spec.dataset or "")
        slots = workers.live_slots(connection)
    n_trials = resolved.spec.budget.trials
    at_once = min(slots, resolved.spec.budget.max_parallel or slots)
    estimate_s = trial_s * n_trials / at_once if trial_s is not None and n_trials is not None and at_once else None
    return ResolvedStudy(spec=resolved.spec, facts=resolved.facts, estimate_s=estimate_s)


def submit_with_history(
    engine: Engine, spec: StudySpec, history: Sequence[HistoryTrialBody], *, shelf: Shelf | None = None
) -> tuple[int, int]:
    """Stores a study whose first trials are those of another; returns its id and how many trials it took over.

    The sampler learns from them, and they count for the best; the budget is for new trials alone.

    Raises:
        InvalidError: the study does not make sense, or no trial of the history fits it.
        NameTakenError: another study has the name.
    """
    spec, sizes = _split_by_column(engine, spec, shelf)
    with transaction(engine) as connection:
        resolved = _resolved(connection, spec, sizes)
    taken = past.fitting(resolved.spec, history)
    if not taken:
        detail = "no complete or pruned trial lies in the search space: widen it, or import from another study"
        raise InvalidError([FieldError("/history", detail)])
    with transaction(engine) as connection:
        study_id = _insert(connection, resolved, n_past=len(taken))
        past.store(connection, study_id, resolved.spec, taken)
    notify.work(engine)
    return study_id, len(taken)


def _resolved(connection: Connection, spec: StudySpec, sizes: dict[str, Any] | None) -> Resolved:
    return resolve(spec, None if spec.is_external else datasets.find(connection, spec.dataset), sizes)


def _split_by_column(engine: Engine, spec: StudySpec, shelf: Shelf | None) -> tuple[StudySpec, dict[str, Any] | None]:
    """The sizes of a study's parts if it splits by a column; it then names the version that was read.

    Reading takes seconds, hence in no transaction.
    """
    if spec.is_external:
        return spec, None
    with transaction(engine) as connection:
        found = datasets.find(connection, spec.dataset)
    spec = _in_time(spec, found.info)
    if spec.evaluation.by is None:
        return spec, None
    assert shelf is not None
    return spec.model_copy(update={"dataset": found.info.name}), shelf.split_sizes(found, spec.evaluation)


def _in_time(spec: StudySpec, info: DatasetInfo) -> StudySpec:
    """Series are split by their time, where the study does not say by what."""
    if info.kind != "series" or info.parts is not None or spec.evaluation.by is not None:
        return spec
    (time,) = of_role(info.columns, TIME)
    evaluation = spec.evaluation.model_copy(update={"time": info.columns[time].name})
    return spec.model_copy(update={"evaluation": evaluation})


def _insert(connection: Connection, resolved: Resolved, *, n_past: int) -> int:
    """Inserts the study and its enqueued points, which come after `n_past` trials of a history."""
    spec = resolved.spec
    points = spec.enqueue or []
    study_id = studies.create(
        connection,
        {
            "name": spec.name,
            "spec": spec.model_dump_json(),
            "facts": json.dumps(resolved.facts),
            "trainer": resolved.trainer,
            "dataset_id": resolved.dataset_id,
            "directions": [str(objective.direction) for objective in spec.objectives or []],
            "state": StudyState.QUEUED,
            "priority": spec.priority,
            "budget_trials": None if spec.budget.trials is None else spec.budget.trials + n_past,
            "budget_hours": spec.budget.hours,
            "max_parallel": spec.budget.max_parallel,
            "n_created": n_past + len(points),
        },
    )
    for number, point in enumerate(points, start=n_past):
        trials.create(connection, study_id, number, {FIXED_PARAMS: point})
    return study_id


def enqueue(engine: Engine, study_id: int, points: list[dict[str, Scalar]]) -> list[int]:
    """Adds points to try next; each becomes a trial of its own within the budget. Returns the trials' numbers.

    Raises:
        InvalidError: a point does not lie in the search space, or the budget has no room.
        WrongStateError: the study takes no new trials.
    """
    with transaction(engine) as connection:
        numbers = add_points(connection, study_id, points)
    notify.work(engine)
    return numbers


def add_points(connection: Connection, study_id: int, points: list[dict[str, Scalar]]) -> list[int]:
    """The same within a transaction; nobody is told that there is work."""
    study = studies.lock(connection, study_id)
    spec = specs.require(study)
    moved(study.name, study.state, Move.ENQUEUE)
    check_points(spec, points, "/points")
    room = None if study.budget_trials is None else study.budget_trials - study.n_created
    if room is not None and len(points) > room:
        detail = f"the budget has room for {room} more trials, and these are {len(points)}: send fewer"
        raise InvalidError([FieldError("/points", detail)])
    numbers = list(range(study.n_created, study.n_created + len(points)))
    for number, point in zip(numbers, points, strict=True):
        trials.create(connection, study_id, number, {FIXED_PARAMS: point})
    studies.change(connection, study_id, n_created=study.n_created + len(points))
    return numbers


def delete(engine: Engine, study_id: int) -> None:
    """Removes a study that has ended, its trials, its experiment and its artifacts.

    Raises:
        NotFoundError: there is no such study.
        WrongStateError: it has not ended.
    """
    with transaction(engine) as connection:
        study = studies.lock(connection, study_id)
        if study.state not in ENDED and study.spec is not None:
            raise WrongStateError(f"study {study_id} is {study.state}: cancel it first (`tuner cancel {study.name}`)")
        studies.remove(connection, study)
