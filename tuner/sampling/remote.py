"""`tuner.storage`: Optuna's storage in a script of the user's own, over REST.

Owns the calls, the finished trials that are kept here, and the leases of the trials that this process runs.
"""

from __future__ import annotations

import copy
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.exceptions import DuplicatedStudyError, OptunaError, TrialPruned, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from typing_extensions import override

from tuner.client import Client, ClientError
from tuner.patience import until_answered
from tuner.sampling import distributions, trial_json

WAIT_S = 1.0  # while as many trials run as the study allows at once

log = logging.getLogger("tuner")  # scripts of Optuna's have this kind of log


class StudyEndedError(OptunaError):
    """The study starts no further trial: its budget is spent, or it was cancelled. It ends `study.optimize`."""


ERRORS: dict[str, type[Exception]] = {
    "not-found": KeyError,
    "name-taken": DuplicatedStudyError,
    "trial-finished": UpdateFinishedTrialError,
    "stale-attempt": UpdateFinishedTrialError,
    "study-ended": StudyEndedError,
    "invalid": ValueError,
    "wrong-state": RuntimeError,
}


def storage(url: str, key: str) -> RemoteStorage:
    """A storage for `optuna.create_study` and `optuna.load_study`.

    A study made by `create_study` is the script's own. One that was submitted with `trainer: external` is opened by
    `load_study`, and has a budget and leases: `study.optimize` ends with `StudyEndedError` once its budget is spent.

    Args:
        url: the control plane's, for example `http://127.0.0.1:8642`.
        key: the admin key.
    """
    return RemoteStorage(url, key)


@dataclass
class _Finished:
    """A study's finished trials, by number, up to one `finish_seq`; they never change."""

    seq: int = 0
    trials: dict[int, FrozenTrial] = field(default_factory=dict)


class RemoteStorage(BaseStorage):
    """Safe to share between threads, to fork and to pickle; a pickle of it holds the key."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._key = key
        self._lock = threading.Lock()
        self._session: _Session | None = None

    def __getstate__(self) -> dict[str, str]:
        return {"url": self._url, "key": self._key}

    def __setstate__(self, state: dict[str, str]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    @property
    def _here(self) -> _Session:
        """What belongs to this process: a fork must not share its parent's connections and leases."""
        with self._lock:
            if self._session is None or self._session.pid != os.getpid():
                self._session = _Session(Client(self._url, self._key))
            return self._session

    def _call(self, method: str, **arguments: Any) -> Any:
        return self._here.call(method, **arguments)

    # ---- studies -----------------------------------------------------------------------------------------------------

    @override
    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        names = [direction.name.lower() for direction in directions]
        return int(self._call("create_new_study", directions=names, study_name=study_name))

    @override
    def delete_study(self, study_id: int) -> None:
        self._call("delete_study", study_id=study_id)
        self._here.finished.pop(study_id, None)

    @override
    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._call("set_study_user_attr", study_id=study_id, key=key, value=value)

    @override
    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._call("set_study_system_attr", study_id=study_id, key=key, value=value)

    @override
    def get_study_id_from_name(self, study_name: str) -> int:
        return int(self._call("get_study_id_from_name", study_name=study_name))

    @override
    def get_study_name_from_id(self, study_id: int) -> str:
        return self._study(study_id).study_name

    @override
    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._study(study_id).directions

    @override
    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._study(study_id).user_attrs

    @override
    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._study(study_id).system_attrs

    @override
    def get_all_studies(self) -> list[FrozenStudy]:
        return [trial_json.to_study(said) for said in self._call("get_all_studies")]

    def _study(self, study_id: int) -> FrozenStudy:
        return trial_json.to_study(self._call("get_study", study_id=study_id))

    # ---- trials ------------------------------------------------------------------------------------------------------

    @override
    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        template = None if template_trial is None else trial_json.of_trial(template_trial)
        while True:
            made = self._call("create_new_trial", study_id=study_id, template=template)
            if "id" in made:
                self._here.hold(made["id"], made["lease_s"])
                return int(made["id"])
            threading.Event().wait(WAIT_S)

    @override
    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        as_json, internal = distributions.to_json(distribution), float(param_value_internal)
        self._call("set_trial_param", trial_id=trial_id, name=param_name, internal=internal, distribution=as_json)

    @override
    def set_trial_state_values(self, trial_id: int, state: OptunaState, values: Sequence[float] | None = None) -> bool:
        """As Optuna has it; the end of a trial whose lease was lost is not taken, which is logged, and False.

        Nor is that of one that was given back, since it has not ended. However an end is answered, the lease is kept no
        longer: what was refused goes to whoever asks next.
        """
        if trial_id in self._here.given_back:
            self._here.given_back.discard(trial_id)
            return False
        is_held = trial_id in self._here.held
        numbers = None if values is None else [float(value) for value in values]
        try:
            answer = self._call("set_trial_state_values", trial_id=trial_id, state=state.name, values=numbers)
        except UpdateFinishedTrialError as error:
            if not (is_held and state.is_finished()):
                raise
            log.warning("the result was not taken: %s", error)
            answer = {"done": False, "lease_s": None}
        finally:
            if state.is_finished():
                self._here.held.pop(trial_id, None)
        self._here.hold(trial_id, answer["lease_s"])
        return bool(answer["done"])

    @override
    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        """As Optuna has it; where the study is paused, the trial is given back.

        Raises:
            TrialPruned: it was given back, and Optuna's loop goes on to the next trial, for which it waits.
        """
        value = float(intermediate_value)
        answer = self._call("set_trial_intermediate_value", trial_id=trial_id, step=step, value=value)
        if answer is not None and answer["paused"]:
            self._here.give_back(trial_id)
            raise TrialPruned("its study was paused: it is run again when the study goes on")

    @override
    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._call("set_trial_user_attr", trial_id=trial_id, key=key, value=value)

    @override
    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._call("set_trial_system_attr", trial_id=trial_id, key=key, value=value)

    @override
    def get_trial(self, trial_id: int) -> FrozenTrial:
        """The trial; one that this process runs still runs, to it, until it has told the end: Optuna's loop asserts so."""
        trial = trial_json.to_trial(self._call("get_trial", trial_id=trial_id))
        if trial_id in self._here.held or trial_id in self._here.given_back:
            trial.state, trial.values = OptunaState.RUNNING, None
        return trial

    @override
    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[OptunaState] | None = None
    ) -> list[FrozenTrial]:
        trials = self._here.all_trials(study_id)
        found = trials if states is None else [trial for trial in trials if trial.state in states]
        return copy.deepcopy(found) if deepcopy else found


class _Session:
    """One process's client, what it has read, and the trials that it runs, whose leases a thread renews.

    Attributes:
        held: lease in seconds, by the trial's id.
        given_back: ids of trials, unfinished, of which Optuna's loop has not heard yet that they are over here.
        finished: by the study's id.
    """

    def __init__(self, client: Client) -> None:
        self.pid = os.getpid()
        self.held: dict[int, float] = {}
        self.given_back: set[int] = set()
        self.finished: dict[int, _Finished] = {}
        self._client = client
        self._holder = f"{socket.gethostname()[:50]}-optuna-{self.pid}-{uuid.uuid4().hex[:8]}"
        self._news = threading.Event()
        self._lock = threading.Lock()
        threading.Thread(target=self._keep, name="leases", daemon=True).start()

    def call(self, method: str, **arguments: Any) -> Any:
        """Calls until there is an answer, always by one request id, and raises what Optuna raises."""
        ask: Callable[[], Any] = partial(self._client.optuna, method, self._body(arguments))
        try:
            return until_answered(ask, log.warning)
        except ClientError as error:
            kind = ERRORS.get(error.type)
            if kind is None:
                raise
            raise kind(str(error)) from None

    def _body(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"holder": self._holder, "request_id": uuid.uuid4().hex, "arguments": arguments}

    def all_trials(self, study_id: int) -> list[FrozenTrial]:
        """By number; the finished ones of earlier calls are not asked for again."""
        with self._lock:
            known = self.finished.setdefault(study_id, _Finished())
            answer = self.call("get_trials", study_id=study_id, finished_after=known.seq)
            fresh = {trial.number: trial for trial in map(trial_json.to_trial, answer["trials"])}
            known.trials |= {number: trial for number, trial in fresh.items() if trial.state.is_finished()}
            known.seq = answer["finish_seq"]
            by_number = known.trials | fresh
        return [by_number[number] for number in sorted(by_number)]

    def hold(self, trial_id: int, lease_s: float | None) -> None:
        if lease_s is not None:
            self.held[trial_id] = lease_s
            self._news.set()

    def give_back(self, trial_id: int) -> None:
        """First here, then there: once it waits, another thread of ours may get it."""
        self.held.pop(trial_id, None)
        self.given_back.add(trial_id)
        self.call("release", trial_id=trial_id)

    def _keep(self) -> None:
        """Renews leases while there are some; a script that is killed renews none, and its trials are run again."""
        renewed_s = time.monotonic()
        while True:
            leases_s = list(self.held.values())
            due_s = renewed_s + min(leases_s) / 3 - time.monotonic() if leases_s else None
            if due_s is None or due_s > 0:
                self._news.wait(due_s)  # a new trial may have a shorter lease
                self._news.clear()
                continue
            renewed_s = time.monotonic()
            try:
                self._client.optuna("renew", self._body({"trial_ids": list(self.held)}))
            except ClientError as error:  # the next round may have an answer
                log.warning("leases were not renewed: %s", error)
