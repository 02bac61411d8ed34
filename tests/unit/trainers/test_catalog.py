import dataclasses
import subprocess
import sys
from importlib import import_module

import pytest

from trainers import catalog
from trainers.configs import ImageMlpConfig, TabularMlpConfig
from trainers.hyperparameters import ConfigError

TRAINERS = list(catalog.TRAINERS.values())
by_name = pytest.mark.parametrize("trainer", TRAINERS, ids=lambda trainer: trainer.name)


@pytest.mark.parametrize(
    "module",
    [
        "catalog",
        "configs",
        "contract",
        "hyperparameters",
        "data.builtin",
        "data.info",
        "data.split",
        "data.interaction_split",
    ],
)
def test_what_the_control_plane_reads_imports_neither_torch_nor_sklearn(module: str) -> None:
    program = f"import sys, trainers.{module}; print({{'torch', 'sklearn', 'pandas', 'mlflow'}} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)

    assert ran.stdout.strip() == "set()"


def test_a_trainer_is_found_by_name_and_by_kind_of_data() -> None:
    assert catalog.get("image-mlp") is catalog.fitting("image", "classification")[0]
    assert catalog.get("audio-classifier") is catalog.fitting("audio", "classification")[0]
    assert catalog.get("tabular-mlp") is catalog.fitting("tabular", "classification")[0]
    assert catalog.get("recommender") is catalog.fitting("interactions", "recommendation")[0]
    assert catalog.get("sequence") is catalog.fitting("series", "regression")[0]
    assert catalog.get("text-classifier") is catalog.fitting("text", "classification")[0]
    assert catalog.get("causal-lm") is catalog.fitting("text", "language")[0]


def test_an_unknown_trainer_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(catalog.UnknownTrainerError, match=", ".join(sorted(catalog.TRAINERS))):
        catalog.get("image-mpl")


WITHOUT_EXTRA = """
import sys
sys.modules["peft"] = None  # as where it is not installed
from trainers import catalog
print([name for name, trainer in catalog.trainers().items() if not catalog.is_usable(trainer)])
try:
    catalog.load(catalog.get("causal-lm"))
except ImportError as error:
    print(error)
print({"torch", "transformers", "peft", "tokenizers"} & set(sys.modules) - {"peft"})
"""


def test_where_an_extra_is_not_installed_its_trainers_are_known_and_tell_the_cure() -> None:
    ran = subprocess.run([sys.executable, "-c", WITHOUT_EXTRA], capture_output=True, text=True, check=True, timeout=60)

    assert ran.stdout.splitlines() == [
        "['text-transformer', 'causal-lm']",
        "causal-lm needs transformers and peft where it runs: pip install 'tuner[transformers]'",
        "set()",
    ]
    assert all(catalog.is_usable(trainer) for trainer in TRAINERS)  # here they are installed


@by_name
def test_a_trainers_entry_point_is_its_train_function(trainer: catalog.Trainer) -> None:
    module = import_module(trainer.entry_point.split(":")[0])

    assert catalog.load(trainer) is module.train


@by_name
def test_hyperparameters_describe_every_field_of_the_config(trainer: catalog.Trainer) -> None:
    described = {each.name: each for each in catalog.hyperparameters(trainer)}

    assert list(described) == [field.name for field in dataclasses.fields(trainer.config)]
    for name, each in described.items():
        assert each.doc.endswith("."), name
        assert each.default == getattr(trainer.config(), name)
        if each.type in {"int", "float"}:
            assert each.low < each.high, name
            assert each.default is None or each.low <= each.default <= each.high, name
        if each.type == "categorical":
            assert each.default in each.choices, name


@by_name
def test_the_defaults_are_a_valid_config_and_come_out_as_they_went_in(trainer: catalog.Trainer) -> None:
    task = trainer.tasks[0]

    assert catalog.build_config(trainer, {}, task) == trainer.config()
    assert catalog.build_config(trainer, dataclasses.asdict(trainer.config()), task) == trainer.config()


@by_name
def test_both_ends_of_the_default_space_are_valid_values(trainer: catalog.Trainer) -> None:
    for name, distribution in trainer.default_space.items():
        ends = distribution.get("choices") or [distribution["low"], distribution["high"]]
        for value in ends:
            config = catalog.build_config(trainer, {name: value}, trainer.tasks[0])
            assert getattr(config, name) == value
        for other, values in distribution.get("when", {}).items():
            assert set(values) <= set(trainer.default_space[other]["choices"])


@by_name
def test_a_default_space_has_no_batches_of_more_than_a_quarter_of_the_rows(trainer: catalog.Trainer) -> None:
    whole = trainer.default_space["batch_size"]["choices"]

    assert catalog.space_for(trainer, trainer.kinds[0], 10**6) == trainer.default_space
    for rows, greatest in ((4 * max(whole) - 1, max(whole) / 2), (150, 37), (1, min(whole))):
        space = catalog.space_for(trainer, trainer.kinds[0], rows)
        assert max(space["batch_size"]["choices"]) <= max(greatest, min(whole))
        assert {**space, "batch_size": None} == {**trainer.default_space, "batch_size": None}
    assert trainer.default_space["batch_size"]["choices"] == whole


def test_values_are_taken_over() -> None:
    config = catalog.build_config(
        catalog.get("image-mlp"),
        {"learning_rate": 1, "batch_norm": True, "optimizer": "sgd", "depth": 3, "cutout": 2, "flip_p": None},
        "classification",
    )

    assert config == ImageMlpConfig(learning_rate=1.0, batch_norm=True, optimizer="sgd", depth=3, cutout=2)
    assert isinstance(config.learning_rate, float)


@pytest.mark.parametrize(
    ("values", "field", "message"),
    [
        ({"lerning_rate": 0.1}, "lerning_rate", "unknown"),
        ({"learning_rate": "0.1"}, "learning_rate", "a number"),
        ({"learning_rate": True}, "learning_rate", "a number"),
        ({"learning_rate": float("nan")}, "learning_rate", "from 1e-08 to 100"),
        ({"learning_rate": None}, "learning_rate", "a number"),
        ({"epochs": 1.5}, "epochs", "an integer"),
        ({"epochs": 0}, "epochs", "from 1 to"),
        ({"rotate_deg": 15.5}, "rotate_deg", "from 0 to 15"),
        ({"optimizer": "rmsprop"}, "optimizer", "sgd, adam, adamw"),
        ({"optimizer": ["sgd"]}, "optimizer", "sgd, adam, adamw"),
        ({"batch_norm": 1}, "batch_norm", "true or false"),
        ({"loss": "mse"}, "loss", "cross_entropy, focal"),
        ({"batch_norm": True, "batch_size": 3}, "batch_size", "at least 4"),
    ],
)
def test_an_impossible_value_is_refused_by_name(values: dict[str, object], field: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        catalog.build_config(catalog.get("image-mlp"), values, "classification")

    assert refused.value.field == field


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"loss": "focal"}, "loss"),
        ({"label_smoothing": 0.1}, "label_smoothing"),
        ({"class_weighting": "balanced"}, "class_weighting"),
    ],
)
def test_what_is_for_classes_is_refused_for_regression(values: dict[str, object], field: str) -> None:
    trainer = catalog.get("tabular-mlp")
    assert catalog.build_config(trainer, values, "classification") == TabularMlpConfig(**values)

    with pytest.raises(ConfigError) as refused:
        catalog.build_config(trainer, values, "regression")

    assert refused.value.field == field
