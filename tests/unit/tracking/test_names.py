from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.store.artifact.utils.models import _parse_model_uri
from mlflow.utils.validation import _validate_model_name

from tuner.domain.spec import StudySpec
from tuner.tracking import names

MLFLOW_ACCEPTS = re.compile(r"[/\w.\- :]*", re.ASCII)


def spec(*metrics: str) -> StudySpec:
    objectives = [{"metric": metric, "direction": "maximize"} for metric in metrics]
    return StudySpec.model_validate({"name": "s", "dataset": "d", "objectives": objectives, "budget": {"trials": 1}})


def test_a_curve_keeps_its_name_where_there_is_one_fold() -> None:
    assert names.curve("val/roc_auc", fold=0, step=3, rounds=1) == ("val/roc_auc", 3)


def test_with_several_folds_each_has_its_curve_and_the_results_make_one_of_their_own() -> None:
    assert names.curve("val/roc_auc", fold=2, step=3, rounds=5) == ("fold_2/val/roc_auc", 3)
    assert names.curve("val/roc_auc", fold=2, step=0, rounds=5) == ("folds/val/roc_auc", 2)
    assert names.curve("loss", fold=0, step=0, rounds=1) == ("loss", 0)  # a loop that counts from 0


def test_what_a_trial_uses_of_the_machine_stays_under_system_where_mlflow_looks_for_it() -> None:
    assert names.curve("system/memory_mb", fold=0, step=3, rounds=1) == ("system/memory_mb", 3)
    assert names.curve("system/memory_mb", fold=2, step=3, rounds=5) == ("system/fold_2/memory_mb", 3)


def test_a_results_metric_does_not_touch_the_curve_of_that_name() -> None:
    assert names.final("val/roc_auc", external=False) == "best/val/roc_auc"
    assert names.final("accuracy", external=True) == "best/accuracy"


NAMES = st.text(st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/"), min_size=1, max_size=200)


@given(NAMES | st.sampled_from([".", "..", "..a", " ", "a:b?c@d", "a %20#b"]))
def test_mlflows_registry_takes_any_studys_name_and_finds_it_by_alias(study_name: str) -> None:
    name = names.registered(study_name, 7)

    _validate_model_name(name)
    found = _parse_model_uri(f"models:/{name}@champion")
    assert (found.name, found.alias) == (name, "champion")
    assert name == study_name or name.endswith(" (#7)")


def test_facts_of_a_model_keep_their_names() -> None:
    assert names.final("latency_ms", external=True) == "latency_ms"
    assert names.final("epochs", external=False) == "epochs"


def test_one_objective_is_called_so_and_several_carry_their_metrics() -> None:
    assert names.objective(spec("roc_auc")) == "objective"
    assert names.objective(spec("roc_auc", "train_s"), 1) == "objective/train_s"


@pytest.mark.parametrize(
    ("given_name", "expected"),
    [
        ("val/loss", "val/loss"),
        ("a//b", "a/b"),
        ("/abs", "abs"),
        ("../up", "__/up"),
        ("a@b", "a_b"),
        (".", "_"),
        ("..a/...", "__a/___"),
        ("", "_"),
        ("größe", "gr__e"),
    ],
)
def test_keys_are_made_acceptable(given_name: str, expected: str) -> None:
    assert names.key(given_name) == expected


@given(st.text(max_size=400))
def test_every_name_becomes_one_that_mlflow_takes(name: str) -> None:
    key = names.key(name)

    assert MLFLOW_ACCEPTS.fullmatch(key)
    assert 0 < len(key) <= 250
    assert not {"", ".", ".."}.intersection(key.split("/"))
    assert not key.startswith("..")
    assert names.key(key) == key


def test_every_state_has_a_status() -> None:
    assert set(names.TRIAL_STATUS.values()) == {"SCHEDULED", "RUNNING", "FINISHED", "KILLED", "FAILED"}
    assert names.TRIAL_STATUS["pruned"] == names.TRIAL_STATUS["cancelled"] == "KILLED"
