"""`/studies/{id}/pause`, `resume`, `cancel`, `finalize`, `extend`, `retry`, and changes while it runs."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import Engine

from api.deps import EngineDep
from api.studies import IdempotencyKey, StudyId
from tuner import lifecycle, views
from tuner.store.database import transaction
from tuner.wire import StudyOut
from tuner.wire_lifecycle import ChangeBody, ExtendBody, Retried, RetryBody

router = APIRouter(prefix="/studies/{study_id}", tags=["studies"])


def _shown(engine: Engine, study_id: int) -> StudyOut:
    with transaction(engine) as connection:
        return views.study(connection, study_id)


@router.post("/pause", summary="Pause a study")
def pause(study_id: StudyId, engine: EngineDep) -> StudyOut:
    """Nothing new starts; whoever runs a trial of it gives it back, and `budget.hours` stands still."""
    lifecycle.pause(engine, study_id)
    return _shown(engine, study_id)


@router.post("/resume", summary="Let a paused study go on")
def resume(study_id: StudyId, engine: EngineDep) -> StudyOut:
    """Trials that were given back go on first."""
    lifecycle.resume(engine, study_id)
    return _shown(engine, study_id)


@router.post("/cancel", summary="Cancel a study")
def cancel(study_id: StudyId, engine: EngineDep) -> StudyOut:
    """Running trials are cancelled at once; their workers stop within one epoch, or after 10 seconds. It is final."""
    lifecycle.cancel(engine, study_id)
    return _shown(engine, study_id)


@router.post("/finalize", summary="Have a completed study's final model made")
def finalize(study_id: StudyId, engine: EngineDep) -> StudyOut:
    """The best configuration is fitted on training and validation part together, scored once on the test part, registered.

    Again it changes nothing, unless the last one failed or another trial is best since.
    """
    lifecycle.finalize(engine, study_id)
    return _shown(engine, study_id)


@router.post("/extend", summary="Add trials or hours to a study's budget")
def extend(study_id: StudyId, body: ExtendBody, engine: EngineDep, idempotency_key: IdempotencyKey = None) -> StudyOut:
    """A study that has ended goes on with all it has learnt; what had ended it counts anew. Not for a cancelled one.

    A target that was reached counts no more.
    """
    lifecycle.extend(engine, study_id, body, idempotency_key)
    return _shown(engine, study_id)


@router.post("/retry", summary="Try failed trials again")
def retry(study_id: StudyId, body: RetryBody, engine: EngineDep, idempotency_key: IdempotencyKey = None) -> Retried:
    """Each becomes a new trial with the same parameters, and the budget grows by one for each; `{}` means all of them."""
    numbers = lifecycle.retry(engine, study_id, body.trials, idempotency_key)
    return Retried(study=_shown(engine, study_id), numbers=numbers)


@router.patch("", summary="Change a study's priority or parallelism")
def change(study_id: StudyId, body: ChangeBody, engine: EngineDep) -> StudyOut:
    """From the next claim on; what runs goes on running."""
    lifecycle.change(engine, study_id, body)
    return _shown(engine, study_id)
