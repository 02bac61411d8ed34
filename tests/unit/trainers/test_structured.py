"""Labels that only a trainer understands: kept as they are written, learnt, answered in the same words by an exported model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from tests.unit.trainers.stored import lines, store
from tests.zipped import digits, packed, picture
from trainers import answers, catalog, export, hyperparameters, loop, scoring
from trainers.configs import TrainingConfig
from trainers.contract import Dataset, Part, TrainResult
from trainers.data import files, keys, on_device, parts, profile
from trainers.data.faults import FaultsError
from trainers.tasks import Problem
from tuner.domain.spec import RESOURCE_METRICS
from tuner.wire_attempts import Metrics
from tuner.worker import refit

WORDS = ["is small", "is large"]
ANSWERS = """
import numpy as np

def answers(outputs, preprocessing):
    return [preprocessing["words"][place] for place in outputs.argmax(axis=1)]

def score(labels, answers):
    return {"right": float(np.mean(labels == answers))}
"""


def table(rows: int = 120) -> str:
    """Numbers, and in words whether they are above 0."""
    x = np.random.default_rng(0).normal(size=(rows, 2)).round(3)
    return lines("a,b,said", *(f"{a},{b},{WORDS[int(a + b > 0)]}" for a, b in x))


def examined(folder: Path, name: str, content: str | bytes, **said: Any) -> tuple[Dataset, Any]:
    stored = store(folder / "set", {name: content}, task="structured", **said)
    info, _notes = files.examine(stored)
    dataset = files.load(stored, "d")
    assert (dataset.digest, dataset.task, dataset.class_names) == (info.digest, info.task, ())
    return dataset, info


def trained(dataset: Dataset, folder: Path) -> tuple[TrainResult, Part, Part]:
    """A trainer of structured tasks, as somebody writes one: its own targets, loss, head and words."""
    (folder / "words.py").write_text(ANSWERS)
    own = answers.load(folder / "words.py")
    made = parts.of(dataset, validation=0.2, test=0.2, folds=1, repeats=1, seed=0)
    train, validation = (Part(dataset, rows) for rows in made.folds[0])
    data = on_device.prepare(train, validation, "cpu")
    data = replace(data, preprocessing={**data.preprocessing, "words": WORDS})
    torch.manual_seed(0)

    def places(labels: np.ndarray) -> torch.Tensor:
        return torch.tensor([WORDS.index(label) for label in labels])

    problem = Problem(
        train_targets=places(dataset.y[train.rows]),
        validation_targets=places(data.y_raw),
        loss=nn.functional.cross_entropy,
        head=nn.Identity(),
        measure=lambda outputs: own.score(data.y_raw, np.array(own.answers(outputs, data.preprocessing), dtype=object)),
        draw=lambda _outputs: {},
    )
    result = loop.fit(
        nn.Linear(data.x_train.shape[1], 2),
        problem,
        data,
        TrainingConfig(epochs=20, batch_size=8, learning_rate=0.05),
        lambda _step, _metrics: None,
        augment=None,
        seed=0,
        objective=("right", "maximize"),
    )
    learnt, test = Part(dataset, scoring.learnt_rows(made)), Part(dataset, made.test_rows)
    return replace(result, answers=folder / "words.py"), learnt, test


# ---- data ------------------------------------------------------------------------------------------------------------


def test_labels_of_a_zip_are_kept_as_they_are_written(tmp_path: Path) -> None:
    boxes = json.dumps([{"class": "7", "box": [0.1, 0.2, 0.3, 0.4]}])
    labels = ['"' + boxes.replace('"', '""') + '"', "[]", "twenty three", "007"]
    content = {
        f"{part}/{i}.png": picture(np.full((4, 4), i, np.uint8)) for i, part in enumerate(["train"] * 3 + ["test"])
    }
    rows = [f"{name},{label}" for name, label in zip(content, labels, strict=True)]
    dataset, info = examined(
        tmp_path, "data.zip", packed({"labels.csv": lines("file,label", *rows).encode(), **content})
    )

    assert dataset.y.tolist() == [boxes, "[]", "twenty three", "007"]
    assert (info.kind, info.rows, info.parts, info.class_counts) == ("image", 4, {"train": 3, "test": 1}, ())
    rows[0] = f"{next(iter(content))},[]"
    other, _info = examined(
        tmp_path / "other", "data.zip", packed({"labels.csv": lines("file,label", *rows).encode(), **content})
    )
    assert other.digest != dataset.digest
    assert profile.of(dataset)["target"] is None


def test_rows_of_one_speaker_stay_together(tmp_path: Path) -> None:
    content = {f"{i}.png": picture(np.full((4, 4), i, np.uint8)) for i in range(12)}
    rows = [f"{name},text {i},speaker {i // 3}" for i, name in enumerate(content)]
    labels = lines("file,label,who", *rows).encode()
    dataset, _info = examined(tmp_path, "data.zip", packed({"labels.csv": labels, **content}))

    dataset = keys.attach(dataset, tmp_path / "set", group="who")
    made = parts.of(dataset, validation=0.25, test=0.25, folds=1, repeats=1, seed=0)
    assert dataset.groups is not None
    speakers = [set(dataset.groups[rows].tolist()) for rows in (made.test_rows, *made.folds[0])]
    assert [len(each) for each in speakers] == [1, 2, 1]
    assert len(set.union(*speakers)) == 4


def test_folders_are_labels_too_and_one_for_all_is_refused(tmp_path: Path) -> None:
    content = digits(20)
    dataset, _info = examined(tmp_path, "data.zip", packed(content))
    assert set(dataset.y) <= set("0123456789")

    alike = {f"yes/{name.rpartition('/')[2]}": each for name, each in content.items()}
    with pytest.raises(FaultsError, match="every file has the label 'yes': there is nothing to learn"):
        examined(tmp_path / "alike", "data.zip", packed(alike))


def test_a_column_of_a_table_is_kept_as_text(tmp_path: Path) -> None:
    dataset, info = examined(tmp_path, "data.csv", table(), target="said")

    assert (info.kind, info.rows, set(dataset.y)) == ("tabular", 120, set(WORDS))
    made = profile.of(dataset)
    assert (made["target"], made["classes"]) == (None, [])
    splits = parts.of(dataset, validation=0.2, test=0.2, folds=2, repeats=1, seed=0)
    assert [len(rows) for rows in (splits.test_rows, *splits.folds[0])] == [24, 48, 48]


def test_words_that_mean_nothing_elsewhere_are_labels_and_no_label_is_refused(tmp_path: Path) -> None:
    words = ["null", "na", "?", "NaN", "n/a"]
    rows = [f"{i},{words[i % 5]} " for i in range(20)]
    dataset, _info = examined(tmp_path, "data.csv", lines("a,said", *rows), target="said")
    assert dataset.y.tolist() == words * 4

    with pytest.raises(FaultsError, match="row 22, column 'said': there is no target"):
        examined(tmp_path / "blank", "data.csv", lines("a,said", *rows, "20, "), target="said")


def test_one_label_for_all_rows_is_refused_in_a_table_too(tmp_path: Path) -> None:
    alike = lines("a,said", *(f"{i},x" for i in range(20)))
    with pytest.raises(FaultsError, match="every row has the label 'x': there is nothing to learn"):
        examined(tmp_path, "data.csv", alike, target="said")


@pytest.mark.parametrize("roles", [{"user": "a", "item": "b"}, {"time": "a", "target": "b"}])
def test_interactions_and_series_have_no_structured_labels(tmp_path: Path, roles: dict[str, str]) -> None:
    with pytest.raises(FaultsError, match="task: structured goes with a target alone"):
        examined(tmp_path, "data.csv", table(), **roles)


# ---- trainers --------------------------------------------------------------------------------------------------------


def test_a_trainer_names_its_metrics_or_is_none() -> None:
    ours = catalog.get("tabular-mlp")
    own = replace(ours, tasks=("structured",), metrics={"right": "maximize"})

    assert catalog.metrics(own, "structured") == {"right": "maximize", "loss": "minimize"}
    assert catalog.metrics(ours, "regression") == catalog.METRICS["regression"]
    for wrong in ({"tasks": ("structured",)}, {"metrics": {"right": "maximize"}}):
        with pytest.raises(ValueError, match="a trainer of structured tasks says its metrics"):
            replace(ours, **wrong)
    for odd in ("right@1", "3gram_error", "x" * 81):
        with pytest.raises(ValueError, match=f"'{odd}' is no name of a metric"):
            replace(own, metrics={odd: "maximize"})
    for taken in (*RESOURCE_METRICS, "loss", "threshold", "epoch", "right_low", "right_high", "right_std"):
        with pytest.raises(ValueError, match=f"'{taken}' needs another name"):
            replace(own, metrics={"right": "maximize", taken: "maximize"})


def test_the_longest_name_of_a_metric_travels_with_all_that_is_told_of_it() -> None:
    name = "x" * 80
    replace(catalog.get("tabular-mlp"), tasks=("structured",), metrics={name: "maximize"})

    told = refit.as_metrics(scoring.Scores({name: scoring.Interval(0.5, 0.4, 0.6)}, {name: 0.1}))
    told |= {f"val/{name}_std": 0.1}
    assert TypeAdapter(Metrics).validate_python(told) == told


def test_what_classes_need_is_refused() -> None:
    trainer = replace(catalog.get("tabular-mlp"), tasks=("structured",), metrics={"right": "maximize"})
    assert catalog.build_config(trainer, {}, "structured") == trainer.config()
    for name, value in {"label_smoothing": 0.1, "class_weighting": "balanced", "loss": "mse"}.items():
        with pytest.raises(hyperparameters.ConfigError, match=name):
            catalog.build_config(trainer, {name: value}, "structured")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, TrainResult, Part, Part]:
    folder = tmp_path_factory.mktemp("structured")
    dataset, _info = examined(folder, "data.csv", table(), target="said")
    return dataset, *trained(dataset, folder)


def test_a_final_model_is_scored_by_its_trainer_beside_the_usual_label(
    fitted: tuple[Dataset, TrainResult, Part, Part],
) -> None:
    dataset, result, learnt, test = fitted
    scores = scoring.score(result, learnt, test, seed=0)

    labels, counts = np.unique(dataset.y[learnt.rows], return_counts=True)
    usual = labels[counts.argmax()]
    assert scores.baseline == {"right": np.mean(dataset.y[test.rows] == usual)}
    right = scores.test["right"]
    assert right.value > 0.9 > scores.baseline["right"]
    assert right.low <= right.value <= right.high


def test_an_exported_model_answers_in_the_trainers_words(
    fitted: tuple[Dataset, TrainResult, Part, Part], tmp_path: Path
) -> None:
    dataset, result, _learnt, test = fitted
    export.save_model(result, tmp_path / "model", dataset)
    model = mlflow.pyfunc.load_model(tmp_path / "model")
    said = model.predict(pd.DataFrame(dataset.x[test.rows], columns=list("ab")))

    own = answers.load(result.answers)
    assert said["prediction"].tolist() == own.answers(scoring.predict(result, test), result.preprocessing)
    assert [(each.name, each.type.name) for each in model.metadata.get_output_schema().inputs] == [
        ("prediction", "string")
    ]
    assert (tmp_path / "model/artifacts/answers.py").read_text() == ANSWERS


def test_a_result_without_answers_is_refused_before_it_is_written(
    fitted: tuple[Dataset, TrainResult, Part, Part], tmp_path: Path
) -> None:
    dataset, result, *_ = fitted
    (tmp_path / "half.py").write_text("def answers(outputs, preprocessing): return []")
    for given, why in ((None, "gives its result `answers`"), (tmp_path / "half.py", "does not define score")):
        with pytest.raises(ValueError, match=why):
            export.save_model(replace(result, answers=given), tmp_path / "model", dataset)
    assert not (tmp_path / "model").exists()


EXACT = """
from pathlib import Path

def answers(outputs, preprocessing):
    made = [f"{preprocessing['names'][str(row.argmax())]} {round(row.max(), 3)}" for row in outputs]
    Path(__file__).with_name("made").write_text("\\n".join(made))
    return made

def score(labels, answers):
    return {"right": 1.0}
"""


def test_the_texts_that_are_scored_are_those_that_a_model_serves(
    fitted: tuple[Dataset, TrainResult, Part, Part], tmp_path: Path
) -> None:
    dataset, result, learnt, test = fitted
    (tmp_path / "exact.py").write_text(EXACT)
    facts = {**result.preprocessing, "names": dict(enumerate(WORDS))}  # JSON has no numbers as keys
    result = replace(result, answers=tmp_path / "exact.py", preprocessing=facts)
    scoring.score(result, learnt, test, seed=0)

    export.save_model(result, tmp_path / "model", dataset)
    served = mlflow.pyfunc.load_model(tmp_path / "model").predict(
        pd.DataFrame(dataset.x[test.rows], columns=list("ab"))
    )
    assert served["prediction"].tolist() == (tmp_path / "made").read_text().splitlines()


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("import pandas as pd", "pandas"),
        ("from trainers.data import files", "trainers.data"),
        ("from . import words", r"\."),
        ("from .words import WORDS", r"\.words"),
        ("def late():\n    import scipy.signal", "scipy.signal"),
    ],
)
def test_a_file_that_needs_more_than_a_models_host_has_is_refused_before_it_runs(
    tmp_path: Path, line: str, named: str
) -> None:
    (tmp_path / "words.py").write_text(f"import os.path\nimport numpy.linalg\n{line}\n{ANSWERS}\n1 / 0")
    with pytest.raises(
        answers.AnswersError, match=f"imports {named}, which .* import numpy and the standard library alone"
    ):
        answers.load(tmp_path / "words.py")


@pytest.mark.parametrize(
    ("score", "why"),
    [
        ("{}", "does not give right for all"),
        ("{'right': 1.0, **{label: 1.0 for label in labels}}", "does not give is (small|large) for all"),
        ("{'right': float('nan')}", "gives nan as right"),
        ("{'right': 1.0, 'odd': float('inf')}", "gives inf as odd"),
    ],
)
def test_a_score_that_is_not_the_same_metrics_for_any_rows_is_told(
    fitted: tuple[Dataset, TrainResult, Part, Part], tmp_path: Path, score: str, why: str
) -> None:
    _dataset, result, learnt, test = fitted
    lines_ = ANSWERS.partition("    return {")[0]
    (tmp_path / "words.py").write_text(f"{lines_}    return {score}")
    rows = np.concatenate([test.rows[:2], test.rows[test.dataset.y[test.rows] != test.dataset.y[test.rows[0]]][:1]])
    with pytest.raises(answers.AnswersError, match=why):
        scoring.score(
            replace(result, answers=tmp_path / "words.py"),
            learnt,
            Part(test.dataset, rows),
            seed=0,
            declared={"right": "maximize"},
        )


def test_an_objective_that_is_not_measured_is_told() -> None:
    worth = loop._judge(("right", "maximize"), "structured")
    with pytest.raises(ValueError, match="names 'right' as a metric and did not measure it"):
        worth({"val/loss": 1.0, "val/wrong": 1.0})
