"""An attempt that was claimed: what was looked up for it, and how it is answered."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tuner.domain import seeds
from tuner.domain.spec import StudySpec
from tuner.store import checkpoints, studies
from tuner.wire_attempts import ClaimedAttempt
from tuner.wire_checkpoints import CheckpointOut


@dataclass(frozen=True)
class Held:
    """An attempt with what its trial was when it was claimed.

    Attributes:
        study: the study's row.
        params: the trial's, from an earlier attempt; empty: to be sampled.
        is_running: it has been started already, by this request when it came before.
        is_final: it is the study's final fit, of this trial's configuration.
        threshold: of a final fit, by which the trial's model decides between two classes.
        halvings: how often the kernel killed it for want of memory: with whole batches it would come to that again.
    """

    attempt_id: uuid.UUID
    trial_id: int
    trial_number: int
    study: Any
    params: dict[str, Any]
    is_running: bool
    halvings: int = 0
    is_final: bool = False
    threshold: float | None = None


def answer(
    held: Held, spec: StudySpec, params: dict[str, Any], saved: Sequence[checkpoints.CheckpointRow]
) -> ClaimedAttempt:
    """All that a worker needs of it.

    Args:
        held: the attempt.
        spec: its study's.
        params: to train with.
        saved: what earlier attempts left, newest first.
    """
    study = held.study
    facts = studies.facts(study)
    dataset = facts.get("dataset") or {}
    return ClaimedAttempt(
        attempt_id=held.attempt_id,
        study_id=study.id,
        study=study.name,
        trial=held.trial_number,
        is_final=held.is_final,
        threshold=held.threshold,
        params=params,
        fixed=spec.fixed,
        trainer=study.trainer,
        dataset=spec.dataset,
        dataset_digest=dataset.get("digest"),
        dataset_files=dataset.get("files_digest"),
        task=facts.get("task"),
        objectives=[{"metric": o.metric, "direction": str(o.direction)} for o in spec.objectives or []],
        validation=spec.evaluation.validation,
        test=spec.evaluation.test,
        folds=spec.evaluation.folds,
        repeats=spec.evaluation.repeats,
        split_seed=spec.evaluation.seed,
        group=spec.evaluation.group,
        time=spec.evaluation.time,
        seed=seeds.derive(spec.sampler.seed or 0, "training", held.trial_number),
        lease_s=spec.limits.lease_s,
        trial_minutes=spec.limits.trial_minutes,
        no_progress_minutes=spec.limits.no_progress_minutes,
        halvings=held.halvings,
        profile=spec.profile and study.n_complete == 0,  # so the first that completes was profiled, however many run
        checkpoints=[CheckpointOut.model_validate(row) for row in saved],
    )
