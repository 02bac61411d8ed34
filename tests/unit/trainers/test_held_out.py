"""Test parts of interactions and series: as validation is judged, and beside the trivial answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.trainers import made_interactions, made_series
from trainers import held_out, recommender, sequence
from trainers.configs import RecommenderConfig, SequenceConfig, TrainingConfig
from trainers.contract import Objective, Part

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


def test_a_user_of_whom_nothing_is_known_counts_with_the_popular_items() -> None:
    dataset = made_interactions.dataset(features=False)
    train_part, held = made_interactions.split(dataset)
    first = Part(dataset, train_part.rows[dataset.x[train_part.rows, 0] > 0])
    result = recommender.train(
        first,
        held,
        RecommenderConfig(epochs=2),
        lambda _step, _metrics: None,
        device="cpu",
        seed=0,
        objective=("loss", "minimize"),
    )

    seen = held_out.look(result, first, held)

    strangers = np.flatnonzero(seen.y > 79)
    assert len(strangers) == 1
    assert seen.predictions[strangers].tolist() == seen.trivial[strangers].tolist()
