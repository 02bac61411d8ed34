"""One study's publishing: what our tables have and MLflow has not, from the experiment to the study's end.

Owns the order of steps. Everything is looked for before it is made, and marked in our tables once it is in MLflow, so a
process may be killed between any two steps: the next pass finds what is there and does the rest. Who may publish a study
is decided by a lock (`publishing.Holder`), which is asked again before whatever must not happen twice.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine

from tuner.domain.spec import StudySpec
from tuner.domain.states import ENDED, FINISHED
from tuner.store import publishing
from tuner.store.database import transaction
from tuner.tracking import experiments, finals
from tuner.tracking.experiments import GoneError
from tuner.tracking.rest import MlflowRefusedError
from tuner.tracking.trials import Outcome, Target, Trials


@dataclass(frozen=True)
class Published:
    """What one pass over one study did.

    Attributes:
        trials: finished ones that are whole in MLflow now.
        reports: sent.
        failed: what went wrong, by the trial's id.
        is_behind: something of the study is left for the next pass.
    """

    trials: int = 0
    reports: int = 0
    failed: dict[int, Exception] = field(default_factory=dict)
    is_behind: bool = False


def publish_study(
    engine: Engine,
    target: Target,
    holder: publishing.Holder,
    study_id: int,
    *,
    but: Collection[int] = (),
    limit: int = 32,
) -> Published:
    """Publishes finished trials of a study, and live ones so far as they are; ends the study when nothing is left.

    Args:
        engine: to our tables.
        target: MLflow and the uploads.
        holder: has taken the study.
        study_id: which.
        but: ids of trials to leave alone.
        limit: of finished trials, and of live ones.

    Raises:
        MlflowDownError: MLflow does not answer.
        MlflowRefusedError: it refuses the experiment or the parent run.
    """
    try:
        study, spec, experiment = _ensured(engine, target, holder, study_id)
    except GoneError:
        return Published()
    if study.state not in ENDED and study.published_at is not None:
        try:
            experiments.reopen(engine, target.mlflow, study)
        except MlflowRefusedError:
            experiments.mend(target.mlflow, experiment, [study.parent_run_id])
            raise
    outcomes = Trials(engine, target, holder, study, spec, experiment).publish(but=but, limit=limit)
    done = _summed(outcomes, is_behind=len(outcomes) >= limit)
    refused = [each.due.trial.run_id for each in outcomes if isinstance(each.error, MlflowRefusedError)]
    if refused:
        experiments.mend(target.mlflow, experiment, [run_id for run_id in refused if run_id])
    holder.check()
    try:
        try:
            finals.publish(engine, target, holder, study, spec, experiment)
        finally:  # a registry that refuses the model does not hide that the study has ended
            _show_study(engine, target, study, spec, has_news=done.trials > 0)
    except MlflowRefusedError:
        experiments.mend(target.mlflow, experiment, [study.parent_run_id, *finals.run_ids(engine, study.id)])
        raise
    return done


def _show_study(engine: Engine, target: Target, study: Any, spec: StudySpec, *, has_news: bool) -> None:
    """Brings the parent run up to date: its end once nothing is left of the trials, till then the best so far."""
    if study.state not in ENDED:
        if has_news:
            experiments.show_best(engine, target.mlflow, study, spec)
        return
    with transaction(engine) as connection:
        left = publishing.unpublished(connection, study.id)
    if not left.trials and not left.reports:
        experiments.end(engine, target.mlflow, study, spec)


def _ensured(
    engine: Engine, target: Target, holder: publishing.Holder, study_id: int
) -> tuple[Any, StudySpec, experiments.Experiment]:
    """The study's row, with experiment and parent run."""
    study = _study(engine, study_id)
    spec = StudySpec.model_validate_json(study.spec)
    holder.check()
    experiment = experiments.ensure(engine, target.mlflow, study, spec, target.base_url)
    experiments.ensure_parent(engine, target.mlflow, target.artifacts, experiment, study, spec, target.base_url)
    # read once more: the ids are in the row now, and the state that we see is older than the trials that we will see
    return (study if study.parent_run_id else _study(engine, study_id)), spec, experiment


def _study(engine: Engine, study_id: int) -> Any:
    with transaction(engine) as connection:
        study = publishing.study(connection, study_id)
    if study is None:
        raise GoneError(f"study {study_id} was deleted")
    return study


def _summed(outcomes: list[Outcome], *, is_behind: bool) -> Published:
    failed = {outcome.due.trial.id: outcome.error for outcome in outcomes if outcome.error is not None}
    sent = [outcome.due for outcome in outcomes if outcome.error is None]
    return Published(
        trials=sum(due.is_whole for due in sent),
        reports=sum(len(due.reports) for due in sent),
        failed=failed,
        is_behind=is_behind or bool(failed) or any(due.trial.state in FINISHED and not due.is_whole for due in sent),
    )
