"""Tables of which one column is text to predict from: what of it is refused, and what its owner should know.

Owns the bounds of a text. Nothing is decided about words here: that is `trainers.text_preprocessing`, for the training part.
"""

from __future__ import annotations

import numpy as np

from trainers.data.faults import FaultsError, short, some
from trainers.data.info import Column
from trainers.data.source import Source
from trainers.data.tables import Table
from trainers.token_ids import READ_CHARACTERS

FEW_TEXTS = 200


def read(table: Table, source: Source, notes: list[str]) -> tuple[np.ndarray, tuple[Column, ...]]:
    """The texts `(rows,)` as str, as they are written, and their one column.

    Args:
        table: whose column `source.text` is.
        source: what its owner said.
        notes: what the owner should know is added here.

    Raises:
        FaultsError: for a column that is something else, a NUL in a text, and where no row has a text.
    """
    name = source.text
    assert name is not None
    _refuse_other(table, source, name)
    texts = np.array(table.columns[name].values.fillna("").tolist(), dtype=object)
    with_nul = np.array(["\0" in text for text in texts])
    if with_nul.any():
        detail = "there is a NUL character: remove it, or leave the row out"
        raise FaultsError(*table.row_faults(with_nul, name, [detail] * table.rows))
    empty = np.array([not text.strip() for text in texts])
    if empty.all():
        raise FaultsError(table.fault("every text is empty: choose another column", column=name))
    _note(table, source, texts, empty, notes)
    return texts, (Column(name, "text", missing=int(empty.sum())),)


def _refuse_other(table: Table, source: Source, name: str) -> None:
    cures = {
        source.target: "it cannot be both text and target",
        source.split_column: "it cannot be both text and split column",
    }
    if name in cures:
        raise FaultsError(table.fault(cures[name], column=name))
    if table.columns[name].given != "text":
        detail = f"it holds {table.columns[name].given} values, and text is wanted: store it as text, or choose another"
        raise FaultsError(table.fault(detail, column=name))
    kinds = [column for column, kind in source.columns.items() if kind != "ignore" or column == name]
    if kinds:
        detail = f"with text: {short(name)} every other column is ignored: say nothing of its kind"
        raise FaultsError(*(table.fault(detail, column=column) for column in kinds))


def _note(table: Table, source: Source, texts: np.ndarray, empty: np.ndarray, notes: list[str]) -> None:
    if source.target is None:
        notes.append(
            "no target: texts to be foretold word by word (task language); say target to predict something of them"
        )
    others = [name for name in table.columns if name not in {source.text, source.target, source.split_column}]
    if others:
        notes.append(f"{some(others)}: ignored beside the text; leave text out to predict from columns")
    if empty.any():
        notes.append(f"{short(str(source.text))} is empty in {int(empty.sum())} rows: they are kept")
    longer = sum(len(text) > READ_CHARACTERS for text in texts)
    if longer:
        notes.append(f"{longer} texts are longer than {READ_CHARACTERS:,} characters: no more of them is read")
    if len(texts) < FEW_TEXTS:
        notes.append(f"{len(texts)} texts are few to learn words from: expect little of what words they do not have")
