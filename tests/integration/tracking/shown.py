"""What MLflow has of a study, read from its tables and its folder, so that nothing doubled can hide."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select, text

from tuner.store.database import transaction
from tuner.store.tables import studies


class Shown:
    def __init__(self, engine: Engine, theirs: Engine, folder: Path) -> None:
        self.engine = engine
        self.theirs = theirs
        self.folder = folder

    def of(self, study_id: int) -> dict[str, Any]:
        """Runs by name with everything that hangs on them; ids, which differ from study to study, by what they stand for."""
        with transaction(self.engine) as connection:
            study = connection.execute(select(studies).where(studies.c.id == study_id)).one()
        experiments = self._read("experiments where name like :name", name=f"{study.name} (#%")
        runs = [run for each in experiments for run in self._read(f"runs where experiment_id = {each.experiment_id}")]
        words = {study.name: "NAME", study.experiment_id: "EXPERIMENT"}
        words |= {run.run_uuid: f"RUN {run.name.replace(study.name, 'NAME')}" for run in runs}

        def known(value: str) -> str:
            value = value.replace(f"studies/{study_id}", "studies/ID")
            for word, name in words.items():
                value = value.replace(word, name) if word and len(word) > 4 else value
            return value

        return {
            "experiments": [known(each.lifecycle_stage) for each in experiments],
            "experiment_tags": {
                tag.key: "ID" if tag.key == "tuner.study_id" else known(tag.value)
                for each in experiments
                for tag in self._read(f"experiment_tags where experiment_id = {each.experiment_id}")
            },
            "runs": sorted((known(run.name), self._run(run, known)) for run in runs),
            "models": sorted(
                (
                    known(model.source_run_id),
                    model.name,
                    model.status,
                    self._files(f"{model.experiment_id}/models/{model.model_id}"),
                )
                for each in experiments
                for model in self._read(f"logged_models where experiment_id = {each.experiment_id}")
            ),
            "versions": [self._version(version, known) for run in runs for version in self._versions(run.run_uuid)],
        }

    def _versions(self, run_id: str) -> list[Any]:
        return self._read("model_versions where run_id = :run_id", run_id=run_id)

    def _version(self, version: Any, known: Callable[[str], str]) -> dict[str, Any]:
        """A registered model's version with its tags, and the aliases of the model."""
        of_version = "where name = :name and version = :version"
        which = {"name": version.name, "version": version.version}
        return {
            "name": known(version.name),
            "version": version.version,
            "aliases": [
                (alias.alias, alias.version)
                for alias in self._read("registered_model_aliases where name = :name", name=version.name)
            ],
            "tags": {
                tag.key: "ID" if tag.key == "tuner.study_id" else known(tag.value)
                for tag in self._read(f"model_version_tags {of_version}", **which)
            },
        }

    def _run(self, run: Any, known: Callable[[str], str]) -> dict[str, Any]:
        of_run = f"where run_uuid = '{run.run_uuid}'"
        outputs = f"inputs where source_id = '{run.run_uuid}' and destination_type = 'MODEL_OUTPUT'"
        inputs = f"inputs join datasets on source_id = dataset_uuid where destination_id = '{run.run_uuid}'"
        return {
            "status": run.status,
            "stage": run.lifecycle_stage,
            "times": (run.start_time, run.end_time),
            "params": {param.key: param.value for param in self._read(f"params {of_run}")},
            "tags": {
                tag.key: "ID" if tag.key == "tuner.study_id" else known(tag.value)
                for tag in self._read(f"tags {of_run}")
            },
            "metrics": sorted(
                (metric.key, metric.step, metric.timestamp, "nan" if metric.is_nan else metric.value)
                for metric in self._read(f"metrics {of_run}")
            ),
            "outputs": len(self._read(outputs)),
            "inputs": [(used.name, used.digest, used.dataset_schema) for used in self._read(inputs)],
            "files": self._files(f"{run.experiment_id}/{run.run_uuid}"),
        }

    def _files(self, folder: str) -> list[tuple[str, int]]:
        root = self.folder / folder / "artifacts"
        # of study.json the name alone: it has the study's name in it
        return sorted(
            (str(file.relative_to(root)), 0 if file.name == "study.json" else len(file.read_bytes()))
            for file in root.rglob("*")
            if file.is_file()
        )

    def _read(self, what: str, **values: Any) -> list[Any]:
        with self.theirs.connect() as connection:
            return list(connection.execute(text(f"select * from {what}"), values))
