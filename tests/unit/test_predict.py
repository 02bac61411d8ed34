"""How the cells of a file become what a model's signature asks for."""

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
    types = {"i": "long", "f": "double"}
    says = [ColSpec(types.get(gives[name].dtype.kind, "string"), name) for name in gives]
    metadata = SimpleNamespace(
        get_input_schema=lambda: takes, get_output_schema=lambda: Schema(says), get_params_schema=lambda: None
    )
    made = SimpleNamespace(metadata=metadata, given=None)

    def predicted(given: Any) -> pd.DataFrame:
        made.given = given
        return gives

    made.predict = predicted
    return made


def rows(text: str | bytes, folder: Path, name: str = "rows.csv", **said: str) -> predict.Rows:
    file = folder / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return predict.read(file, **said)


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


def test_a_class_called_step_is_a_class_and_steps_ahead_are_forecasts(tmp_path: Path) -> None:
    takes = Schema([ColSpec("double", "x")])
    given = rows("x\n1\n2\n", tmp_path)
    classes = pd.DataFrame({"run": [0.9, 0.2], "step": [0.1, 0.8]})
    ahead = pd.DataFrame({"step": [1, 2, 3], "prediction": [0.5, 0.6, 0.7]})

    out = predict.predict(model(takes, classes), given)

    assert out.to_csv(index=False) == "x,run,step,prediction\n1,0.9,0.1,run\n2,0.2,0.8,step\n"
    assert predict.predict(model(takes, ahead), given).equals(ahead)


def test_a_class_called_tokens_is_a_class_and_a_language_model_counts_them(tmp_path: Path) -> None:
    takes = Schema([ColSpec("string", "x")])
    given = rows("x,perplexity\na,old\nb,old\n", tmp_path)
    classes = pd.DataFrame({"other": [0.9, 0.2], "tokens": [0.1, 0.8]})
    judged = pd.DataFrame({"tokens": [3, 4], "log_likelihood": [-1.0, -2.0], "perplexity": [2.7, 7.4]})

    assert predict.predict(model(takes, classes), given)["prediction"].tolist() == ["other", "tokens"]
    assert predict.predict(model(takes, judged), given).to_csv(index=False) == (
        "x,tokens,log_likelihood,perplexity\na,3,-1.0,2.7\nb,4,-2.0,7.4\n"
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
        ("x\n1\nabc\n", "rows.csv, row 3, column 'x': 'abc', and the model takes numbers here"),
        ("x\n", "there is a header and no row"),
        ("", "the file is empty"),
        ("x,y\n1,2,3,4\n", "rows.csv, row 2: 4 cells, and the header has 2"),
        ("x,x\n1,2\n", "two columns have this name"),
        ("x,y\n1,Müller\n".encode("latin-1"), "row 2: it is not utf-8 here: say encoding: latin-1"),
        ("x\n" + "a" * 300 + "\n", "'a{79}…', and"),
    ],
)
def test_a_file_that_does_not_fit_says_why(tmp_path: Path, text: str | bytes, cure: str) -> None:
    fitted = model(Schema([ColSpec("double", "x")]), pd.DataFrame({"prediction": [1.5]}))

    with pytest.raises(predict.PredictError, match=cure):
        predict.predict(fitted, rows(text, tmp_path))


def test_a_text_file_is_read_as_data_sets_are(tmp_path: Path) -> None:
    """Another delimiter, another encoding, blanks about the header, every word for a missing value, a mark at the start."""
    takes = Schema([ColSpec("double", "größe"), ColSpec("string", "ort")])
    fitted = model(takes, pd.DataFrame({"prediction": [0.0] * 5}))
    text = " größe ; ort\n1.5;Köln\n#N/A;Ulm\n-;?\n 2 ;\nNone;Bonn\n"

    for name, content, said in (
        ("rows.csv", text.encode("utf-8-sig"), {}),
        ("rows.csv", text.encode("utf-16"), {}),
        ("rows.csv", text.encode("latin-1"), {"encoding": "latin-1", "delimiter": ";"}),
        ("rows.tsv", text.replace(";", "\t").encode(), {}),
        ("rows.txt", text.replace(";", "|").encode(), {}),
        ("rows.csv", text.replace("\n", "\r\n").encode(), {}),
    ):
        out = predict.predict(fitted, rows(content, tmp_path, name, **said))

        assert fitted.given["größe"].tolist() == pytest.approx([1.5, np.nan, np.nan, 2.0, np.nan], nan_ok=True)
        assert fitted.given["ort"].tolist()[:3] == ["Köln", "Ulm", "?"], "the model knows which words mean missing"
        assert list(out.columns) == ["größe", "ort", "prediction"]
        assert out["größe"].tolist() == ["1.5", "#N/A", "-", " 2 ", "None"], "as it was written"


def test_a_parquet_file_is_read_by_its_types(tmp_path: Path) -> None:
    takes = Schema([ColSpec(kind, kind) for kind in KINDS] + [ColSpec("string", "code")])
    frame = pd.DataFrame(
        {
            "double": [1.5, None],
            "long": [3, 4],
            "boolean": [True, False],
            "datetime": pd.to_datetime(["2024-01-31", None]),
            " string": pd.Categorical(["a", "b"]),
            "code": [7, 8],
            "list": [[1], [2, 3]],
        }
    )
    frame.to_parquet(tmp_path / "rows.parquet")
    fitted = model(takes, pd.DataFrame({"prediction": [0.0, 1.0]}))

    out = predict.predict(fitted, predict.read(tmp_path / "rows.parquet", predict.taken(fitted)))

    given = fitted.given
    assert given["double"].tolist() == pytest.approx([1.5, np.nan], nan_ok=True)
    assert (given["long"].tolist(), given["boolean"].tolist()) == ([3, 4], [True, False])
    assert given["datetime"].tolist() == [pd.Timestamp("2024-01-31"), pd.NaT]
    assert (given["string"].tolist(), given["code"].tolist()) == (["a", "b"], ["7", "8"])
    assert list(out.columns) == ["double", "long", "boolean", "datetime", "string", "code", "list", "prediction"]
    with pytest.raises(predict.PredictError, match="cells of type list<element: int64> are not read"):
        predict.read(tmp_path / "rows.parquet")
    (tmp_path / "rows.parquet").write_text("x\n1\n")
    with pytest.raises(predict.PredictError, match="it is no Parquet file"):
        predict.read(tmp_path / "rows.parquet", ["x"])


def test_a_missing_truth_is_no_lie(tmp_path: Path) -> None:
    fitted = model(Schema([ColSpec("boolean", "x", required=False)]), pd.DataFrame({"prediction": [0.0] * 3}))

    predict.predict(fitted, rows("x,y\nTRUE,1\n,2\nfalse,3\n", tmp_path))

    given = fitted.given["x"].tolist()
    assert (given[0], given[2]) == (True, False)
    assert pd.isna(given[1])
    with pytest.raises(predict.PredictError, match="'maybe', and the model takes true and false here"):
        predict.predict(fitted, rows("x\nmaybe\n", tmp_path))


def test_rows_that_are_no_images_of_the_models_say_why(tmp_path: Path) -> None:
    fitted = model(Schema([TensorSpec(np.dtype("float64"), (-1, 2, 2))]), pd.DataFrame())

    with pytest.raises(predict.PredictError, match="4 pixels a row, 2 x 2"):
        predict.predict(fitted, rows("a,b,c\n1,2,3\n", tmp_path))
    with pytest.raises(predict.PredictError, match="pixel is missing"):
        predict.predict(fitted, rows("a,b,c,d\n1,2,3,\n", tmp_path))
