"""Array files: `.npz` with `x` and `y`, read without unpickling anything.

Images are `(rows, height, width)` or `(rows, height, width, channels)`; `(rows, features)` is a table of numbers. Other
arrays with a value a row are no features; a study may split by them, for instance by `patient`.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from trainers.data.faults import Fault, FaultsError, short, some
from trainers.data.tables import Cells, File, Given, Table

TARGET = "y"
MOST_CHANNELS = 4
PICKLED = "it holds Python objects, which are not unpickled: save it as an array of numbers or text"


def read(paths: Mapping[str, Path]) -> tuple[np.ndarray, Table]:
    """Reads array files, one after the other.

    Returns:
        `x` as it is given but for whole numbers of more than a byte, which become float64; and a table with the one
        column `y`, and for two-dimensional x its columns `x0`, `x1`, ….

    Raises:
        FaultsError: for what is no such file, and for parts that do not go together.
    """
    loaded = {part: _load(path) for part, path in paths.items()}
    xs = [x for x, _, _ in loaded.values()]
    for (part, path), x in zip(paths.items(), xs, strict=True):
        if (x.shape[1:], x.dtype) != (xs[0].shape[1:], xs[0].dtype):
            detail = (
                f"a row of {part} is {x.dtype} {x.shape[1:]}, and of the first file {xs[0].dtype} {xs[0].shape[1:]}"
            )
            raise FaultsError(Fault(file=path.name, column="x", detail=f"{detail}: give both alike"))
    if len({given for _, given, _ in loaded.values()}) > 1:
        raise FaultsError(Fault(file=paths["train"].name, column=TARGET, detail="y is of other types in other files"))
    x = np.concatenate(xs)
    given = next(iter(loaded.values()))[1]
    columns = {TARGET: Cells(given, pd.concat([each for _, _, each in loaded.values()], ignore_index=True))}
    if x.ndim == 2:
        columns |= {f"x{i}": Cells("number", pd.Series(x[:, i].astype(np.float64))) for i in range(x.shape[1])}
    files = {part: File(path.name, {}, len(each)) for (part, path), each in zip(paths.items(), xs, strict=True)}
    return x, Table(columns, files)


def read_columns(paths: Mapping[str, Path]) -> Table:
    """What a study may split by: the features of a table, and each array beside `x` and `y` with a value a row.

    Raises:
        FaultsError: for what is no such file, or a part that lacks an array of another.
    """
    _, table = read(paths)
    beside = {part: _beside(path, table.files[part].rows) for part, path in paths.items()}
    first = next(iter(beside.values()))
    for part, path in paths.items():
        if beside[part].keys() != first.keys():
            names = some([repr(name) for name in sorted(beside[part].keys() ^ first.keys())])
            raise FaultsError(
                Fault(file=path.name, detail=f"only it or only the first file has {names}: give both alike")
            )
    joined = {
        name: Cells(given, pd.concat([each[name][1] for each in beside.values()], ignore_index=True))
        for name, (given, _) in first.items()
    }
    return Table({**{name: each for name, each in table.columns.items() if name != TARGET}, **joined}, table.files)


def _beside(path: Path, rows: int) -> dict[str, tuple[Given, pd.Series]]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        arrays = {name: _array(path, archive, name) for name in archive.files if name not in {"x", TARGET}}
    return {name: _targets(path, array, name) for name, array in arrays.items() if array.shape == (rows,)}


def _load(path: Path) -> tuple[np.ndarray, Given, pd.Series]:
    """x, and y with what it is."""
    if not zipfile.is_zipfile(path):
        raise FaultsError(Fault(file=path.name, detail="it is no npz file: save it by np.savez with x and y"))
    try:
        x, y = _x_and_y(path)
    except (FaultsError, MemoryError):
        raise
    except Exception as error:  # numpy and zipfile do not say what a damaged file makes them raise
        detail = f"it is no npz file ({short(str(error))}): save it by np.savez"
        raise FaultsError(Fault(file=path.name, detail=detail)) from None
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or len(y) != (len(x) if x.ndim else 0):
        detail = f"x has the shape {x.shape} and y {y.shape}: give one y for each row of x"
        raise FaultsError(_fault(path, TARGET, detail))
    return _images_or_rows(path, x), *_targets(path, y)


def _x_and_y(path: Path) -> tuple[np.ndarray, np.ndarray]:
    # opened here, as numpy leaves a file open that is none of its own
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        for name in ("x", TARGET):
            if name not in archive.files:
                there = some(archive.files) or "nothing"
                raise FaultsError(_fault(path, name, f"the file has {there}: save it by np.savez with x and y"))
        return _array(path, archive, "x"), _array(path, archive, TARGET)


def _array(path: Path, archive: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    try:
        array = archive[name]
    except MemoryError:
        raise
    except Exception as error:  # as above
        detail = PICKLED if "Object arrays" in str(error) else f"it cannot be read: {short(str(error))}"
        raise FaultsError(_fault(path, name, detail)) from None
    if not isinstance(array, np.ndarray):
        raise FaultsError(_fault(path, name, "it is no array: save it by np.savez"))
    return array


def _images_or_rows(path: Path, x: np.ndarray) -> np.ndarray:
    if x.ndim not in {2, 3, 4}:
        shapes = "(rows, height, width), (rows, height, width, channels) or (rows, features)"
        raise FaultsError(_fault(path, "x", f"x has the shape {x.shape}: give {shapes}"))
    if not len(x) or 0 in x.shape:
        raise FaultsError(_fault(path, "x", f"x has the shape {x.shape}, without a value: give rows"))
    if x.ndim == 4 and x.shape[3] > MOST_CHANNELS:
        cure = "move the channels last, by x.transpose(0, 2, 3, 1)" if x.shape[1] <= MOST_CHANNELS else "give 1 to 4"
        raise FaultsError(_fault(path, "x", f"images of the shape {x.shape[1:]} have {x.shape[3]} channels: {cure}"))
    if x.dtype.kind not in "buif":
        raise FaultsError(_fault(path, "x", f"x holds {x.dtype}: give numbers"))
    kept = x.dtype in {np.dtype(np.uint8), np.dtype(np.float32), np.dtype(np.float64)} and x.ndim > 2
    x = np.ascontiguousarray(x, x.dtype.newbyteorder("=") if kept else np.float64)
    if x.ndim > 2:
        _refuse_non_finite(path, x)
    return x


def _refuse_non_finite(path: Path, x: np.ndarray) -> None:
    for row, image in enumerate(x):
        if not np.isfinite(image).all():
            raise FaultsError(_fault(path, "x", f"x[{row}] has a pixel that is NaN or infinite: leave the image out"))


def _targets(path: Path, y: np.ndarray, name: str = TARGET) -> tuple[Given, pd.Series]:
    if y.dtype.kind in "US":
        try:
            return "text", pd.Series(np.char.decode(y) if y.dtype.kind == "S" else y, dtype="str")
        except UnicodeError:
            raise FaultsError(_fault(path, name, f"{name} holds bytes that are no UTF-8: save it as text")) from None
    if y.dtype.kind not in "buif":
        raise FaultsError(_fault(path, name, f"{name} holds {y.dtype}: give numbers or text"))
    given: dict[str, Given] = {"b": "boolean", "u": "whole", "i": "whole", "f": "number"}
    return given[y.dtype.kind], pd.Series(y.astype(np.float64))


def _fault(path: Path, column: str, detail: str) -> Fault:
    return Fault(file=path.name, column=column, detail=detail)
