"""The duty of publishing: one pass over everything that MLflow does not show yet.

Owns fairness, retries and what one pass does at most. Safe to run twice at once: each study is locked.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from tuner.store import publishing
from tuner.store.database import transaction
from tuner.tracking import discards, draw
from tuner.tracking.publish import publish_study
from tuner.tracking.rest import MlflowDownError, MlflowRefusedError
from tuner.tracking.trials import Target, publish_statuses

log = structlog.get_logger()

STUDIES = 32  # in one pass
TRIALS = 64  # finished ones in one pass, shared by its studies; 0.1 s each
DISCARDS = 20
FIGURES = 2  # trials; drawing takes 0.1 to 0.3 s each
DRAW_EVERY_S = 5.0  # while trials keep coming: early ones are soon among the ten best no more
FIRST_RETRY_S = 1.0
LAST_RETRY_S = 300.0


@dataclass(frozen=True)
class Counts:
    """What one pass did.

    Attributes:
        trials: finished ones published whole.
        reports: published.
        figures: trials whose figures were drawn.
        discarded: experiments and folders removed.
        failures: studies and trials that failed, to be tried again later.
        behind: something waits still, so the next pass should come soon.
    """

    trials: int = 0
    reports: int = 0
    figures: int = 0
    discarded: int = 0
    failures: int = 0
    behind: bool = False

    @property
    def did_something(self) -> bool:
        return bool(self.trials or self.reports or self.figures or self.discarded)


@dataclass
class Memory:
    """What a process remembers from pass to pass; without it nothing goes wrong, but failures are tried at once again.

    Attributes:
        last_study: the round of studies goes on after it.
        to_draw: studies whose ten best trials may be without figures.
        drew_s: when figures were drawn last, by the monotonic clock.
        studies: those that failed: how often, and until when they rest.
        trials: the same of trials.
    """

    last_study: int = 0
    to_draw: set[int] = field(default_factory=set)
    drew_s: float = -DRAW_EVERY_S
    studies: dict[int, tuple[int, float]] = field(default_factory=dict)
    trials: dict[int, tuple[int, float]] = field(default_factory=dict)


def run_once(engine: Engine, target: Target, memory: Memory) -> Counts:
    """One pass; MLflow being down is told in the answer, not raised."""
    counts = Counts()
    try:
        with publishing.holding(engine) as holder:
            counts = _publish(engine, target, holder, memory)
            publish_statuses(engine, target, holder)
        counts = replace(counts, discarded=discards.remove(engine, target.mlflow, target.store, limit=DISCARDS))
        at_leisure = not counts.behind and not counts.trials
        may_draw = at_leisure or time.monotonic() - memory.drew_s >= DRAW_EVERY_S
        best_of = memory.to_draw if may_draw else set()
        drawn = draw.draw_due(engine, target, best_of=best_of, limit=FIGURES, at_leisure=at_leisure)
        if drawn:
            memory.drew_s = time.monotonic()
        if may_draw and drawn < FIGURES:
            memory.to_draw.clear()
        counts = replace(counts, figures=drawn, behind=counts.behind or drawn == FIGURES)
    except (MlflowDownError, MlflowRefusedError, OperationalError) as error:
        log.warning("publishing stopped", error=str(error)[:500])
        counts = replace(counts, failures=counts.failures + 1, behind=True)
    return counts


def _publish(engine: Engine, target: Target, holder: publishing.Holder, memory: Memory) -> Counts:
    """Goes round the studies."""
    trials = reports = failures = 0
    behind = False
    with transaction(engine) as connection:
        due = publishing.studies_due(connection, after=memory.last_study, but=_resting(memory.studies), limit=STUDIES)
    share = max(2, TRIALS // max(1, len(due)))
    for study_id in due:
        if not holder.take(study_id):
            continue
        memory.last_study = study_id
        try:
            done = publish_study(engine, target, holder, study_id, but=_resting(memory.trials), limit=share)
        except (MlflowDownError, OperationalError):
            raise
        except Exception:
            log.exception("study not published", study=study_id)
            _rest(memory.studies, study_id)
            failures += 1
            continue
        memory.studies.pop(study_id, None)
        for trial_id, failure in done.failed.items():
            log.error("trial not published", study=study_id, trial_id=trial_id, exc_info=failure)
            _rest(memory.trials, trial_id)
        if done.trials:
            memory.to_draw.add(study_id)
        trials, reports, failures = trials + done.trials, reports + done.reports, failures + len(done.failed)
        behind |= done.is_behind
    behind |= len(due) == STUDIES
    return Counts(trials=trials, reports=reports, failures=failures, behind=behind)


def _resting(failed: dict[int, tuple[int, float]]) -> list[int]:
    now = time.monotonic()
    return [key for key, (_, until) in failed.items() if until > now]


def _rest(failed: dict[int, tuple[int, float]], key: int) -> None:
    """Leaves it alone for a while, twice as long after each failure."""
    times = failed.get(key, (0, 0.0))[0]
    failed[key] = (times + 1, time.monotonic() + min(FIRST_RETRY_S * 2**times, LAST_RETRY_S))
