"""Every call may be sent again: where its first answer got lost, it has taken effect once, and is answered alike."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import Engine

import tuner
from tests.auditor import audit
from tests.integration.conftest import ADMIN
from tests.proxy import Proxy, proxied
from tests.studying import external
from tuner.client import Client, ClientError
from tuner.sampling.remote import RemoteStorage, StudyEndedError

optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture
def proxy(http: httpx.Client) -> Iterator[Proxy]:
    with proxied(f"{http.base_url.scheme}://{http.base_url.netloc.decode()}", loses=True) as standing:
        yield standing


@pytest.fixture
def storage(proxy: Proxy) -> RemoteStorage:
    return tuner.storage(proxy.url, ADMIN)


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Client]:
    with Client(proxy.url, ADMIN) as opened:
        yield opened


def fickle(trial: optuna.Trial) -> float:
    x = trial.suggest_float("x", -1.0, 1.0) + trial.suggest_int("n", 1, 9)
    trial.report(x, 1)
    if trial.number == 1:
        raise ZeroDivisionError
    if trial.number == 2:
        raise optuna.TrialPruned
    return x


def lost(proxy: Proxy) -> Counter[str]:
    return Counter(path.rpartition("/")[2] for path in proxy.lost)


def test_a_script_with_a_study_of_its_own_makes_each_thing_once(proxy: Proxy, storage: RemoteStorage) -> None:
    study = optuna.create_study(storage=storage)
    study.enqueue_trial({"x": 0.5, "n": 3})
    study.optimize(fickle, n_trials=4, catch=ZeroDivisionError)

    assert [each.study_name for each in storage.get_all_studies()] == [study.study_name]
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED, TrialState.COMPLETE]
    assert study.trials[0].params == {"x": 0.5, "n": 3}
    assert lost(proxy)["create_new_trial"] == 4
    assert lost(proxy)["set_trial_state_values"] == 5  # the enqueued one was taken, too
    with pytest.raises(optuna.exceptions.DuplicatedStudyError):  # which is not the answer to a name that is ours anew
        storage.create_new_study(study.directions, study.study_name)
    optuna.delete_study(study_name=study.study_name, storage=storage)
    assert lost(proxy)["delete_study"] == 1
    assert storage.get_all_studies() == []


def test_a_script_in_a_study_with_a_budget_makes_each_thing_once(
    proxy: Proxy, client: Client, storage: RemoteStorage, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    submitted = client.submit(external(budget={"trials": 4}))
    study = optuna.load_study(study_name=submitted.name, storage=storage)
    study.enqueue_trial({"x": 0.5, "n": 3})
    assert client.study(submitted.id).progress.created == 1

    with caplog.at_level(logging.WARNING, "tuner"), pytest.raises(StudyEndedError):
        study.optimize(fickle, catch=ZeroDivisionError)

    assert [trial.state for trial in client.trials(submitted.id)] == ["complete", "failed", "pruned", "complete"]
    assert client.trial(submitted.id, 0).params["x"] == 0.5
    assert [len(client.trial(submitted.id, number).attempts) for number in range(4)] == [1] * 4
    assert lost(proxy)["set_trial_state_values"] == 5
    assert "not taken" not in caplog.text
    audit(engine)


def test_a_loop_ends_each_trial_as_it_said(proxy: Proxy, client: Client, engine: Engine) -> None:
    study = client.submit(external(budget={"trials": 4}))
    said: list[str] = []

    for trial in study.trials():
        trial.report(1, y=float(trial.number))
        if trial.number == 0 and not said:
            said.append(trial.release())
        elif trial.number == 1:
            said.append(trial.fail("it broke"))
        elif trial.number == 2:
            said.append(trial.prune())
        else:
            said.append(trial.complete(y=1.0))

    assert said == ["waiting", "complete", "failed", "pruned", "complete"]
    assert [trial.state for trial in client.trials(study.id)] == ["complete", "failed", "pruned", "complete"]
    attempts = [[each.state for each in client.trial(study.id, number).attempts] for number in range(4)]
    assert attempts == [["released", "succeeded"], ["failed"], ["succeeded"], ["succeeded"]]
    assert all(lost(proxy)[each] for each in ("claims", "reports", "release", "fail", "complete"))
    audit(engine)


def test_a_study_is_submitted_once(proxy: Proxy, client: Client) -> None:
    study = client.submit(external())

    assert [each.id for each in client.studies()] == [study.id]
    assert lost(proxy)["studies"] == 1


# ---- one request, many times -----------------------------------------------------------------------------------------


def body(request_id: str, **arguments: object) -> dict[str, object]:
    return {"holder": "h", "request_id": request_id, "arguments": arguments}


def test_a_request_that_comes_many_times_at_once_takes_effect_once(http: httpx.Client) -> None:
    sent = body("r", directions=["minimize"], study_name=None)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: http.post("/optuna/create_new_study", json=sent).json(), range(24)))

    assert len(set(answers)) == 1
    trials = body("t", study_id=answers[0])
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: http.post("/optuna/create_new_trial", json=trials).json()["id"], range(24)))
    assert len(set(answers)) == 1


def test_a_request_means_one_call(http: httpx.Client) -> None:
    study_id = http.post("/optuna/create_new_study", json=body("r", directions=["minimize"])).json()

    refused = http.post("/optuna/create_new_trial", json=body("r", study_id=study_id))

    assert (refused.status_code, refused.json()["type"]) == (422, "urn:tuner:problem:idempotency-mismatch")
    other = {**body("r", study_id=study_id), "holder": "another"}
    assert http.post("/optuna/create_new_trial", json=other).is_success


def test_a_refused_request_is_tried_anew(http: httpx.Client) -> None:
    taken = http.post("/optuna/create_new_study", json=body("a", directions=["minimize"], study_name="mine")).json()
    again = body("b", directions=["minimize"], study_name="mine")

    assert http.post("/optuna/create_new_study", json=again).status_code == 409
    http.post("/optuna/delete_study", json=body("c", study_id=taken)).raise_for_status()
    assert http.post("/optuna/create_new_study", json=again).is_success


def test_an_attempt_that_ended_otherwise_is_stale(client: Client, engine: Engine) -> None:
    study = client.submit(external(limits={"max_attempts": 3}))
    trial = next(loop := study.trials())
    trial.fail("it broke", reason="child-died")

    for call in (
        lambda: client.release(trial.attempt_id),
        lambda: client.report(trial.attempt_id, []),
    ):
        with pytest.raises(ClientError) as refused:
            call()
        assert refused.value.type == "stale-attempt"
    loop.close()  # type: ignore[attr-defined]
    audit(engine)
