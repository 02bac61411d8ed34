"""How the text of a CSV file becomes what a model's signature asks for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.types import ColSpec, Schema, TensorSpec

from tuner import predict

KINDS = ("double", "long", "boolean", "datetime", "string")


def model(takes: Schema, gives: pd.DataFrame) -> Any:
    """What `predict` uses of a pyfunc model: it remembers what it was given."""
    made = SimpleNamespace(metadata=SimpleNamespace(get_input_schema=lambda: takes), given=None)

    def predicted(given: Any) -> pd.DataFrame:
        made.given = given
        return gives

    made.predict = predicted
    return made


def rows(text: str, folder: Path) -> pd.DataFrame:
    file = folder / "rows.csv"
    file.write_text(text)
    return predict.read(file)


def test_columns_come_in_the_models_types_and_rows_go_out_as_they_were_written(tmp_path: Path) -> None:
    takes = Schema([ColSpec(kind, kind, required=kind != "datetime") for kind in KINDS])
    given = rows("id,string,double,long,boolean\n007,x,1e3,5,True\n008,NA,NA,6,false\n", tmp_path)
    fitted = model(takes, pd.DataFrame({"no": [0.9, 0.2], "yes": [0.1, 0.8]}))

    out = predict.predict(fitted, given)

    assert list(fitted.given.columns) == ["double", "long", "boolean", "string"], "an optional one may be left out"
    assert fitted.given["double"].tolist()[0] == 1000.0
    assert np.isnan(fitted.given["double"].tolist()[1])
    assert fitted.given["long"].dtype == np.int64
    assert fitted.given["boolean"].tolist() == [True, False]
    assert fitted.given["string"].tolist() == ["x", "NA"], "the model knows which words mean missing"
    assert out.to_csv(index=False) == (
        "id,string,double,long,boolean,no,yes,prediction\n007,x,1e3,5,True,0.9,0.1,no\n008,NA,NA,6,false,0.2,0.8,yes\n"
    )


def test_pixels_become_images_and_classes_named_as_columns_are_told_apart(tmp_path: Path) -> None:
    takes = Schema([TensorSpec(np.dtype("float64"), (-1, 1, 2))])
    given = rows("0,1\n3,4\n", tmp_path)
    fitted = model(takes, pd.DataFrame({"0": [0.3], "1": [0.7]}))

    out = predict.predict(fitted, given)

    assert fitted.given.tolist() == [[[3.0, 4.0]]]
    assert list(out.columns) == ["0", "1", "p(0)", "p(1)", "prediction"]
    assert out["prediction"].tolist() == ["1"]


def test_a_target_is_one_column(tmp_path: Path) -> None:
    fitted = model(Schema([ColSpec("double", "x")]), pd.DataFrame({"prediction": [1.5]}))

    assert (
        predict.predict(fitted, rows("x,prediction\n1,old\n", tmp_path)).to_csv(index=False) == "x,prediction\n1,1.5\n"
    )


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("y\n1\n", "lacks columns that the model takes: 'x'"),
        ("x\nabc\n", "column 'x' takes numbers"),
        ("x\n", "no rows"),
        ("", "not a CSV file"),
        ('x,y\n1,2,3,4\n"', "not a CSV file"),
    ],
)
def test_a_file_that_does_not_fit_says_why(tmp_path: Path, text: str, cure: str) -> None:
    fitted = model(Schema([ColSpec("double", "x")]), pd.DataFrame({"prediction": [1.5]}))

    with pytest.raises(predict.PredictError, match=cure):
        predict.predict(fitted, rows(text, tmp_path))


def test_rows_that_are_no_images_of_the_models_say_why(tmp_path: Path) -> None:
    fitted = model(Schema([TensorSpec(np.dtype("float64"), (-1, 2, 2))]), pd.DataFrame())

    with pytest.raises(predict.PredictError, match="4 pixels a row, 2 x 2"):
        predict.predict(fitted, rows("a,b,c\n1,2,3\n", tmp_path))
    with pytest.raises(predict.PredictError, match="pixel is missing"):
        predict.predict(fitted, rows("a,b,c,d\n1,2,3,\n", tmp_path))
