"""Puts files into MLflow's artifact folder: over HTTP, or directly where this process sees the folder.

Owns the layout: MLflow's own, where the server chooses every location. Directly, an uploaded file becomes a second name
of the same file (a hard link): nothing is sent, nothing is stored twice. Files are never changed in place, neither by
workers' uploads nor by MLflow, so two names do no harm.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Protocol

from tuner.tracking.rest import Mlflow


def of_run(experiment_id: str, run_id: str, name: str) -> str:
    """Path of a run's artifact."""
    return f"{experiment_id}/{run_id}/artifacts/{name}"


def of_model(experiment_id: str, model_id: str, name: str) -> str:
    """Path of a logged model's file."""
    return f"{experiment_id}/models/{model_id}/artifacts/{name}"


class Artifacts(Protocol):
    """The artifact folder, as far as publishing needs it. Putting the same again changes nothing."""

    def put_file(self, path: str, file: Path) -> None: ...

    def put_bytes(self, path: str, data: bytes) -> None: ...


class Uploading:
    """Over HTTP."""

    def __init__(self, mlflow: Mlflow) -> None:
        self._mlflow = mlflow

    def put_file(self, path: str, file: Path) -> None:
        self._mlflow.upload(path, file)

    def put_bytes(self, path: str, data: bytes) -> None:
        self._mlflow.upload(path, data)


class Linking:
    """Into the folder itself; a reader never sees half a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put_file(self, path: str, file: Path) -> None:
        target = self._target(path)
        try:
            target.hardlink_to(file)
        except FileExistsError:
            if not target.samefile(file):
                self._put_copy(path, file)
        except OSError:  # another file system, or one without links
            self._put_copy(path, file)

    def put_bytes(self, path: str, data: bytes) -> None:
        target, draft = self._target(path), self._draft(path)
        draft.write_bytes(data)
        draft.replace(target)

    def _put_copy(self, path: str, file: Path) -> None:
        draft = self._draft(path)
        shutil.copyfile(file, draft)
        draft.replace(self._target(path))

    def _target(self, path: str) -> Path:
        target = self._folder / path
        if ".." in Path(path).parts or target.is_symlink():
            raise ValueError(f"{path!r} leads out of the artifact folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    def _draft(self, path: str) -> Path:
        """The same for the same path, so that nothing is left of a pass that was killed once another one is through."""
        drafts = self._folder / ".publishing"
        drafts.mkdir(exist_ok=True)
        return drafts / hashlib.sha256(path.encode()).hexdigest()
