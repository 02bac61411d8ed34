"""Studies for tests of final fits: trained on paper, up to the final fit and through it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, text

from tests import studying
from tests.auditor import audit
from tuner import attempts, views
from tuner.store.database import transaction
from tuner.wire import FinalOut, StudyOut
from tuner.wire_attempts import ClaimedAttempt, CompleteBody

SCORES = {"test/accuracy": 0.9, "test/accuracy_low": 0.8, "test/accuracy_high": 0.95, "baseline/accuracy": 0.3}


def claim(engine: Engine, **more: Any) -> list[ClaimedAttempt]:
    return studying.claim(engine, trainers=("tabular-mlp@1",), **more)


def train(engine: Engine, auc: float, best_step: int | None = 3) -> None:
    """Claims a trial and completes it."""
    (attempt,) = claim(engine)
    assert not attempt.is_final
    body = CompleteBody(metrics={"val/roc_auc": auc}, best_step=best_step)
    attempts.complete(engine, attempt.attempt_id, body)


def searched(engine: Engine, **changes: Any) -> int:
    """A study whose two trials are complete; number 1 is the better one."""
    study_id = studying.submit_trained(engine, **changes)
    train(engine, 0.7)
    train(engine, 0.8, best_step=4)
    return study_id


def shown(engine: Engine, study_id: int) -> StudyOut:
    audit(engine)
    with transaction(engine) as connection:
        return views.study(connection, study_id)


def final_of(engine: Engine, study_id: int) -> FinalOut:
    final = shown(engine, study_id).final
    assert final is not None
    return final


def hand_in(engine: Engine, attempt: ClaimedAttempt, **more: float) -> str:
    return attempts.complete(engine, attempt.attempt_id, CompleteBody(metrics=SCORES | more, best_step=4)).state


def lose(engine: Engine, attempt: ClaimedAttempt) -> None:
    """Its worker falls silent until the lease is over."""
    with transaction(engine) as connection:
        connection.execute(
            text("update tuner.attempts set lease_until = now() - interval '1 hour' where id = :id"),
            {"id": attempt.attempt_id},
        )
    assert attempts.expire(engine, attempt.attempt_id)
