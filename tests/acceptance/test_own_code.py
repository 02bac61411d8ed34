"""Code of the user's own against the running service: the examples, as a person runs them."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.acceptance.waiting import ended
from tests.auditor import audit, audit_mlflow
from tuner import up
from tuner.client import Client
from tuner.settings import child_environment

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environment(service: up.Service) -> dict[str, str]:
    known = {"TUNER_URL": service.settings.base_url, "TUNER_KEY": service.admin_key, "OMP_NUM_THREADS": "1"}
    return child_environment("TUNER_", **known)


def test_two_loops_of_the_sklearn_example_share_a_study(
    service: up.Service, client: Client, service_engine: Engine, environment: dict[str, str]
) -> None:
    name = f"boosting {uuid.uuid4().hex[:8]}"
    command = [sys.executable, str(ROOT / "examples/external_sklearn.py"), name]
    loops = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [loop.communicate(timeout=200)[0] for loop in loops]

    assert [loop.returncode for loop in loops] == [0, 0]
    study = ended(client, client.study(name).id)
    assert (study.end_reason, study.progress.finished, study.progress.failed) == ("trials", 12, 0)
    assert study.best is not None
    assert study.best.value > 0.95
    assert f"best: trial {study.best.number}, roc_auc {study.best.value:.4f}\n" in printed
    assert len({attempt.worker_id for n in range(12) for attempt in client.trial(study.id, n).attempts}) == 2
    audit(service_engine)
    audit_mlflow(service_engine, service.settings.base_url, service.admin_key)
