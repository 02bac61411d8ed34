"""A study is completed and checked: what may be left out, what is refused, and where the pointer points."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from trainers.data.builtin import BUILTIN
from trainers.data.info import Column, DatasetInfo
from tuner.datasets import Found
from tuner.domain.errors import InvalidError
from tuner.domain.spec import StudySpec
from tuner.resolve import Resolved, resolve


def study(**changes: Any) -> StudySpec:
    return StudySpec.model_validate({"name": "s", "dataset": "digits", "budget": {"trials": 3}} | changes)


def resolved(**changes: Any) -> Resolved:
    spec = study(**changes)
    return resolve(spec, None if spec.is_external else Found(BUILTIN[(spec.dataset or "").partition("@")[0]]))


def pointers(**changes: Any) -> dict[str, str]:
    with pytest.raises(InvalidError) as refused:
        resolved(**changes)
    return {error.pointer: error.detail for error in refused.value.errors}


def test_name_data_set_and_budget_are_enough() -> None:
    whole = resolved()

    assert whole.trainer == "image-mlp@1"
    assert [(o.metric, o.direction) for o in whole.spec.objectives or []] == [("roc_auc", "maximize")]
    assert "learning_rate" in (whole.spec.search_space or {})
    assert whole.spec.fixed["epochs"] == whole.facts["defaults"]["epochs"]
    assert whole.spec.sampler.seed is not None
    assert whole.facts["task"] == "classification"
    assert (
        whole.facts["split"]["folds"][0]["train"] + whole.facts["split"]["folds"][0]["validation"]
        == 1797 - (whole.facts["split"]["test"])
    )


def test_a_final_model_is_made_wherever_there_is_a_test_part_unless_one_says_not() -> None:
    assert resolved().spec.finalize is True
    assert resolved(finalize=False).spec.finalize is False
    assert resolved(evaluation={"test": 0}).spec.finalize is False
    assert "no test part" in pointers(evaluation={"test": 0}, finalize=True)["/finalize"]


TEXTS = DatasetInfo(
    name="texts",
    kind="text",
    task="classification",
    rows=200,
    shape=(),
    feature_names=("text",),
    class_names=("no", "yes"),
    digest="sha256:texts",
    columns=(Column("text", "text"),),
    class_counts=(100, 100),
)
LANGUAGE = replace(TEXTS, task="language", class_names=(), class_counts=())


def test_texts_without_a_target_are_for_a_language_model_which_needs_to_be_named() -> None:
    whole = resolve(study(dataset="texts", fixed={"model": "gpt2"}), Found(LANGUAGE))

    assert whole.trainer == "causal-lm@1"
    assert [(o.metric, o.direction) for o in whole.spec.objectives or []] == [("perplexity", "minimize")]
    assert "model" not in (whole.spec.search_space or {})
    assert resolve(study(dataset="texts"), Found(TEXTS)).trainer == "text-classifier@1"


@pytest.mark.parametrize(
    ("changes", "pointer", "cure"),
    [
        ({}, "/fixed/model", "causal-lm needs model: fix it, or give choices of it in search_space"),
        ({"fixed": {"model": "../gpt2"}}, "/fixed/model", "the plain name of a file"),
        ({"fixed": {"model": "gpt2", "lora_rank": -1}}, "/fixed/lora_rank", "from 0 to 512"),
        ({"fixed": {"model": "gpt2", "label_smoothing": 0.1}}, "/fixed/label_smoothing", "language has no labels"),
        ({"fixed": {"model": "gpt2"}, "trainer": "text-transformer"}, "/trainer", "use causal-lm, or leave it out"),
        (
            {"fixed": {"model": "gpt2"}, "objectives": [{"metric": "accuracy"}]},
            "/objectives/0/metric",
            "perplexity, loss",
        ),
    ],
)
def test_what_a_language_model_cannot_is_refused(changes: dict[str, Any], pointer: str, cure: str) -> None:
    with pytest.raises(InvalidError) as refused:
        resolve(study(dataset="texts", **changes), Found(LANGUAGE))

    assert cure in {error.pointer: error.detail for error in refused.value.errors}[pointer]


def test_models_may_be_compared_in_one_study() -> None:
    space = {"model": {"type": "categorical", "choices": ["gpt2", "llama"]}}

    assert "model" in (resolve(study(dataset="texts", search_space=space), Found(LANGUAGE)).spec.search_space or {})


def test_an_external_study_has_no_final_model() -> None:
    external = {
        "trainer": "external",
        "dataset": None,
        "objectives": [{"metric": "y", "direction": "minimize"}],
        "search_space": {"x": {"type": "float", "low": 0, "high": 1}},
    }
    assert resolved(**external).spec.finalize is False
    assert "external" in pointers(**external, finalize=True)["/finalize"]


def test_structured_data_needs_a_trainer_that_is_installed() -> None:
    found = Found(replace(BUILTIN["digits"], task="structured", class_names=(), class_counts=()))
    for trainer, cure in ((None, "no trainer here fits digits"), ("image-cnn", "choose another data set")):
        with pytest.raises(InvalidError) as refused:
            resolve(study(trainer=trainer), found)
        assert [(each.pointer, cure in each.detail) for each in refused.value.errors] == [("/trainer", True)]


@pytest.mark.parametrize(("dataset", "sizes"), [("iris", [16, 32]), ("breast_cancer", [16, 32, 64, 128])])
def test_the_default_space_fits_the_rows(dataset: str, sizes: list[int]) -> None:
    space = resolved(dataset=dataset).spec.search_space or {}

    assert space["batch_size"].cells() == sizes


@pytest.mark.parametrize(
    ("dataset", "trainer", "metric"),
    [
        ("digits", "image-mlp@1", "roc_auc"),
        ("breast_cancer", "tabular-mlp@1", "roc_auc"),
        ("wine@1", "tabular-mlp@1", "roc_auc"),
        ("iris", "tabular-mlp@1", "roc_auc"),
        ("diabetes", "tabular-mlp@1", "rmse"),
    ],
)
def test_every_built_in_data_set_finds_its_trainer_and_metric(dataset: str, trainer: str, metric: str) -> None:
    whole = resolved(dataset=dataset)

    assert whole.trainer == trainer
    assert (whole.spec.objectives or [])[0].metric == metric


def test_resolving_what_is_resolved_changes_nothing() -> None:
    once = resolved()

    assert resolve(once.spec, Found(BUILTIN["digits"])).spec == once.spec


def test_the_trainers_defaults_are_the_first_point() -> None:
    point = (resolved().spec.enqueue or [])[0]

    defaults = resolved().facts["defaults"]
    assert point
    assert all(defaults[name] == value for name, value in point.items())
    assert "momentum" not in point or point["optimizer"] == "sgd"


def test_what_is_fixed_leaves_the_default_space_with_its_conditions() -> None:
    space = resolved(fixed={"optimizer": "adamw"}).spec.search_space or {}
    assert "optimizer" not in space
    assert "momentum" not in space

    space = resolved(fixed={"optimizer": "sgd"}).spec.search_space or {}
    assert space["momentum"].when is None


FLOAT = {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}
EXTERNAL = {
    "dataset": None,
    "trainer": "external",
    "search_space": {"x": {"type": "float", "low": 0, "high": 1}},
    "objectives": [{"metric": "y", "direction": "minimize"}],
}


@pytest.mark.parametrize(
    ("changes", "pointer", "cure"),
    [
        ({"trainer": "gpt"}, "/trainer", "image-mlp"),
        ({"trainer": "tabular-mlp"}, "/trainer", "use image-mlp"),
        ({"dataset": "wine", "trainer": "image-mlp"}, "/trainer", "use tabular-mlp"),
        ({"objectives": [{"metric": "rmse"}]}, "/objectives/0/metric", "choose one of accuracy"),
        ({"objectives": [{"metric": "latency_ms"}]}, "/objectives/0/metric", "put another first"),
        ({"constraints": [{"metric": "speed", "max": 1}]}, "/constraints/0/metric", "choose one of"),
        ({"fixed": {"learning_rat": 0.1}}, "/fixed/learning_rat", "learning_rat"),
        ({"fixed": {"learning_rate": "high"}}, "/fixed/learning_rate", "learning_rate"),
        ({"fixed": {"dropout": 1.5}}, "/fixed/dropout", "dropout"),
        (
            {"search_space": {"learning_rate": {**FLOAT, "high": 1e9}}},
            "/search_space/learning_rate/high",
            "learning_rate",
        ),
        ({"search_space": {"spin": FLOAT}}, "/search_space/spin/low", "spin"),
        (
            {"search_space": {"optimizer": {"type": "categorical", "choices": ["sgd", "lion"]}}},
            "/search_space/optimizer/choices/1",
            "optimizer",
        ),
        ({"enqueue": [{"learning_rate": 5.0}]}, "/enqueue/0/learning_rate", "not a value"),
        ({"enqueue": [{"spin": 5.0}]}, "/enqueue/0/spin", "not in the search space"),
        ({"enqueue": [{"optimizer": "adamw", "momentum": 0.5}]}, "/enqueue/0/momentum", "does not exist"),
        ({"enqueue": [{"learning_rate": 0.01}] * 4}, "/enqueue", "more than budget.trials"),
        ({"evaluation": {"folds": 50, "test": 0.0}, "dataset": "iris", "search_space": None}, None, None),
        (
            {"objectives": [{"metric": "roc_auc"}, {"metric": "latency_ms"}], "pruner": {"name": "median"}},
            "/pruner/name",
            "use none",
        ),
        (
            {"objectives": [{"metric": "roc_auc"}, {"metric": "latency_ms"}], "sampler": {"name": "cmaes"}},
            "/sampler/name",
            "one objective",
        ),
        (
            {"search_space": {"epochs": {"type": "int", "low": 1, "high": 9}}, "pruner": {"name": "hyperband"}},
            "/search_space/epochs",
            "move epochs to fixed",
        ),
        (
            {"search_space": {"learning_rate": FLOAT}, "sampler": {"name": "grid"}},
            "/search_space/learning_rate",
            "step",
        ),
        ({**EXTERNAL, "pruner": {"name": "patient", "wrapped": {"name": "hyperband"}}}, "/fixed/epochs", "last step"),
        ({**EXTERNAL, "pruner": {"name": "hyperband"}, "fixed": {"epochs": True}}, "/fixed/epochs", "a number from 1"),
        ({**EXTERNAL, "pruner": {"name": "hyperband"}, "fixed": {"epochs": 0}}, "/fixed/epochs", "a number from 1"),
        (
            {
                **EXTERNAL,
                "objectives": [{"metric": f"y{i}", "direction": "minimize"} for i in range(6)],
                "sampler": {"name": "nsga3", "dividing_parameter": 100},
            },
            "/sampler/dividing_parameter",
            "reference points",
        ),
        (
            {
                **EXTERNAL,
                "search_space": {"n": {"type": "int", "low": 0, "high": 2**53}},
                "sampler": {"name": "gp"},
            },
            "/search_space/n",
            "gp looks at each",
        ),
        (
            {
                **EXTERNAL,
                "search_space": {"x": {"type": "float", "low": 0, "high": 1e3, "step": 1e-9}},
                "sampler": {"name": "grid"},
            },
            "/search_space",
            "make the steps larger",
        ),
        ({**EXTERNAL, "search_space": None}, "/search_space", "needs a search space"),
        ({**EXTERNAL, "objectives": None}, "/objectives", "needs objectives"),
        ({**EXTERNAL, "objectives": [{"metric": "y"}]}, "/objectives/0/direction", "minimize or maximize"),
        ({**EXTERNAL, "dataset": "iris"}, "/dataset", "leave it out"),
        ({**EXTERNAL, "pruner": {"name": "hyperband"}}, "/fixed/epochs", "last step"),
    ],
)
def test_what_does_not_go_together_is_refused_with_pointer_and_cure(
    changes: dict[str, Any], pointer: str | None, cure: str | None
) -> None:
    if pointer is None:
        assert resolved(**changes).facts["split"]["test"] == 0
        return
    found = pointers(**changes)

    assert pointer in found, found
    assert cure is not None
    assert cure in found[pointer]


def test_a_grid_is_counted_by_its_cells_and_not_by_its_range() -> None:
    space = {"n": {"type": "int", "low": 0, "high": 10**9, "step": 10**8}}

    assert resolved(**{**EXTERNAL, "search_space": space, "sampler": {"name": "grid"}}).spec.sampler.name == "grid"


def test_a_grid_has_no_point_of_its_own_before_its_cells() -> None:
    space = {"width": {"type": "int", "low": 16, "high": 64, "step": 16}}

    assert resolved(search_space=space, sampler={"name": "grid"}).spec.enqueue == []


def test_an_external_study_needs_only_space_objectives_and_budget() -> None:
    whole = resolved(**EXTERNAL)

    assert whole.trainer == "external"
    assert whole.spec.enqueue == []
