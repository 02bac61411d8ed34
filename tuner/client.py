"""The HTTP client: what the CLI, workers and scripts of the user's own speak to the control plane with.

Owns a method for every call of the REST API. Speaks `tuner.wire`; imports no torch, no Optuna.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self
from urllib.parse import quote

import httpx

from tuner.answer_time import AnswerTime
from tuner.transport import MLFLOW, ClientError, Transport
from tuner.wire import (
    ArtifactList,
    BestTrials,
    HistoryPage,
    HistoryTrial,
    Importances,
    Imported,
    Item,
    LogPiece,
    Page,
    ReportList,
    ResolvedStudy,
    StudyOut,
    StudyPage,
    TrainerList,
    TrialDetail,
    TrialOut,
    TrialPage,
    WorkerBody,
    WorkerList,
)
from tuner.wire_attempts import (
    ClaimBody,
    ClaimedAttempt,
    Claims,
    CompleteBody,
    Decision,
    FailBody,
    LogBody,
    ReportBody,
    ReportsBody,
    TrialEnded,
)
from tuner.wire_datasets import DatasetDetail, DatasetOut, DatasetPage, DatasetProfile
from tuner.wire_lifecycle import Retried

if TYPE_CHECKING:
    from tuner.loop import Study

__all__ = ["Client", "ClientError"]  # what loops and scripts import

CLAIM_ANSWER_S = 10.0  # beyond the wait that it asks for
WORD_S = 10.0  # that the end of an attempt waits for its answer, which takes milliseconds, before it is said again
UPLOAD_S = 900.0  # of one read or write; the control plane reads the files before it answers
READING = httpx.Timeout(UPLOAD_S, connect=5.0)  # of whatever may have it read a data set
RETRY_FOR_S = 20.0


class Client:
    """One control plane, one key. Safe to share between threads.

    Args:
        url: for example `http://127.0.0.1:8642`.
        key: an admin or a worker key.
        retry_for_s: how long a request that gets no answer is repeated. Every request here may be repeated: where the
            first was taken after all, the second changes nothing.
    """

    def __init__(self, url: str, key: str, *, retry_for_s: float = RETRY_FOR_S) -> None:
        self.url = url.rstrip("/")
        self.key = key
        self._wire = Transport(self.url, key, retry_for_s=retry_for_s)
        self._answer_time = AnswerTime()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._wire.http.close()

    # ---- studies -------------------------------------------------------------------------------------------------

    def submit(self, spec: dict[str, Any], idempotency_key: str | None = None) -> Study:
        """Queues a study; repeated by itself where no answer came, it still is one study."""
        return self._study("POST", "/studies", json=spec, headers=_key(idempotency_key), **_reading(spec))

    def dry_run(self, spec: dict[str, Any]) -> ResolvedStudy:
        params = {"dry_run": "true"}
        return self._wire.call("POST", "/studies", ResolvedStudy, json=spec, params=params, **_reading(spec))

    def studies(self, **filters: str) -> Iterator[StudyOut]:
        """Every study, newest first; filters: state, name (a part of it), tag (key:value)."""
        return self._items("/studies", StudyPage, **filters)

    def study(self, name_or_id: str | int) -> Study:
        """A study by its number or its whole name; `.trials()` of an external one are there to be run."""
        if isinstance(name_or_id, int) or name_or_id.isdecimal():
            return self._study("GET", f"/studies/{name_or_id}")
        for found in self.studies(name=name_or_id):
            if found.name == name_or_id:
                return self._study("GET", f"/studies/{found.id}")
        text = f"there is no study named {name_or_id!r}: `tuner studies` lists those there are"
        raise ClientError(text, status=404, type_="not-found")

    def _study(self, method: str, path: str, **request: Any) -> Study:
        from tuner.loop import Study  # noqa: PLC0415 - the loop over a study's trials knows the client

        return self._wire.call(method, path, Study, **request).with_client(self)

    def pause(self, study_id: int) -> StudyOut:
        """Nothing new starts; running trials are given back within seconds, or with their next report."""
        return self._wire.call("POST", f"/studies/{study_id}/pause", StudyOut)

    def resume(self, study_id: int) -> StudyOut:
        return self._wire.call("POST", f"/studies/{study_id}/resume", StudyOut)

    def cancel(self, study_id: int) -> StudyOut:
        """Ends a study for good; its running trials stop within one epoch, or after 10 s."""
        return self._wire.call("POST", f"/studies/{study_id}/cancel", StudyOut)

    def finalize(self, study_id: int) -> StudyOut:
        """Has a completed study's final model made: fitted anew, scored on the test part, registered."""
        return self._wire.call("POST", f"/studies/{study_id}/finalize", StudyOut)

    def extend(
        self,
        study_id: int,
        *,
        trials: int | None = None,
        hours: float | None = None,
        idempotency_key: str | None = None,
    ) -> StudyOut:
        """Adds to a study's budget, once, also where the request is repeated; one that has ended goes on."""
        body = {name: more for name, more in (("trials", trials), ("hours", hours)) if more is not None}
        return self._wire.call(
            "POST", f"/studies/{study_id}/extend", StudyOut, json=body, headers=_key(idempotency_key)
        )

    def retry(self, study_id: int, trials: list[int] | None = None, *, idempotency_key: str | None = None) -> Retried:
        """Tries failed trials again, each as a new one; None: all that were not tried again yet."""
        path, body = f"/studies/{study_id}/retry", {} if trials is None else {"trials": trials}
        return self._wire.call("POST", path, Retried, json=body, headers=_key(idempotency_key))

    def change(self, study_id: int, **changes: int | None) -> StudyOut:
        """Changes what is given of `priority` and `max_parallel`; a `max_parallel` of None takes the limit away."""
        return self._wire.call("PATCH", f"/studies/{study_id}", StudyOut, json=changes)

    def delete(self, study_id: int) -> None:
        self._wire.send("DELETE", f"/studies/{study_id}")

    def best(self, study_id: int) -> list[TrialOut]:
        return self._wire.call("GET", f"/studies/{study_id}/best", BestTrials).items

    def importances(self, study_id: int, objective: int = 0) -> dict[str, float]:
        params = {"objective": objective}
        return self._wire.call("GET", f"/studies/{study_id}/importances", Importances, params=params).importances

    def trials(self, study_id: int, **filters: str) -> Iterator[TrialOut]:
        """Every trial of a study by number; filter: state."""
        return self._items(f"/studies/{study_id}/trials", TrialPage, limit="500", **filters)

    def history(self, study_id: int) -> Iterator[HistoryTrial]:
        """Every finished trial of a study with its distributions and intermediate values."""
        return self._items(f"/studies/{study_id}/history", HistoryPage)

    def import_study(self, spec: dict[str, Any], history: list[dict[str, Any]]) -> Imported:
        return self._wire.call("POST", "/studies/import", Imported, json={"spec": spec, "history": history})

    def trial(self, study_id: int, number: int) -> TrialDetail:
        return self._wire.call("GET", f"/studies/{study_id}/trials/{number}", TrialDetail)

    def mlflow_run(self, run_id: str) -> dict[str, Any]:
        """MLflow's own word on a run: `info`, and `data` with params, tags and each metric's last value."""
        path, params = f"{MLFLOW}/api/2.0/mlflow/runs/get", {"run_id": run_id}
        found = self._wire.send("GET", path, params=params, follow_redirects=True).json()  # MLflow may be elsewhere
        run: dict[str, Any] = found["run"]
        return run

    def reports(self, study_id: int, number: int) -> ReportList:
        """All of a trial's reports, by fold and step."""
        return ReportList(items=list(self._items(f"/studies/{study_id}/trials/{number}/reports", ReportList)))

    def logs(self, study_id: int, number: int, *, attempt: int | None = None, after: int = 0) -> LogPiece:
        """A piece of what a trial printed, from the byte `after` on."""
        params = _given(attempt=None if attempt is None else str(attempt), after=str(after))
        answer = self._wire.send("GET", f"/studies/{study_id}/trials/{number}/logs", params=params)
        return LogPiece.of_headers(answer.content, answer.headers)

    def trainers(self) -> TrainerList:
        return self._wire.call("GET", "/trainers", TrainerList)

    def workers(self) -> WorkerList:
        return self._wire.call("GET", "/workers", WorkerList)

    # ---- data sets -----------------------------------------------------------------------------------------------

    def upload_dataset(
        self,
        name: str,
        *,
        data: str | Path | None = None,
        train: str | Path | None = None,
        validation: str | Path | None = None,
        test: str | Path | None = None,
        **source: Any,
    ) -> DatasetDetail:
        """Uploads a data set, streamed from disk; the same files and source again are the same version.

        Args:
            name: a new one, or one that gets its next version.
            data: the one file, csv, tsv, parquet, npz or zip.
            train: instead of `data`: rows to learn from.
            validation: beside `train`.
            test: beside `train`.
            source: what is to be said of them: `target`, `task`, `encoding`, `delimiter`, `columns`, `split_column`;
                of zips `image_size`, `sample_rate`, `encoding`; of interactions, also as a zip of tables, `user`, `item`,
                `rating`, `time`, `user_features`, `item_features`; of series `time`, `series`; of texts `text`.
        """
        given = {"data": data, "train": train, "validation": validation, "test": test}
        paths = {part: Path(path) for part, path in given.items() if path is not None}
        said = {key: value for key, value in source.items() if value is not None}
        return self._wire.call(
            "POST",
            "/datasets",
            DatasetDetail,
            params={"name": name},
            data={"source": json.dumps(said)},
            paths=paths,
            timeout=READING,
        )

    def datasets(self) -> Iterator[DatasetOut]:
        """Every data set in its newest version, newest first, built-in ones last."""
        return self._items("/datasets", DatasetPage)

    def dataset(self, name: str, version: int | None = None) -> DatasetDetail:
        """A data set with its columns; its newest version unless one is named."""
        return self._wire.call("GET", _dataset_path(name, version), DatasetDetail)

    def dataset_profile(self, name: str, version: int | None = None) -> DatasetProfile:
        """What the rows of one version, or the newest, are like."""
        path = f"{_dataset_path(name, version)}/profile"
        return self._wire.call("GET", path, DatasetProfile, timeout=READING)

    def delete_dataset(self, name: str, version: int | None = None) -> None:
        """Deletes a version, or all of them; refused while a study uses it."""
        self._wire.send("DELETE", _dataset_path(name, version))

    def download_dataset(self, name: str, version: int, file: IO[bytes]) -> None:
        """Writes the files of an uploaded data set as a tar; not repeated by itself, since a part may be written."""
        self._wire.stream(f"{_dataset_path(name, version)}/files", file)

    # ---- what a worker says --------------------------------------------------------------------------------------

    def register(self, worker_id: str, body: WorkerBody) -> None:
        self._wire.send("PUT", f"/workers/{worker_id}", json=body.model_dump())

    def leave(self, worker_id: str) -> None:
        self._wire.send("DELETE", f"/workers/{worker_id}")

    def claim(self, body: ClaimBody) -> list[ClaimedAttempt]:
        timeout = httpx.Timeout(body.wait_s + CLAIM_ANSWER_S, connect=5.0)
        return self._wire.call("POST", "/claims", Claims, json=body.model_dump(), timeout=timeout).attempts

    def report(
        self,
        attempt_id: uuid.UUID,
        reports: list[ReportBody],
        log: LogBody | None = None,
        *,
        lease_s: float | None = None,
    ) -> Decision:
        """Reports, or with nothing to report renews the lease.

        Args:
            attempt_id: whose.
            reports: in order; those that were taken before are dropped.
            log: what follows of what the trial prints.
            lease_s: the lease's length: it is tried once, and given up early enough to try again before it is over.
        """
        body, path = ReportsBody(reports=reports, log=log), f"/attempts/{attempt_id}/reports"
        send = partial(self._wire.call, "POST", path, Decision, content=body.model_dump_json())
        if lease_s is None:
            return send()
        began_s = time.monotonic()
        try:
            timeout = httpx.Timeout(self._answer_time.allowed_s(lease_s), connect=AnswerTime.least_s(lease_s))
            decision = send(timeout=timeout, once=True)
        except ClientError as error:
            if error.status == 0:
                self._answer_time.given_up(time.monotonic() - began_s)
            raise
        self._answer_time.answered(time.monotonic() - began_s)
        return decision

    def upload(self, attempt_id: uuid.UUID, tar: Path) -> ArtifactList:
        """Sends an attempt's files, a tar of plain ones, from disk."""
        headers = {"Content-Type": "application/x-tar"}
        return self._wire.call("POST", f"/attempts/{attempt_id}/artifacts", ArtifactList, file=tar, headers=headers)

    def save_checkpoint(self, attempt_id: uuid.UUID, fold: int, step: int, sha256: str, file: Path) -> None:
        """Sends the state of an attempt's trial after an epoch, from disk."""
        self._wire.send(
            "PUT",
            f"/attempts/{attempt_id}/checkpoint",
            params={"fold": fold, "step": step, "sha256": sha256},
            file=file,
            headers={"Content-Type": "application/octet-stream"},
        )

    def download_checkpoint(self, attempt_id: uuid.UUID, sha256: str, file: IO[bytes]) -> None:
        """Writes a checkpoint of the trial that the attempt holds; not repeated by itself, since a part may be written."""
        self._wire.stream(f"/attempts/{attempt_id}/checkpoints/{sha256}", file)

    def resumed(self, attempt_id: uuid.UUID, step: int) -> None:
        """Tells that an attempt goes on after this epoch."""
        self._wire.send("POST", f"/attempts/{attempt_id}/resumed", json={"step": step})

    def complete(self, attempt_id: uuid.UUID, body: CompleteBody) -> TrialEnded:
        return self._wire.call(
            "POST", f"/attempts/{attempt_id}/complete", TrialEnded, content=body.model_dump_json(), timeout=WORD_S
        )

    def fail(self, attempt_id: uuid.UUID, body: FailBody) -> TrialEnded:
        return self._wire.call(
            "POST", f"/attempts/{attempt_id}/fail", TrialEnded, json=body.model_dump(), timeout=WORD_S
        )

    def release(self, attempt_id: uuid.UUID) -> TrialEnded:
        return self._wire.call("POST", f"/attempts/{attempt_id}/release", TrialEnded, timeout=WORD_S)

    def optuna(self, method: str, body: dict[str, Any]) -> Any:
        """A call of Optuna's storage, in Python's JSON, which has NaN and Infinity."""
        return json.loads(self._wire.send("POST", f"/optuna/{method}", content=json.dumps(body)).content)

    def _items(self, path: str, kind: type[Page[Item]], **params: str) -> Iterator[Item]:
        """What a list's pages hold, each fetched when it is reached."""
        cursor: str | None = None
        while True:
            page = self._wire.call("GET", path, kind, params=_given(cursor=cursor, **params))
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def is_ready(self) -> bool:
        """Whether the control plane answers and reaches its database; never raises."""
        return self._wire.is_ready()


def _reading(spec: dict[str, Any]) -> dict[str, httpx.Timeout]:
    """How long to wait for a study's answer, where that takes reading the data set."""
    evaluation = spec.get("evaluation")
    by_column = isinstance(evaluation, dict) and bool({"group", "time"} & evaluation.keys())
    return {"timeout": READING} if by_column else {}


def _dataset_path(name: str, version: int | None) -> str:
    path = f"/datasets/{quote(name, safe='')}"
    return path if version is None else f"{path}/versions/{version}"


def _key(chosen: str | None) -> dict[str, str]:
    """The header that lets a request be repeated: one key for all its tries."""
    return {"Idempotency-Key": chosen or uuid.uuid4().hex}


def _given(**params: str | None) -> dict[str, str]:
    return {name: value for name, value in params.items() if value is not None}
