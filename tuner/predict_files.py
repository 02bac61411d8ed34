"""Predictions for files of images or sound by a model out of MLflow: a zip or a folder in, a row a file out.

Imported by `tuner predict` alone, as `tuner.predict` is. Zips are judged as those of data sets are.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from trainers.data import media, zips
from trainers.data.faults import FaultsError, short, told
from tuner.predict import PREDICTION, PredictError

FILE = "file"
AT_ONCE = 64  # files in memory
EXTENSIONS = {"image": media.IMAGES, "audio": media.CLIPS}


def column(model: Any) -> str | None:
    """`image` or `audio`, for a model that takes files of these; None for another."""
    takes = model.metadata.get_input_schema()
    names = [] if takes.is_tensor_spec() else takes.input_names()
    is_binary = len(names) == 1 and takes.inputs[0].type.name == "binary"
    return names[0] if is_binary and names[0] in EXTENSIONS else None


def predict(model: Any, path: Path) -> pd.DataFrame:
    """A row for each file: its path, each class's probability, and the class that it is taken for, or its text, `prediction`.

    Args:
        model: that takes files.
        path: a zip, a folder, or one file; what has no extension of the model's kind is left out.

    Raises:
        PredictError: there is no such file, or one cannot be decoded.
    """
    takes = column(model)
    assert takes is not None
    files = _files(path, EXTENSIONS[takes])
    pieces = []
    try:
        while some := dict(islice(files, AT_ONCE)):
            pieces.append(_predicted(model, takes, some))
    except FaultsError as error:
        raise PredictError("\n".join(told(fault) for fault in error.faults)) from None
    if not pieces:
        raise PredictError(f"{path} has no file that the model takes: {', '.join(EXTENSIONS[takes])}")
    return pd.concat(pieces, ignore_index=True)


def _predicted(model: Any, takes: str, files: dict[str, bytes]) -> pd.DataFrame:
    given = pd.DataFrame({takes: list(files.values())})
    try:
        predicted = model.predict(given)
        if list(predicted.columns) == [PREDICTION]:  # of a structured task
            return pd.concat([pd.DataFrame({FILE: list(files)}), predicted], axis=1)
        decided = model.predict(given, params={"output": "class"})[PREDICTION]
    except ValueError as error:  # of one of them: which one?
        raise PredictError(_first_refused(model, takes, files) or str(error)) from None
    if {FILE, PREDICTION} & {*predicted.columns}:
        predicted = predicted.rename(columns=lambda name: f"p({name})")
    return pd.concat([pd.DataFrame({FILE: list(files)}), predicted, decided], axis=1)


def _first_refused(model: Any, takes: str, files: dict[str, bytes]) -> str | None:
    for name, content in files.items():
        try:
            model.predict(pd.DataFrame({takes: [content]}))
        except ValueError as error:
            return f"{short(name)} cannot be used: {str(error).partition(': ')[2]}"
    return None


def _files(path: Path, extensions: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Each file of the kind, by its path within the zip or folder."""
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.suffix.lower() in extensions and file.is_file():
                yield str(file.relative_to(path)), file.read_bytes()
    elif path.suffix.lower() in extensions:
        yield path.name, path.read_bytes()
    else:
        with zips.opened(path) as archive:
            for member in archive.members:
                if member.extension in extensions:
                    yield member.name, archive.read(member)
