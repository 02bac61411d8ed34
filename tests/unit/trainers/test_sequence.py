"""Forecasts of series: how they are read, that they are learned from the past alone, and exported as they were trained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException

from tests import strangers
from tests.unit.trainers import made_series, resuming
from tests.unit.trainers.stored import store
from trainers import export, sequence
from trainers.configs import SequenceConfig
from trainers.contract import Dataset, Part, TrainResult
from trainers.data import files, keys
from trainers.recurrences import READERS
from trainers.windows import prepare
from tuner import predict

GOLDEN: dict[str, list[float]] = {
    "gru": [
        0.337715,
        0.300191,
        0.261696,
        0.224047,
        0.195556,
        0.172939,
        0.150818,
        0.131847,
        0.114654,
        0.107483,
        0.102362,
        0.0938574,
        0.0908283,
        0.0851935,
        0.0804593,
        0.0811936,
        0.0787578,
        0.0786155,
        0.0759511,
        0.0761649,
    ],
    "tcn": [
        0.241035,
        0.204948,
        0.163677,
        0.119683,
        0.102806,
        0.0783302,
        0.068742,
        0.0606927,
        0.0532396,
        0.0494147,
        0.0473212,
        0.0439976,
        0.0470674,
        0.0459879,
        0.0510115,
        0.0447159,
        0.0474385,
        0.0487664,
        0.0468611,
        0.047386,
    ],
    "transformer": [
        0.296609,
        0.24049,
        0.198668,
        0.169432,
        0.170611,
        0.138226,
        0.132455,
        0.106992,
        0.0972154,
        0.0952076,
        0.0894285,
        0.0766035,
        0.071077,
        0.0755545,
        0.0647088,
        0.0669359,
        0.0662984,
        0.0683516,
        0.064045,
        0.0727111,
    ],
}
by_architecture = pytest.mark.parametrize("architecture", READERS)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As workers train."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def train(config: SequenceConfig, given: Dataset | None = None) -> tuple[TrainResult, list[dict[str, float]]]:
    epochs: list[dict[str, float]] = []
    result = sequence.train(
        *made_series.split(given or made_series.dataset()),
        config,
        lambda _step, metrics: epochs.append(dict(metrics)),
        device="cpu",
        seed=0,
        objective=("rmse", "minimize"),
    )
    return result, epochs


def test_windows_hold_the_past_of_their_own_series_and_forecast_rows_of_one_part() -> None:
    given = made_series.dataset()
    train_part, validation_part = made_series.split(given)
    data = prepare(train_part, validation_part, window=5, horizon=3, device="cpu")
    table = made_series.table()
    months = sorted(table.month.unique())
    begins = table.iloc[validation_part.rows].month.min()

    for row, (past, future) in enumerate(zip(data.x_validation.numpy(), data.y_raw, strict=True)):
        shop = data.preprocessing["series"]["names"][int(past[-1]) - 1]
        course = table[table.shop == shop].set_index("month").sold.reindex(months).to_numpy()
        (place,) = np.flatnonzero(course == future[0])
        assert future == pytest.approx(course[place : place + 3])
        assert months[place] >= begins
        assert past[:-1] * data.scales[row] + data.last[row] == pytest.approx(course[place - 5 : place], rel=1e-4)


# ---- training --------------------------------------------------------------------------------------------------------


@by_architecture
def test_a_season_is_learned_far_better_than_repeating_the_last_one(architecture: str) -> None:
    given = made_series.dataset()
    result, _ = train(SequenceConfig(architecture=architecture, horizon=made_series.SEASON, epochs=40))
    data = prepare(*made_series.split(given), window=24, horizon=made_series.SEASON, device="cpu")
    season = data.x_validation.numpy()[:, -1 - made_series.SEASON : -1]
    naive = float(np.sqrt(np.mean((data.raw(season) - data.y_raw) ** 2)))

    assert result.metrics["val/rmse"] < 0.9 * naive


@by_architecture
def test_one_batch_is_learned_by_heart(architecture: str) -> None:
    few = Part(made_series.dataset(), np.arange(288))
    losses: list[float] = []
    sequence.train(
        few,
        few,
        SequenceConfig(architecture=architecture, epochs=300, batch_size=1000, width=64, window=12, weight_decay=0),
        lambda _step, metrics: losses.append(metrics["train/loss"]),
        device="cpu",
        seed=0,
        objective=("loss", "minimize"),
    )

    assert losses[-1] < 0.1 * losses[0]
    assert losses[-1] < 0.04


@by_architecture
def test_the_first_twenty_steps_are_those_they_have_always_been(architecture: str) -> None:
    _, epochs = train(SequenceConfig(architecture=architecture, epochs=20, batch_size=1000, width=8, dropout=0.1))

    assert [epoch["train/loss"] for epoch in epochs] == pytest.approx(GOLDEN[architecture], rel=1e-4)


def test_the_future_changes_nothing_of_what_was_learned_before_it() -> None:
    given = made_series.dataset()
    train_part, validation_part = made_series.split(given)
    used = np.concatenate([train_part.rows, validation_part.rows])
    y = given.y.copy()
    y[np.setdiff1d(np.arange(len(y)), used)] = 1e6
    changed = replace(given, y=y)

    first, second = (train(SequenceConfig(epochs=2), each)[0] for each in (given, changed))
    assert (first.metrics, resuming.digest(first.network)) == (second.metrics, resuming.digest(second.network))

    y[validation_part.rows] = 1e6
    third = train(SequenceConfig(epochs=1), replace(given, y=y))[1]
    assert third[0]["train/loss"] == train(SequenceConfig(epochs=1))[1][0]["train/loss"]


def test_a_series_that_stays_the_same_in_training_is_scaled_as_a_new_one() -> None:
    given = made_series.dataset()
    constant = np.where(given.x[:, 1] == 1, 3.3, given.y)
    train_part, validation_part = made_series.split(replace(given, y=constant))
    assert constant[train_part.rows][given.x[train_part.rows, 1] == 1].std() not in {0.0, 1.0}  # rounding noise

    facts = prepare(train_part, validation_part, 3, 1, "cpu").preprocessing

    assert facts["series"]["scales"][1] == facts["scale"] == constant[train_part.rows].std()


def test_a_horizon_longer_than_a_part_is_refused() -> None:
    with pytest.raises(ValueError, match="the horizon smaller"):
        train(SequenceConfig(horizon=50, epochs=1))


# ---- further columns -------------------------------------------------------------------------------------------------


def led(weeks: int = 150) -> pd.DataFrame:
    """Two series that nobody could forecast from their own past: `orders` of a week are `sold` in the next; some are missing."""
    random = np.random.default_rng(0)
    rows = []
    for size, place in ((1, "a"), (10, "b")):
        orders = size * random.normal(10, 3, weeks + 1).round(2)
        frame = pd.DataFrame({"week": np.arange(weeks), "place": place, "sold": orders[:-1], "orders": orders[1:]})
        rows.append(frame.assign(orders=frame.orders.mask(random.random(weeks) < 0.05)))
    return pd.concat(rows).sample(frac=1, random_state=0).reset_index(drop=True)


def stored_led(folder: Path, table: pd.DataFrame, **said: Any) -> Dataset:
    folder = store(folder, {"data.csv": table.to_csv(index=False)}, time="week", series="place", target="sold", **said)
    return keys.attach(files.load(folder, "led"), folder, time="week")


@by_architecture
def test_a_further_column_that_leads_is_made_use_of(architecture: str, tmp_path: Path) -> None:
    config = SequenceConfig(architecture=architecture, window=6, epochs=25, learning_rate=0.01)

    told, _ = train(config, stored_led(tmp_path / "told", led()))
    untold, _ = train(config, stored_led(tmp_path / "untold", led(), columns={"orders": "ignore"}))

    assert told.metrics["val/rmse"] < 0.6 * untold.metrics["val/rmse"]


def test_what_is_not_known_yet_of_a_further_column_is_not_read(tmp_path: Path) -> None:
    table = led()
    given = stored_led(tmp_path / "set", table)
    train_part, validation_part = made_series.split(given)
    data = prepare(train_part, validation_part, window=4, horizon=2, device="cpu")
    (orders,) = data.preprocessing["values"]

    for row, future in zip(data.x_validation.numpy()[::7], data.y_raw[::7], strict=True):
        place = data.preprocessing["series"]["names"][int(row[-1]) - 1]
        course = table[table.place == place].set_index("week").sort_index()
        sold = course.sold.to_numpy()
        (begins,) = np.flatnonzero((sold[:-1] == future[0]) & (sold[1:] == future[1]))
        known = course.orders.ffill().iloc[begins - 4 : begins]
        assert row[4:8] * orders["scale"] + orders["mean"] == pytest.approx(known.to_numpy(), rel=1e-4)


# ---- the exported model ----------------------------------------------------------------------------------------------

STRANGER = """
import sys, mlflow.pyfunc, pandas as pd
folder, rows = sys.argv[1:]
print(mlflow.pyfunc.load_model(folder).predict(pd.read_csv(rows)).to_json(orient="values", double_precision=15))
"""


def test_a_file_with_decimal_commas_is_forecast_as_it_was_trained_on(tmp_path: Path) -> None:
    """Of a table with a further column, in the manner of German spreadsheets, through `tuner predict`."""
    table = led()
    days = pd.Timestamp("2020-01-06") + pd.to_timedelta(7 * table.week, unit="D")
    table["week"] = days.dt.strftime("%d.%m.%Y")
    text = table.to_csv(index=False, sep=";", decimal=",")
    folder = store(tmp_path / "set", {"data.csv": text}, time="week", series="place", target="sold")
    given = keys.attach(files.load(folder, "led"), folder, time="week")
    train_part, validation_part = made_series.split(given)
    result, _ = train(SequenceConfig(architecture="tcn", window=6, epochs=2), given)
    export.save_model(result, tmp_path / "model", given)
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    lines = text.splitlines()
    past = tmp_path / "past.csv"
    past.write_text("\n".join([lines[0], *(lines[1 + row] for row in train_part.rows)]))

    found = predict.predict(model, predict.read(past, predict.taken(model)))

    data = prepare(train_part, validation_part, window=6, horizon=1, device="cpu")
    with torch.inference_mode():
        forecasts = data.raw(result.network(data.x_validation).numpy())
    firsts = [int(np.flatnonzero(data.series == code)[0]) for code in (0, 1)]
    assert found.place.tolist() == ["a", "b"]
    assert found.prediction.to_numpy() == pytest.approx(forecasts[firsts, 0], rel=1e-5)

    for wrong, told in (
        (
            ("06.01.2020", "yesterday"),
            "week, row 0 \\(the first is 0\\): 'yesterday', and the model takes dates as 31.12.2024 here",
        ),
        (("7,5", "a lot"), "sold, row 0 \\(the first is 0\\): 'a lot', and the model takes numbers as 1.234,50 here"),
        (("a;", ";"), "place, row 0 \\(the first is 0\\): no value: say which series the row is of"),
    ):
        past.write_text("week;place;sold;orders\n06.01.2020;a;7,5;8\n".replace(*wrong))
        with pytest.raises(predict.PredictError, match=told):
            predict.predict(model, predict.read(past, predict.taken(model)))


def test_rows_that_a_forecaster_cannot_use_are_refused_with_the_cure(tmp_path: Path) -> None:
    result, _ = train(SequenceConfig(architecture="tcn", epochs=1))
    export.save_model(result, tmp_path / "model", made_series.dataset())
    code = mlflow.pyfunc.load_model(str(tmp_path / "model")).unwrap_python_model()
    rows = pd.DataFrame({"month": ["2020-01-01", "2020-02-30"], "shop": "new", "sold": [1.0, 2.0]})

    with pytest.raises(
        MlflowException,
        match="month, row 1 \\(the first is 0\\): '2020-02-30', and the model takes dates as 2024-12-31",
    ):
        code.predict(rows)
    with pytest.raises(
        MlflowException, match="sold, row 0 \\(the first is 0\\): no value, and the model takes numbers"
    ):
        code.predict(rows.assign(month="2020-01-01", sold=[np.nan, 1.0]))
    with pytest.raises(MlflowException, match="the rows lack 'shop': give the columns that training had"):
        code.predict(rows.drop(columns="shop"))
    with pytest.raises(MlflowException, match="there is no row: give the steps of one series at least"):
        code.predict(rows.head(0))


@by_architecture
def test_a_fresh_process_without_us_forecasts_as_the_training_code_does(architecture: str, tmp_path: Path) -> None:
    given = made_series.dataset()
    result, _ = train(SequenceConfig(architecture=architecture, horizon=4, depth=2, epochs=2))
    export.save_model(result, tmp_path / "model", given)
    table = made_series.table()
    train_part, validation_part = made_series.split(given)
    table.iloc[train_part.rows].to_csv(tmp_path / "rows.csv", index=False)
    printed = strangers.run(STRANGER, tmp_path / "model", tmp_path / "rows.csv", folder=tmp_path)
    found = pd.DataFrame(json.loads(printed.splitlines()[-1]), columns=["shop", "step", "prediction"])

    data = prepare(train_part, validation_part, window=24, horizon=4, device="cpu")
    with torch.inference_mode():
        forecasts = data.raw(result.network(data.x_validation).numpy())
    for shop, mine in found.groupby("shop"):
        index = result.preprocessing["series"]["names"].index(shop) + 1
        first = int(np.flatnonzero(data.x_validation[:, -1].numpy() == index)[0])
        assert mine.step.tolist() == [1, 2, 3, 4]
        assert mine.prediction.to_numpy() == pytest.approx(forecasts[first], rel=1e-5)
    assert len(found) == 12


def test_a_new_short_series_is_forecast_and_the_input_example_is_of_nobody(tmp_path: Path) -> None:
    result, _ = train(SequenceConfig(horizon=3, epochs=1))
    export.save_model(result, tmp_path / "model", made_series.dataset())
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    example = model.metadata.load_input_example(str(tmp_path / "model"))

    given = model.predict(pd.DataFrame({"month": ["2020-02-01", "2020-01-01"], "shop": "new", "sold": [2.0, 1.0]}))

    assert given.columns.tolist() == ["shop", "step", "prediction"]
    assert given.prediction.notna().all()
    assert set(example["shop"]) == {"a new series, 0"}
    assert len(model.predict(example)) == 3


def test_the_very_file_of_training_is_forecast_where_series_have_whole_numbers_for_names(tmp_path: Path) -> None:
    table = made_series.table(48)
    table["shop"] = table.shop.map({"north": 4, "south": 11, "west": 2})
    said = {"time": "month", "series": "shop", "target": "sold"}
    folder = store(tmp_path / "set", {"data.csv": table.to_csv(index=False)}, **said)
    given = keys.attach(files.load(folder, "shops"), folder, time="month")
    result, _ = train(SequenceConfig(architecture="tcn", epochs=1, window=4, horizon=1), given)
    export.save_model(result, tmp_path / "model", given)
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))

    found = model.predict(pd.read_csv(folder / "data.csv"))
    by_command = predict.predict(model, predict.read(folder / "data.csv", predict.taken(model)))

    assert found.shop.tolist() == by_command.shop.tolist() == ["11", "2", "4"]
    assert found.prediction.tolist() == pytest.approx(by_command.prediction.tolist())
    assert len(model.predict(model.metadata.load_input_example(str(tmp_path / "model")))) == 1


def test_one_series_needs_no_column_of_series(tmp_path: Path) -> None:
    one = made_series.table().query("shop == 'west'").drop(columns="shop").assign(month=lambda each: range(len(each)))
    folder = store(tmp_path / "set", {"data.csv": one.to_csv(index=False)}, time="month", target="sold")
    given = files.load(folder, "one")
    given = replace(given, times=given.x[:, 0])
    result, _ = train(SequenceConfig(architecture="tcn", epochs=1, horizon=2), given)
    export.save_model(result, tmp_path / "model", given)

    forecast = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(one)

    assert forecast.columns.tolist() == ["step", "prediction"]
    assert forecast.step.tolist() == [1, 2]
