from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from tuner.domain.spec import StudySpec
from tuner.tracking import content, links

T0 = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
T0_MS = 1772366400123

SPEC = StudySpec.model_validate(
    {
        "name": "s",
        "dataset": "digits",
        "objectives": [{"metric": "roc_auc", "direction": "maximize"}],
        "constraints": [{"metric": "latency_ms", "max": 5}],
        "search_space": {"learning_rate": {"type": "float", "low": 0.1, "high": 1}},
        "fixed": {"epochs": 3},
        "budget": {"trials": 4},
        "tags": {"team": "vision", "tuner.trial": "99", "a@b": "x"},
        "notes": "look *here*",
    }
)


def report(step: int, metrics: str, *, fold: int = 0, after_ms: int = 0) -> Any:
    return SimpleNamespace(step=step, fold=fold, metrics=metrics, reported_at=T0 + timedelta(milliseconds=after_ms))


def trial(**changes: Any) -> Any:
    row = {
        "number": 12,
        "state": "complete",
        "params": '{"learning_rate": 0.5, "augmentation": null}',
        "metrics": '{"val/roc_auc": 0.9, "latency_ms": 2.5}',
        "objective_values": [0.9],
        "best_step": 2,
        "finished_at": T0,
        "end_reason": "complete",
        "end_detail": None,
        "error": None,
        "attempt_id": "a",
        "attempt_number": 2,
        "worker_id": "w",
        "run_id": "r12",
        "retry_of_number": None,
    }
    return SimpleNamespace(**{**row, **changes})


def study(**changes: Any) -> Any:
    row = {
        "id": 7,
        "name": "my [study]",
        "facts": '{"dataset": {"name": "digits", "digest": "sha256:ff"}}',
        "trainer": "image-mlp@1",
        "parent_run_id": "p",
        "best_finish_seq": 5,
    }
    return SimpleNamespace(**{**row, **changes})


def test_reports_become_points_at_the_time_they_were_made() -> None:
    points = content.curves(SPEC, [report(1, '{"val/loss": 0.5}'), report(2, '{"val/loss": 0.25}', after_ms=1500)])

    assert points == [
        {"key": "val/loss", "value": 0.5, "timestamp": T0_MS, "step": 1},
        {"key": "val/loss", "value": 0.25, "timestamp": T0_MS + 1500, "step": 2},
    ]


def test_values_that_json_has_no_number_for_are_spelled_as_protobuf_does() -> None:
    points = content.curves(SPEC, [report(1, '{"a": NaN, "b": Infinity, "c": -Infinity}')])

    assert [point["value"] for point in points] == ["NaN", "Infinity", "-Infinity"]
    json.dumps(points, allow_nan=False)


def test_a_result_is_shown_at_its_best_epoch_and_once_more_as_the_objective() -> None:
    end = content.trial_end(SPEC, trial())

    assert {point["key"]: (point["value"], point["step"]) for point in end.metrics} == {
        "best/val/roc_auc": (0.9, 2),
        "latency_ms": (2.5, 2),
        "objective": (0.9, 2),
    }
    assert end.params == {"epochs": "3", "learning_rate": "0.5", "augmentation": "None"}
    assert end.tags == {
        "tuner.state": "complete",
        "tuner.end_reason": "complete",
        "tuner.end": "complete",
        "tuner.best_step": "2",
        "tuner.attempt": "2",
        "tuner.worker": "w",
    }


def test_a_long_error_is_cut_for_the_tag() -> None:
    end = content.trial_end(SPEC, trial(state="failed", metrics=None, objective_values=None, error="x" * 5000))

    assert len(end.tags["tuner.error"]) == content.MAX_ERROR
    assert end.metrics == []


def test_a_trial_that_no_worker_had_has_no_worker() -> None:
    tags = content.trial_tags(study(), trial(attempt_id=None), "http://h")

    assert "tuner.worker" not in tags
    assert tags["mlflow.parentRunId"] == "p"


def test_a_retried_trial_names_the_one_that_failed() -> None:
    tags = content.trial_tags(study(), trial(retry_of_number=3), "http://h")

    assert tags["tuner.retry_of"] == "3"
    assert "tuner.retry_of" not in content.trial_tags(study(), trial(), "http://h")


def test_a_users_tag_cannot_take_the_name_of_ours() -> None:
    tags = content.study_tags(study(), SPEC, "http://h")

    assert tags["team"] == "vision"
    assert tags["a_b"] == "x"
    assert "tuner.trial" not in tags
    assert (tags["tuner.study_id"], tags["tuner.kind"]) == ("7", "study")
    assert tags["tuner.dataset_digest"] == "sha256:ff"


def test_the_description_links_back_and_a_name_cannot_break_the_link() -> None:
    note = content.experiment_tags(study(), SPEC, "http://h:1")["mlflow.note.content"]

    assert r"[my \[study\]](http://h:1/api/v1/studies/7)" in note
    assert "http://h:1/dashboard/studies/7" in note
    assert note.endswith("look *here*")


def test_a_later_best_trial_gets_a_higher_step_on_the_parent_run() -> None:
    shown = content.study_best(SPEC, study(), trial())

    assert {point["step"] for point in shown.metrics} == {5}
    assert shown.params == {}
    assert json.loads(shown.tags["tuner.best_params"])["learning_rate"] == "0.5"


def test_the_table_of_runs_shows_objective_constraint_and_params() -> None:
    tag = json.loads(links.view(SPEC, "maximize")["mlflow.sharedViewState.tuner"])

    assert tag["orderByKey"] == "metrics.`objective`"
    assert tag["orderByAsc"] is False
    assert tag["selectedColumns"][:4] == [
        "metrics.`objective`",
        "metrics.`best/val/roc_auc`",
        "metrics.`latency_ms`",
        "params.`learning_rate`",
    ]
    assert json.loads(links.view(SPEC, "minimize")["mlflow.sharedViewState.tuner"])["orderByAsc"] is True


def test_links_lead_past_the_front_page() -> None:
    assert links.study_runs_url("/mlflow", "3").startswith("/mlflow/#/experiments/3/runs?")
    assert links.run_url("/mlflow", "3", "abc") == "/mlflow/#/experiments/3/runs/abc"


def test_a_data_set_is_described_as_mlflow_describes_one() -> None:
    facts = {
        "name": "my data@3",
        "digest": "sha256:" + "0123456789abcdef" * 4,
        "rows": 9,
        "features": 2,
        "columns": {"a": "number", "b": "date"},
        "classes": [],
    }
    described = content.dataset(study(facts=json.dumps({"dataset": facts})), "http://h")

    assert described is not None
    assert (described["name"], described["digest"]) == ("my data@3", "0123456789abcdef0123456789abcdef0123")
    assert json.loads(described["source"]) == {"url": "http://h/api/v1/datasets/my%20data"}
    assert json.loads(described["schema"])["mlflow_colspec"][1] == {"name": "b", "type": "datetime"}
    images = content.dataset(study(facts=json.dumps({"dataset": {**facts, "columns": {}}})), "http://h")
    assert images is not None
    assert "schema" not in images
    assert content.dataset(study(facts='{"dataset": null}'), "http://h") is None


def test_the_facts_of_an_end_are_tags() -> None:
    detail = '{"step":3,"metric":"val/loss","value":0.9,"threshold":0.5,"rule":"above it","memory":{"where":"device"}}'
    end = content.trial_end(SPEC, trial(state="pruned", end_reason="pruned", end_detail=detail, objective_values=None))

    assert {name: value for name, value in end.tags.items() if name.startswith("tuner.end")} == {
        "tuner.end_reason": "pruned",
        "tuner.end": "pruned at step 3, val/loss 0.9: above it",
        "tuner.end.step": "3",
        "tuner.end.metric": "val/loss",
        "tuner.end.value": "0.9",
        "tuner.end.threshold": "0.5",
        "tuner.end.rule": "above it",
        "tuner.end.where": "device",
    }
