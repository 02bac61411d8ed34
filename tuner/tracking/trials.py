"""A study's trials in MLflow: a run each, with params, curves, result, files and model.

Owns what is sent of one trial and in which order. All of it may be sent twice without harm but what is made (a run, a
logged model, an output): that is looked for first, and our tables note a run before anything hangs on it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from tuner.domain.spec import StudySpec
from tuner.domain.states import FINISHED, TrialState
from tuner.store import publishing
from tuner.store.database import transaction
from tuner.tracking import artifacts, content, models, names, runs
from tuner.tracking.artifacts import Artifacts
from tuner.tracking.content import Content
from tuner.tracking.experiments import Experiment, GoneError
from tuner.tracking.rest import Mlflow, MlflowDownError, MlflowRefusedError

log = structlog.get_logger()

REPORTS = 500  # of one trial in one pass
CURVES = "curves.json"
FILES = (CURVES, "log.txt")  # of an attempt, artifacts of the run
PROFILE = ("profile/trace.json.gz", "profile/operators.txt")  # of the first complete trial, too


@dataclass(frozen=True)
class Target:
    """Where to publish, and from where; one a process.

    Attributes:
        mlflow: the server.
        artifacts: its artifact folder.
        store: folder with `attempts/<id>/…`, what workers uploaded.
        base_url: the control plane's address, for links.
        threads: trials at once.
        statuses: of runs whose trials have not ended, as sent last, by the trial's id.
    """

    mlflow: Mlflow
    artifacts: Artifacts
    store: Path
    base_url: str
    threads: int = 3
    statuses: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Due:
    """A trial with what of it is to be sent."""

    trial: Any
    reports: list[Any]
    files: list[str]

    @property
    def is_whole(self) -> bool:
        """Whether nothing more will come: it has ended, and no report is left for the next pass."""
        return self.trial.state in FINISHED and len(self.reports) < REPORTS


@dataclass(frozen=True)
class Outcome:
    """Of sending one trial: `error` is None where it went well."""

    due: Due
    error: Exception | None = None


class Trials:
    """The trials' part of one pass over one study."""

    def __init__(
        self,
        engine: Engine,
        target: Target,
        holder: publishing.Holder,
        study: Any,
        spec: StudySpec,
        experiment: Experiment,
    ) -> None:
        self.engine = engine
        self.target = target
        self.holder = holder
        self.study = study
        self.spec = spec
        self.experiment = experiment

    def publish(self, *, but: Collection[int], limit: int) -> list[Outcome]:
        """Sends what is due, several trials at once; a trial that fails holds up no other.

        Raises:
            MlflowDownError: MLflow does not answer.
            OperationalError: the database does not, or another pass has the study.
        """
        due = self._due(but=but, limit=limit)
        known_runs, known_models = self._known_runs(due), self._known_models(due)
        broken: list[Exception] = []

        def one(each: Due) -> Outcome:
            try:
                if not broken:
                    self._send(each, known_runs.get(each.trial.number), known_models.get(each.trial.run_id))
            except (MlflowDownError, OperationalError) as error:
                broken.append(error)
            except Exception as error:
                return Outcome(each, error)
            return Outcome(each)

        with ThreadPoolExecutor(self.target.threads, thread_name_prefix="publish") as pool:
            outcomes = list(pool.map(one, due))
        if broken:
            raise broken[0]
        return outcomes

    # ---- what there is -----------------------------------------------------------------------------------------------

    def _due(self, *, but: Collection[int], limit: int) -> list[Due]:
        with transaction(self.engine) as connection:
            found = publishing.trials_due(connection, self.study.id, but=but, limit=limit)
            reports = publishing.reports_due(connection, [trial.id for trial in found], limit=REPORTS)
            files = publishing.files(connection, [trial.attempt_id for trial in found if trial.state in FINISHED])
        return [Due(trial, reports[trial.id], files.get(trial.attempt_id, [])) for trial in found]

    def _known_runs(self, due: list[Due]) -> dict[int, str]:
        """Runs that an earlier pass made and could not note, by the trial's number; one search for all of them."""
        unknown = [each.trial.created_at for each in due if each.trial.run_id is None]
        if self.experiment.is_new or not unknown:
            return {}
        since_ms = content.milliseconds(min(unknown))
        return runs.find_trials(self.target.mlflow, self.experiment.id, self.study.id, since_ms=since_ms)

    def _known_models(self, due: list[Due]) -> dict[str, str]:
        """Logged models that an earlier pass began, by run: there can be some only where the run was noted."""
        with_model = [
            each.trial.run_id for each in due if each.trial.run_id and each.is_whole and _in_model(each.files)
        ]
        return models.find(self.target.mlflow, self.experiment.id, with_model)

    # ---- one trial ---------------------------------------------------------------------------------------------------

    def _send(self, due: Due, known_run: str | None, known_model: str | None) -> None:
        self.holder.check()
        end = content.trial_end(self.spec, due.trial) if due.is_whole else Content()
        run_id = due.trial.run_id or known_run
        if run_id is None:
            run_id = self._create(due.trial, end.tags)
            end = replace(end, tags={})
        if due.trial.run_id is None:
            # before the run is noted, so that a pass that is killed in between does it again
            runs.log_dataset(self.target.mlflow, run_id, content.dataset(self.study, self.target.base_url))
            self._note(due.trial, run_id)
            end = replace(end, params=content.trial_params(self.spec, due.trial))
        points = content.curves(self.spec, due.reports) + end.metrics
        runs.log(self.target.mlflow, run_id, replace(end, metrics=points))
        model_id = None
        if due.is_whole:
            self._send_files(due, run_id)
            model_id = self._send_model(due, run_id, known_model)
            status, ended = names.TRIAL_STATUS[due.trial.state], content.milliseconds(due.trial.finished_at)
            runs.set_status(self.target.mlflow, run_id, status, end_ms=ended)
        with transaction(self.engine) as connection:
            publishing.mark_reports(connection, due.reports)
            if due.is_whole:
                has_figures = CURVES in due.files
                publishing.mark_trial(connection, due.trial.id, has_figures=has_figures, model_id=model_id)

    def _create(self, trial: Any, end: Mapping[str, str]) -> str:
        return runs.create(
            self.target.mlflow,
            self.experiment.id,
            name=names.trial_run(trial.number),
            start_ms=content.milliseconds(trial.started_at or trial.created_at),
            tags={**content.trial_tags(self.study, trial, self.target.base_url), **end},
        )

    def _note(self, trial: Any, run_id: str) -> None:
        """Keeps the run's id in our tables."""
        with transaction(self.engine) as connection:
            kept = publishing.set_run(connection, trial.id, run_id)
        if not kept:
            runs.delete(self.target.mlflow, run_id)
            raise GoneError(f"trial {trial.number} of study {self.study.id} is gone, or has another run")
        self.target.statuses[trial.id] = names.TRIAL_STATUS[TrialState.RUNNING]

    def _send_files(self, due: Due, run_id: str) -> None:
        for name in (*FILES, *(PROFILE if self._is_first(due) else ())):
            if name in due.files:
                path = artifacts.of_run(self.experiment.id, run_id, name)
                self.target.artifacts.put_file(path, self._uploaded(due.trial, name))
        if due.trial.error:
            path = artifacts.of_run(self.experiment.id, run_id, "error.txt")
            self.target.artifacts.put_bytes(path, due.trial.error.encode())

    def _is_first(self, due: Due) -> bool:
        """Whether it is the study's first complete trial; those that ran beside it were profiled, too."""
        if PROFILE[0] not in due.files:
            return False
        with transaction(self.engine) as connection:
            return bool(publishing.first_complete(connection, self.study.id) == due.trial.id)

    def _send_model(self, due: Due, run_id: str, known_model: str | None) -> str | None:
        files = {path.removeprefix(models.FOLDER): self._uploaded(due.trial, path) for path in _in_model(due.files)}
        if not files:
            return None
        return models.publish(
            self.target.mlflow,
            self.target.artifacts,
            self.experiment.id,
            run_id,
            name=names.trial_run(due.trial.number),
            step=due.trial.best_step or 0,
            params=content.trial_params(self.spec, due.trial),
            files=files,
            known_id=known_model,
        )

    def _uploaded(self, trial: Any, path: str) -> Path:
        return uploaded(self.target.store, trial.attempt_id, path)


def uploaded(store: Path, attempt_id: Any, path: str) -> Path:
    """Where a file of an attempt lies."""
    return store / "attempts" / str(attempt_id) / path


def _in_model(files: list[str]) -> list[str]:
    return [path for path in files if path.startswith(models.FOLDER)]


def publish_statuses(engine: Engine, target: Target, holder: publishing.Holder) -> None:
    """Says of runs whose trials have not ended whether they run or wait."""
    with transaction(engine) as connection:
        live = publishing.live_trials(connection)
    for trial in live:
        status = names.TRIAL_STATUS[trial.state]
        if target.statuses.get(trial.id) != status and holder.take(trial.study_id):
            try:
                runs.set_status(target.mlflow, trial.run_id, status)
            except MlflowRefusedError as error:  # somebody deleted the run; it comes back with the trial's end
                log.warning("status not shown", trial_id=trial.id, error=str(error))
            target.statuses[trial.id] = status
    for ended in target.statuses.keys() - {trial.id for trial in live}:
        del target.statuses[ended]
