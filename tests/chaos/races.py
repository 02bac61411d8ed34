"""Races of requests, as faults: each checks its outcome, and nothing has to recover."""

from __future__ import annotations

import random
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.chaos.world import World
from tuner.client import ClientError
from tuner.wire_attempts import ClaimBody, ClaimedAttempt, CompleteBody


def same_key_fifty_times(world: World, chance: random.Random) -> None:
    spec = {
        "name": f"once {chance.randrange(10**9)}",
        "trainer": "external",
        "objectives": [{"metric": "y", "direction": "minimize"}],
        "search_space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
        "budget": {"trials": 1},
    }
    key = uuid.uuid4().hex
    with ThreadPoolExecutor(25) as pool:
        ids = set(pool.map(lambda _: world.client.submit(spec, key).id, range(50)))
    assert len(ids) == 1, f"one key made the studies {ids}"
    study_id = ids.pop()
    world.submitted[study_id] = 1
    world.client.complete(_claim(world, study_id)[0].attempt_id, CompleteBody(metrics={"y": 0.0}))


def cancel_racing_complete(world: World, chance: random.Random) -> None:
    study_id = world.submit_external(1)
    attempt = _claim(world, study_id)[0]
    body = CompleteBody(metrics={"y": chance.random()})
    answers = _at_once(lambda: world.client.complete(attempt.attempt_id, body), lambda: world.client.cancel(study_id))
    assert sorted(answer is None for answer in answers) == [False, True], f"one of two is refused: {answers}"
    assert world.client.study(study_id).state == ("completed" if answers[0] is None else "cancelled")


def race_for_last_trials(world: World, chance: random.Random) -> None:
    study_id = world.submit_external(9)

    def work() -> None:
        while held := _claim(world, study_id):
            world.client.complete(held[0].attempt_id, CompleteBody(metrics={"y": chance.random()}))

    refused = [error for error in _at_once(*[work] * 16) if error is not None]
    study = world.client.study(study_id)
    assert not refused, refused
    assert (study.state, study.progress.complete, study.progress.created) == ("completed", 9, 9), study.progress


def _claim(world: World, study_id: int) -> list[ClaimedAttempt]:
    body = ClaimBody(request_id=uuid.uuid4().hex, worker_id=f"racer-{uuid.uuid4().hex[:6]}", study_id=study_id)
    return world.client.claim(body)


def _at_once(*moves: Callable[[], object]) -> list[ClientError | None]:
    """What each was refused with; all start at the same moment."""
    barrier = threading.Barrier(len(moves))

    def run(move: Callable[[], object]) -> ClientError | None:
        barrier.wait()
        try:
            move()
        except ClientError as error:
            return error
        return None

    with ThreadPoolExecutor(len(moves)) as pool:
        return list(pool.map(run, moves))
