"""Machines in Tokyo and New York, a worker's clock an hour off: nothing is lost for it, and every time shown is UTC and true."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.waiting import ended
from tests.folders import data_folder
from tests.whole import free_port
from tuner import keys, up
from tuner.client import Client
from tuner.settings import Settings, child_environment

ROOT = Path(__file__).parents[2]
SHIFTED_CLOCK = Path(__file__).with_name("shifted_clock")
HOUR_S = 3600
RFC_3339_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
STUDY = {"name": "abroad", "dataset": "iris", "fixed": {"epochs": 4}, "budget": {"trials": 4}}
DATED = ("", "/trials", "/trials/0", "/trials/0/reports", "/trials/0/artifacts", "/history")


@contextmanager
def worker(service: up.Service, zone: str, shift_s: int) -> Iterator[None]:
    """In place of the service's own: another time zone, another clock."""
    own = service.processes.pop("worker")
    up._stop(own)
    environment = child_environment(
        "TUNER_",
        TUNER_URL=service.settings.base_url,
        TUNER_KEY=keys.key_file(service.settings.data, keys.Role.WORKER).read_text().strip(),
        TZ=zone,
        CLOCK_SHIFT_S=str(shift_s),
        PYTHONPATH=f"{SHIFTED_CLOCK}:{ROOT}",
    )
    process = subprocess.Popen([sys.executable, "-m", "tuner.cli", "worker", "--slots", "1"], env=environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait(40)


def moments(answer: Any) -> Iterator[str]:
    """Every time in an answer: what is called `…_at`."""
    if isinstance(answer, dict):
        yield from (value for name, value in answer.items() if name.endswith("_at") and value is not None)
        answer = list(answer.values())
    if isinstance(answer, list):
        for each in answer:
            yield from moments(each)


@pytest.mark.parametrize(
    ("of_service", "of_worker", "shift_s"),
    [("Asia/Tokyo", "America/New_York", HOUR_S), ("America/New_York", "Asia/Tokyo", -HOUR_S)],
)
def test_a_study_across_time_zones(
    monkeypatch: pytest.MonkeyPatch, of_service: str, of_worker: str, shift_s: int
) -> None:
    monkeypatch.setenv("TZ", of_service)
    port = free_port()
    with (
        data_folder() as folder,
        up.running(Settings(data=folder, port=port), slots=1) as service,
        Client(service.settings.base_url, service.admin_key) as client,
        worker(service, of_worker, shift_s),
    ):
        began_s = time.time()
        study = ended(client, client.submit(STUDY).id)
        _check_nothing_lost(client, study.id)
        _check_rest(client, study.id, began_s)
        _check_mlflow(client, study.id)
        logs = "\n".join(file.read_text() for file in (folder / "logs").iterdir())
        assert re.findall(r'"timestamp": "[^"]*(?<!Z)"', logs) == []


def _check_nothing_lost(client: Client, study_id: int) -> None:
    study = client.study(study_id)
    assert (study.state, study.end_reason, study.progress.complete) == ("completed", "trials", 4)
    for trial in client.trials(study_id):
        attempts = client.trial(study_id, trial.number).attempts
        assert [attempt.state for attempt in attempts] == ["succeeded"]
        assert trial.duration_s is not None
        assert 0 < trial.duration_s < HOUR_S / 2


def _check_rest(client: Client, study_id: int, began_s: float) -> None:
    answers = [client._wire.http.get(f"/api/v1/studies/{study_id}{path}").raise_for_status().json() for path in DATED]
    answers.append(client._wire.http.get("/api/v1/workers").raise_for_status().json())
    found = [moment for answer in answers for moment in moments(answer)]
    assert len(found) > 20
    assert [moment for moment in found if not RFC_3339_UTC.fullmatch(moment)] == []
    since, until_s = began_s - HOUR_S / 4, time.time() + 1  # a worker registers before the study is there
    assert [moment for moment in found if not since < datetime.fromisoformat(moment).timestamp() <= until_s] == []
    progress = client.study(study_id).progress
    assert progress.elapsed_s is not None
    assert 0 < progress.elapsed_s < until_s - began_s + 1


def _check_mlflow(client: Client, study_id: int) -> None:
    """A run begins and ends when its trial did, and its curve has the reports' times."""
    for trial in client.trials(study_id):
        run_id = client.trial(study_id, trial.number).run_id
        assert run_id is not None
        run = client.mlflow_run(run_id)["info"]
        assert (run["start_time"], run["end_time"]) == (_ms(trial.started_at), _ms(trial.finished_at))
        params = {"run_id": run_id, "metric_key": "val/loss"}
        history = client._wire.http.get("/mlflow/api/2.0/mlflow/metrics/get-history", params=params).json()["metrics"]
        reports = client.reports(study_id, trial.number).items
        shown = {(point["step"], point["timestamp"]) for point in history}
        assert {(each.step, _ms(each.reported_at)) for each in reports} <= shown


def _ms(moment: datetime | None) -> int:
    assert moment is not None
    return int(moment.astimezone(UTC).timestamp() * 1000)


def test_the_shim_shifts_the_clock_of_workers_and_of_their_children() -> None:
    script = "import time, sys; print(int(time.time()))"
    environment = child_environment(CLOCK_SHIFT_S=str(HOUR_S), PYTHONPATH=str(SHIFTED_CLOCK))
    shown = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)

    assert abs(int(shown.stdout) - time.time() - HOUR_S) < HOUR_S / 2
