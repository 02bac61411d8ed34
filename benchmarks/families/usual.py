"""The other side: a library's usual answer, tuned in the same wall time on the same two cores, where it can be tuned.

Its configurations are judged on validation, two at a time in processes of one thread, until the time is over or there are no
more; the best is fitted again on training and validation and judged once on test.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Iterator

import numpy as np
from joblib import Parallel, delayed

from benchmarks.families.problem import Candidate, Problem, Result, Usual
from benchmarks.workload import SLOTS
from trainers import scoring


def search(usual: Usual, problem: Problem, seconds: float) -> Result:
    """The best configuration's scores; the wall time is that of all of it."""
    processes = Parallel(n_jobs=SLOTS, pre_dispatch=SLOTS, batch_size=1)  # none begins before there is a free one
    processes(delayed(_imported)(usual) for _ in range(SLOTS))
    began = time.perf_counter()
    candidates = list(usual.candidates(problem))
    best = 0
    tried = len(candidates)
    if tried > 1:
        judged = processes(
            delayed(_validate)(usual, problem, candidate) for candidate in _until(candidates, began + seconds)
        )
        tried = len(judged)
        best = int(np.argmax([problem.sign * value for value in judged]))
    learnt = scoring.learnt_rows(problem.split)
    (scores,) = processes([delayed(usual.answer)(problem, candidates[best], learnt, problem.split.test_rows)])
    return Result(scores, tried, time.perf_counter() - began)


def _until(candidates: Iterable[Candidate], deadline_s: float) -> Iterator[Candidate]:
    for candidate in candidates:
        yield candidate
        if time.perf_counter() > deadline_s:
            return


def _validate(usual: Usual, problem: Problem, candidate: Candidate) -> float:
    """The first metric on validation, of several folds the mean."""
    scores = [usual.answer(problem, candidate, train, validation) for train, validation in problem.split.folds]
    return statistics.mean(each[problem.metrics[0]] for each in scores)


def _imported(usual: Usual) -> str:
    """Has a process import what it needs, before the clock runs."""
    return usual.name
