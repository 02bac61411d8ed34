"""Our side: a study of the trainer's default search space by the running service, up to its final model's scores.

TPE and the median pruner for so many seconds, then the best configuration fitted again on training and validation and
scored once on test: all of it as a user has it, over REST, on two slots.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any

import numpy as np

from benchmarks.families.problem import Family, Problem, Result
from tests.acceptance.waiting import until
from trainers import scoring
from trainers.data.source import SOURCE
from tuner.client import Client
from tuner.wire import StudyOut

ENDED = {"completed", "failed", "cancelled"}
DEADLINE_S = 600.0


def search(client: Client, family: Family, problem: Problem, seconds: float) -> Result:
    """The tuned champion's scores; the wall time is that from the submission to them."""
    spec = _spec(client, family, problem, seconds)
    began = time.perf_counter()
    study_id = client.submit(spec).id
    until(lambda: client.study(study_id).state in ENDED, "the study ends", DEADLINE_S)
    took_s = time.perf_counter() - began
    study = client.study(study_id)
    scores = _scores(problem, study)
    until(lambda: client.study(study_id).tracking == "idle", "MLflow shows everything", DEADLINE_S)
    client.delete(study_id)  # what is left to be drawn of it would take the next one's time
    return Result(scores, study.progress.finished, took_s)


def _spec(client: Client, family: Family, problem: Problem, seconds: float) -> dict[str, Any]:
    name = problem.name
    if problem.folder is not None:
        name = re.sub("[^A-Za-z0-9]+", " ", problem.folder.name)
        (data,) = (file for file in problem.folder.iterdir() if file.name != SOURCE)
        client.upload_dataset(name, data=data, **json.loads((problem.folder / SOURCE).read_text(encoding="utf-8")))
    warmup = 5 if len(problem.split.folds) == 1 else 1  # epochs, or folds
    return {
        "name": f"{family.name} {problem.name} {problem.seed}",
        "dataset": name,
        "trainer": family.trainer,
        "objectives": [{"metric": problem.metrics[0]}],
        "sampler": {"name": "tpe", "seed": problem.seed},
        "pruner": {"name": "median", "n_startup_trials": 3, "n_warmup_steps": warmup},
        "budget": {"hours": seconds / 3600},
        "evaluation": {"seed": problem.seed, "folds": len(problem.split.folds), "group": problem.group},
        **problem.study,
    }


def _scores(problem: Problem, study: StudyOut) -> dict[str, float]:
    """What the final model is scored on test, which was of the same rows as here."""
    final = study.final
    assert final is not None, study.end_reason
    assert final.metrics is not None, final.reason
    assert final.baseline is not None
    assert study.facts["split"]["test"] == len(problem.split.test_rows)
    if problem.dataset.kind not in {"interactions", "series"}:
        expected = _baseline(problem)
        assert np.allclose([final.baseline[name] for name in expected], list(expected.values())), "other rows"
    return {name: final.metrics[name].value for name in problem.metrics}


def _baseline(problem: Problem) -> dict[str, float]:
    """The trivial answer on the rows that are known here."""
    dataset, test = problem.dataset, problem.split.test_rows
    y_learnt = dataset.y[scoring.learnt_rows(problem.split)]
    trivial = scoring.trivial_answer(y_learnt, len(test), dataset.task, classes=len(dataset.class_names))
    return scoring.MEASURES[dataset.task](dataset.y[test], trivial)
