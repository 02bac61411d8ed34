"""What is known of a data set before it is loaded, and that it survives JSON."""

import json
from dataclasses import replace

import numpy as np
import pytest

from trainers.data.builtin import BUILTIN
from trainers.data.info import Column, DatasetInfo, from_json, to_json
from trainers.data.load import load

UPLOADED = DatasetInfo(
    name="houses",
    kind="tabular",
    task="classification",
    rows=30,
    shape=(2,),
    feature_names=("town", "built"),
    class_names=("cheap", "dear"),
    digest="sha256:made",
    columns=(Column("town", "category", ("Bonn", "Köln"), 3), Column("built", "date", format="%d.%m.%Y")),
    class_counts=(8, 12),
    parts={"train": 20, "test": 10},
)


@pytest.mark.parametrize("info", [UPLOADED, *BUILTIN.values()], ids=lambda info: info.name)
def test_an_info_survives_json(info: DatasetInfo) -> None:
    assert from_json(json.loads(json.dumps(to_json(info), allow_nan=False))) == info


def test_an_unknown_attribute_is_refused() -> None:
    with pytest.raises(TypeError, match="colour"):
        from_json({**to_json(UPLOADED), "colour": "red"})


@pytest.mark.parametrize("name", BUILTIN)
def test_built_in_sets_tell_their_columns_and_the_rows_of_each_class(name: str) -> None:
    info = BUILTIN[name]

    assert [(column.name, column.kind) for column in info.columns] == [(each, "number") for each in info.feature_names]
    if info.task == "classification":
        assert info.class_counts == tuple(np.bincount(load(name).y))
    assert replace(info, class_counts=()).parts is None
