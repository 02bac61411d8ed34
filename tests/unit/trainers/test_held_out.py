"""Test parts of interactions and series: as validation is judged, and beside the trivial answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.trainers import made_interactions, made_series
from trainers import held_out, loop, pairs, ranking, recommender, scoring, sequence
from trainers.configs import RecommenderConfig, SequenceConfig, TrainingConfig
from trainers.contract import Objective, Part, TrialStopped

CASES: dict[str, tuple[Any, TrainingConfig, Any, Objective]] = {
    "events": (
        recommender,
        RecommenderConfig(architecture="two_tower", epochs=8, batch_size=64),
        made_interactions,
        ("ndcg_at_10", "maximize"),
    ),
    "factors": (recommender, RecommenderConfig(epochs=8, batch_size=64), made_interactions, ("ndcg_at_10", "maximize")),
    "ratings": (recommender, RecommenderConfig(epochs=8, batch_size=64), made_interactions, ("rmse", "minimize")),
    "series": (sequence, SequenceConfig(architecture="tcn", epochs=20, horizon=12), made_series, ("rmse", "minimize")),
}


@pytest.mark.parametrize("name", CASES)
def test_the_exported_network_comes_to_what_the_loop_has_measured_and_beats_the_trivial_answer(name: str) -> None:
    """What was validation in training is taken for the test part here."""
    trainer, config, made, objective = CASES[name]
    dataset = made.dataset(ratings=True) if name == "ratings" else made.dataset()
    learnt, held = made.split(dataset)
    result = trainer.train(
        learnt, held, config, lambda _step, _metrics: None, device="cpu", seed=0, objective=objective
    )

    seen = held_out.look(result, learnt, held)

    measured = seen.measure(seen.y, seen.predictions)
    wanted = {key.removeprefix("val/"): value for key, value in result.metrics.items() if key.startswith("val/")}
    assert measured == pytest.approx({key: wanted[key] for key in measured}, rel=1e-4)
    sign = 1 if objective[1] == "maximize" else -1
    assert sign * measured[objective[0]] > sign * seen.measure(seen.y, seen.trivial)[objective[0]]
    assert len(seen.y) == len(seen.predictions) == len(seen.trivial) == len(seen.units)
    assert (len(np.unique(seen.units)) < len(seen.units)) == (name in {"ratings", "series"})


@pytest.mark.parametrize("name", ["events", "ratings", "series"])
def test_a_long_test_part_is_heard_of_between_its_batches_and_can_be_stopped(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, config, made, objective = CASES[name]
    dataset = made.dataset(ratings=True) if name == "ratings" else made.dataset()
    learnt, held = made.split(dataset)
    config = replace(config, epochs=1)
    result = trainer.train(
        learnt, held, config, lambda _step, _metrics: None, device="cpu", seed=0, objective=objective
    )
    whole = held_out.look(result, learnt, held)
    monkeypatch.setattr(loop, "VALIDATION_CHUNK", 5)
    monkeypatch.setattr(held_out, "USERS_AT_ONCE", 5)
    heard: list[dict[str, float]] = []

    def stop(far: Mapping[str, float]) -> None:
        heard.append(dict(far))
        if far == {"test/rows": 15.0}:
            raise TrialStopped

    with pytest.raises(TrialStopped):
        scoring.score(result, learnt, held, seed=0, tick=stop)
    assert heard == [{"test/rows": 5.0}, {"test/rows": 10.0}, {"test/rows": 15.0}]
    heard.clear()
    seen = held_out.look(result, learnt, held, lambda far: heard.append(dict(far)))
    np.testing.assert_allclose(seen.predictions, whole.predictions, rtol=1e-5, atol=1e-5)
    rows = [far["test/rows"] for far in heard]
    assert rows == [*np.arange(5.0, rows[-1], 5.0), rows[-1]]
    assert rows[-1] == len(seen.y) or name == "events"


@pytest.mark.parametrize("known", ["no features", "missing features", "features"])
def test_a_user_of_whom_nothing_is_known_counts_with_the_popular_items(known: str) -> None:
    """As the exported model answers; of whom a feature is known, the tower makes something of it."""
    dataset = made_interactions.dataset(features=known != "no features")
    if known == "missing features":
        x = dataset.x.copy()
        x[x[:, 0] == 0, dataset.feature_names.index("club")] = np.nan
        dataset = replace(dataset, x=x, digest="sha256:missing")
    train_part, held = made_interactions.split(dataset)
    first = Part(dataset, train_part.rows[dataset.x[train_part.rows, 0] > 0])
    result = recommender.train(
        first,
        held,
        RecommenderConfig(architecture="two_tower", epochs=8, batch_size=64),
        lambda _step, _metrics: None,
        device="cpu",
        seed=0,
        objective=("loss", "minimize"),
    )

    seen = held_out.look(result, first, held)

    strangers = np.flatnonzero(seen.y > 79)
    assert len(strangers) == 1
    are_popular = seen.predictions[strangers].tolist() == seen.trivial[strangers].tolist()
    assert are_popular == (known != "features")
    measured = seen.measure(seen.y, seen.predictions)
    assert measured == pytest.approx({name: result.metrics[f"val/{name}"] for name in measured}, rel=1e-4)


def test_an_item_that_its_user_has_in_training_is_ranked_behind_each_new_one_that_scores_as_much() -> None:
    """A test part may hold nothing but what training has, too."""
    dataset = made_interactions.dataset()
    learnt, _held = made_interactions.split(dataset)
    again = Part(dataset, learnt.rows[::5])
    result = recommender.train(
        learnt,
        again,
        RecommenderConfig(epochs=2, batch_size=64),
        lambda _step, _metrics: None,
        device="cpu",
        seed=0,
        objective=("loss", "minimize"),
    )

    seen = held_out.look(result, learnt, again)

    data = pairs.prepare(learnt, again, "cpu")
    users, items = data.x_validation[:, :2].numpy().T
    with torch.inference_mode():
        scores = result.network(torch.nn.functional.pad(data.x_validation[:, :1].float(), (0, 1))).numpy()
    ranks = [
        (np.delete(row, data.preprocessing["seen"][user - 1]) >= row[item - 1]).sum()
        for row, user, item in zip(scores, users, items, strict=True)
    ]
    wanted = ranking.measure(users, np.array(ranks), data.relevant)
    assert seen.measure(seen.y, seen.predictions) == pytest.approx(wanted)
    assert {name: result.metrics[f"val/{name}"] for name in wanted} == pytest.approx(wanted)
