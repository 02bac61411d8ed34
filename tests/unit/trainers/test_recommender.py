"""The recommender: that it learns, ranks as it says, and is exported as it was trained."""

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
from hypothesis import given
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from sklearn.metrics import ndcg_score

from benchmarks.families import debian
from tests import strangers
from tests.unit.trainers import made_interactions, resuming
from tests.unit.trainers.stored import store
from trainers import catalog, export, ranking, recommender
from trainers.configs import RecommenderConfig
from trainers.contract import Objective, Part, TrainResult
from trainers.data import files, parts
from trainers.data.info import USER
from trainers.pairs import Pairs, prepare
from trainers.towers import Ranker, Recommending

ARCHITECTURES = ("mf", "two_tower")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As workers train; with more, threads that wait for each other take longer than the sums."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


NDCG: Objective = ("ndcg_at_10", "maximize")
GOLDEN = {
    "mf": [
        0.693032,
        0.691149,
        0.689573,
        0.688043,
        0.686694,
        0.685575,
        0.684365,
        0.682727,
        0.682127,
        0.681278,
        0.680268,
        0.679446,
        0.678751,
        0.678276,
        0.678329,
        0.677442,
        0.67793,
        0.677152,
        0.677122,
        0.677071,
    ],
    "two_tower": [
        0.705385,
        0.687838,
        0.689904,
        0.68357,
        0.683875,
        0.684831,
        0.68224,
        0.682631,
        0.682104,
        0.680922,
        0.680667,
        0.680514,
        0.680651,
        0.679861,
        0.679386,
        0.679771,
        0.680765,
        0.679732,
        0.678789,
        0.678964,
    ],
}


def train(
    config: RecommenderConfig, *, ratings: bool = False, objective: Objective = ("loss", "minimize"), **made: Any
) -> tuple[TrainResult, list[dict[str, float]]]:
    epochs: list[dict[str, float]] = []
    result = recommender.train(
        *made_interactions.split(made_interactions.dataset(ratings=ratings, **made)),
        config,
        lambda _step, metrics: epochs.append(dict(metrics)),
        device="cpu",
        seed=0,
        objective=objective,
    )
    return result, epochs


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_each_user_is_given_the_items_of_the_own_club(architecture: str, loss: str) -> None:
    result, _ = train(RecommenderConfig(architecture=architecture, loss=loss, batch_size=64), objective=NDCG)

    # 15 items a club, of which 5 are in training: at most 10 are left, and all of them stand before others
    assert result.metrics["val/recall_at_10"] > 0.95


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_ratings_are_learned_to_the_noise_in_them(architecture: str) -> None:
    config = RecommenderConfig(architecture=architecture, batch_size=64)
    result, epochs = train(config, ratings=True, objective=("rmse", "minimize"))

    assert result.metrics["val/r2"] > 0.7
    assert {name for name in epochs[0] if name.startswith("val/")} == {"val/loss", "val/rmse", "val/mae", "val/r2"}


def test_every_metric_of_the_task_is_reported() -> None:
    _, epochs = train(RecommenderConfig(epochs=1))

    judged = {f"val/{metric}" for metric in catalog.METRICS["recommendation"]}
    assert set(epochs[0]) == judged | {"train/loss", "learning_rate", "samples_per_s", "epoch_s"}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("ratings", [False, True])
def test_one_batch_is_learned_by_heart(architecture: str, ratings: bool) -> None:  # noqa: FBT001
    dataset = made_interactions.dataset(ratings=ratings)
    few = Part(dataset, np.arange(0, 720, 40))  # of 18 users, so that each has hardly any of the items
    losses: list[float] = []
    recommender.train(
        few,
        few,
        RecommenderConfig(architecture=architecture, epochs=150, weight_decay=0, id_dropout=0, schedule="constant"),
        lambda _step, metrics: losses.append(metrics["train/loss"]),
        device="cpu",
        seed=0,
        objective=("loss", "minimize"),
    )

    assert losses[-1] < 0.01


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_first_twenty_steps_are_those_they_have_always_been(architecture: str) -> None:
    config = RecommenderConfig(architecture=architecture, epochs=20, batch_size=1000, width=8, dropout=0.1)
    _, epochs = train(config)

    assert [epoch["train/loss"] for epoch in epochs] == pytest.approx(GOLDEN[architecture], rel=1e-4)


# ---- ranks and metrics -----------------------------------------------------------------------------------------------


def test_ranks_are_places_among_all_items_that_the_user_has_not_in_training() -> None:
    data = _prepared()
    torch.manual_seed(1)
    ranker = Ranker(data.users, data.items, data.seen, RecommenderConfig(architecture="two_tower")).eval()
    with torch.inference_mode():
        ranks = ranker(data.x_validation)[:, 0].numpy()
        vectors, biases = ranker.catalogue()
        scores = (ranker.users(data.x_validation[:, 0]) @ vectors.T + biases).numpy()
        exported_scores = Recommending(ranker)(
            torch.nn.functional.pad(data.x_validation[:, :1].float(), (0, data.users.features.shape[1]))
        )
    assert exported_scores.numpy() == pytest.approx(scores, abs=1e-6)
    for row, (user, item) in enumerate(data.x_validation[:, :2].tolist()):
        seen = data.preprocessing["seen"][user - 1]
        others = np.delete(scores[row], [*seen, item - 1])
        assert ranks[row] == (others >= scores[row, item - 1]).sum()


def test_telling_no_items_apart_wins_nothing() -> None:
    data = _prepared()
    ranker = Ranker(data.users, data.items, data.seen, RecommenderConfig()).eval()
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.zero_()
        ranks = ranker(data.x_validation)[:, 0].numpy()

    assert ranking.measure(data.x_validation[:, 0].numpy(), ranks, data.relevant)["recall_at_20"] == 0


def test_ratings_that_are_all_the_same_are_not_blown_up() -> None:
    given = made_interactions.dataset(ratings=True)
    train_part, validation_part = made_interactions.split(replace(given, y=np.full(len(given.y), 3.3)))
    assert 0 < train_part.dataset.y[train_part.rows].std() < 1e-9  # rounding noise

    assert prepare(train_part, validation_part, "cpu").preprocessing["target_scale"] == 1.0


def test_ndcg_is_scikit_learns() -> None:
    random = np.random.default_rng(0)
    scores, truth = random.random((30, 50)), random.random((30, 50)) < 0.1
    truth[truth.sum(axis=1) == 0, 3] = True
    users, items = truth.nonzero()
    ranks = np.array([(scores[user] > scores[user, item]).sum() for user, item in zip(users, items, strict=True)])

    measured = ranking.measure(users, ranks, truth.sum(axis=1))

    for k in (5, 10, 20):
        assert measured[f"ndcg_at_{k}"] == pytest.approx(ndcg_score(truth, scores, k=k))
        first = np.argsort(-scores, axis=1)[:, :k]
        share = np.take_along_axis(truth, first, axis=1).sum(axis=1) / np.minimum(truth.sum(axis=1), k)
        assert measured[f"recall_at_{k}"] == pytest.approx(share.mean())


@given(pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30)), min_size=1), more=st.integers(0, 3))
def test_no_list_is_better_than_the_best_one_and_places_of_their_own_stay(
    pairs: list[tuple[int, int]], more: int
) -> None:
    """Whatever ranks are said, also many of a user at one place; those of one list are left as they are."""
    users, ranks = np.array(pairs).T
    relevant = np.bincount(users, minlength=5)
    relevant[relevant > 0] += more
    names, found = ranking.by_user(users, ranks, relevant)

    assert len(names) == found.shape[1]
    assert found.shape[0] == len({*users.tolist()})
    assert (found >= 0).all()
    assert (found <= 1 + 1e-12).all()
    recall = ranking.curve(users, ranks, relevant)["recall_at_k"]["recall"]
    assert 0 <= min(recall) <= max(recall) <= 1
    of_one_list = np.unique(users * 100 + ranks)
    lists = np.divmod(of_one_list, 100)
    assert ranking._apart(*lists).tolist() == lists[1].tolist()


def test_where_training_has_all_that_is_to_be_found_it_is_found_no_better_than_best() -> None:
    """Each is ranked among the items that the user has not, so that all of them may be said to be first."""
    dataset = made_interactions.dataset()
    train_part, _ = made_interactions.split(dataset)
    result = recommender.train(
        train_part,
        train_part,
        RecommenderConfig(epochs=8, batch_size=64),
        lambda _step, _metrics: None,
        device="cpu",
        seed=0,
        objective=NDCG,
    )
    found = {name: value for name, value in result.metrics.items() if "_at_" in name}

    assert len(found) == 6
    assert 0.9 < max(found.values()) <= 1


def test_an_item_that_training_lacks_is_missed_and_a_pair_that_it_has_does_not_count() -> None:
    dataset = made_interactions.dataset()
    train_part, validation_part = made_interactions.split(dataset)
    lacking = int(dataset.x[validation_part.rows[0], 1])
    without = Part(dataset, train_part.rows[dataset.x[train_part.rows, 1] != lacking])
    whole = prepare(train_part, validation_part, "cpu")
    lacks = prepare(without, validation_part, "cpu")
    repeated = prepare(train_part, Part(dataset, np.concatenate([validation_part.rows, train_part.rows[:50]])), "cpu")

    assert lacks.relevant.sum() == whole.relevant.sum()
    assert len(lacks.x_validation) < len(whole.x_validation)
    assert repeated.relevant.tolist() == whole.relevant.tolist()


def test_labels_of_the_test_part_change_nothing() -> None:
    """No row of the test part is read, whatever it says."""
    dataset = made_interactions.dataset(ratings=True)
    made = parts.of(dataset, validation=0.2, test=0.2, folds=1, repeats=1, seed=0)
    y, x = dataset.y.copy(), dataset.x.copy()
    y[made.test_rows], x[made.test_rows, 1] = y[made.test_rows][::-1] * 100, 0
    outcomes = []
    for each in (dataset, replace(dataset, x=x, y=y, digest="sha256:shuffled")):
        result = recommender.train(
            Part(each, made.folds[0][0]),
            Part(each, made.folds[0][1]),
            RecommenderConfig(epochs=2),
            lambda _step, _metrics: None,
            device="cpu",
            seed=0,
            objective=("rmse", "minimize"),
        )
        outcomes.append((result.metrics, resuming.digest(result.network)))

    assert outcomes[0] == outcomes[1]


def test_a_validation_part_that_was_learned_from_is_judged_all_the_same() -> None:
    """As a final model is trained, on all rows that the search has used."""
    dataset = made_interactions.dataset()
    everything = Part(dataset, np.arange(len(dataset.y)))
    result = recommender.train(
        everything,
        everything,
        RecommenderConfig(epochs=2),
        lambda _step, _metrics: None,
        device="cpu",
        seed=0,
        objective=("loss", "minimize"),
    )

    assert 0 <= result.metrics["val/recall_at_10"] <= 1


def _prepared() -> Pairs:
    return prepare(*made_interactions.split(made_interactions.dataset()), "cpu")


# ---- the exported model ----------------------------------------------------------------------------------------------

STRANGER = """
import sys, mlflow.pyfunc, pandas as pd
folder, rows = sys.argv[1:]
model = mlflow.pyfunc.load_model(folder)
predicted = model.predict(pd.read_csv(rows, dtype={"who": str, "what": str}))
print(predicted.reset_index().to_json(orient="values", double_precision=15))
"""


def exported(result: TrainResult, folder: Path) -> Any:
    export.save_model(result, folder, made_interactions.dataset())
    return mlflow.pyfunc.load_model(str(folder))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_fresh_process_without_us_gives_the_scores_of_the_training_code(architecture: str, tmp_path: Path) -> None:
    result, _ = train(RecommenderConfig(architecture=architecture, epochs=3, batch_size=64))
    exported(result, tmp_path / "model")
    asked = pd.DataFrame({"who": [f"u{user:03}" for user in range(0, 80, 7)], "k": 60})
    asked.to_csv(tmp_path / "rows.csv", index=False)
    printed = strangers.run(STRANGER, tmp_path / "model", tmp_path / "rows.csv", folder=tmp_path)
    given = pd.DataFrame(json.loads(printed.splitlines()[-1]), columns=["row", "rank", "item", "score"])

    expected = _scores(result)
    facts = result.preprocessing
    for row, who in enumerate(asked.who):
        user = facts[USER]["names"].index(who)
        mine = given[given.row == row].set_index("item").score
        unseen = np.delete(np.arange(len(facts["item"]["names"])), facts["seen"][user])
        assert sorted(mine.index) == [facts["item"]["names"][place] for place in unseen]
        assert mine.is_monotonic_decreasing
        wanted = dict(zip(np.array(facts["item"]["names"])[unseen], expected[user, unseen], strict=True))
        assert mine.to_dict() == pytest.approx(wanted, rel=1e-5, abs=1e-5)


def _scores(result: TrainResult) -> np.ndarray:
    """Of every user for every item by the network as it was trained, `(users, items)`."""
    x = torch.zeros(len(result.preprocessing[USER]["names"]), result.example.shape[1])
    x[:, 0] = torch.arange(1, len(x) + 1)  # whose features the network knows
    with torch.inference_mode():
        return result.network(x).numpy()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_ratings_of_the_exported_model_are_those_of_the_training_code(architecture: str, tmp_path: Path) -> None:
    result, _ = train(RecommenderConfig(architecture=architecture, epochs=3, batch_size=64), ratings=True)
    model = exported(result, tmp_path / "model")
    table = made_interactions.table()
    rows = table.iloc[made_interactions.split(made_interactions.dataset(ratings=True))[1].rows]

    predicted = model.predict(rows[["who", "what"]])

    rmse = float(np.sqrt(np.mean((predicted.prediction.to_numpy() - rows.stars.to_numpy()) ** 2)))
    assert list(predicted.index) == list(rows.index)
    assert rmse == pytest.approx(result.metrics["val/rmse"], rel=1e-5)
    assert model.predict(pd.DataFrame({"who": ["nobody"], "what": ["nothing"]})).notna().all().all()


def test_a_new_user_is_given_the_items_of_the_club_said_or_else_the_popular_ones(tmp_path: Path) -> None:
    result, _ = train(RecommenderConfig(architecture="two_tower", batch_size=64, id_dropout=0.3))
    model = exported(result, tmp_path / "model")

    asked = pd.DataFrame({"who": ["new"] * 5, "club": [*"abcd", None], "k": [12, 12, 12, 12, 3]})
    given = model.predict(asked)

    for row in range(4):
        mine = given.loc[row].item
        assert np.mean([int(item[1:]) % 4 == row for item in mine]) > 0.9
    assert given.loc[4].score.tolist() == _most_popular(3)


def test_without_features_a_new_user_is_given_the_popular_items(tmp_path: Path) -> None:
    result, _ = train(RecommenderConfig(epochs=2), features=False)
    model = exported(result, tmp_path / "model")

    given = model.predict(pd.DataFrame({"who": ["new", "u000"]}))

    assert given.loc[0].score.tolist()[:3] == _most_popular(3)
    assert given.loc[0]["rank"].tolist() == list(range(1, 11))


def _most_popular(k: int) -> list[int]:
    """How often the most popular items were taken in training, which is their score."""
    dataset = made_interactions.dataset()
    counts = np.bincount(dataset.x[made_interactions.split(dataset)[0].rows, 1].astype(int))
    return sorted(counts.tolist(), reverse=True)[:k]


def test_the_input_example_is_of_nobody_and_can_be_predicted(tmp_path: Path) -> None:
    for ratings in (False, True):
        result, _ = train(RecommenderConfig(architecture="two_tower", epochs=1), ratings=ratings)
        folder = tmp_path / str(ratings)
        model = exported(result, folder)
        example = model.metadata.load_input_example(str(folder))

        assert set(example.who) & set(made_interactions.table().who) == set()
        assert len(model.predict(example)) == len(example) * (1 if ratings else 10)


@pytest.mark.parametrize("ratings", [False, True])
def test_rows_that_a_recommender_cannot_use_are_refused_with_the_cure(ratings: bool, tmp_path: Path) -> None:  # noqa: FBT001
    result, _ = train(RecommenderConfig(epochs=1), ratings=ratings)
    code = exported(result, tmp_path / "model").unwrap_python_model()
    rows = pd.DataFrame({"who": ["u000"], "what": ["i00"], "k": [-1]})

    with pytest.raises(MlflowException, match="the rows lack 'who'"):
        code.predict(rows.drop(columns="who"))
    with pytest.raises(MlflowException, match="there is no row: give one for each user"):
        code.predict(rows.head(0))
    if not ratings:
        with pytest.raises(MlflowException, match="k, row 0 \\(the first is 0\\): '-1' is no number of items"):
            code.predict(rows)


# ---- real data -------------------------------------------------------------------------------------------------------


def test_debians_dependencies_are_recommended_better_than_the_popular_ones(tmp_path: Path) -> None:
    if (reason := debian.why_not()) is not None:
        pytest.skip(reason)
    frame = debian.dependencies(("sound", "video"))
    said: dict[str, Any] = {"user": "package", "item": "dependency", "user_features": ["section", "maintainer"]}
    dataset = files.load(store(tmp_path / "set", {"data.csv": frame.to_csv(index=False)}, **said), "debian")
    train_rows, validation_rows = parts.of(dataset, validation=0.2, test=0.2, folds=1, repeats=1, seed=0).folds[0]
    result = recommender.train(
        Part(dataset, train_rows),
        Part(dataset, validation_rows),
        RecommenderConfig(epochs=15, batch_size=256),
        lambda _step, _metrics: None,
        device="cpu",
        seed=0,
        objective=NDCG,
    )

    data = prepare(Part(dataset, train_rows), Part(dataset, validation_rows), "cpu")
    counts = np.bincount(data.seen.numpy() % (data.items.known + 1), minlength=data.items.known + 1).astype(float)
    pairs = data.x_validation[:, :2].numpy()
    ranks = np.array([_popular_rank(counts, data.preprocessing["seen"][user - 1], item) for user, item in pairs])
    popular = ranking.measure(pairs[:, 0], ranks, data.relevant)["ndcg_at_10"]
    assert result.metrics["val/ndcg_at_10"] > 1.15 * popular


def _popular_rank(counts: np.ndarray, seen: list[int], item: int) -> int:
    left = np.delete(counts, [0, *(np.array(seen) + 1)])
    return int((left >= counts[item]).sum()) - 1
