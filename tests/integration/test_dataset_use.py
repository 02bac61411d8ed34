"""A data set that is deleted while a study on it is submitted: one of the two wins, and the other is told."""

from __future__ import annotations

import json
import threading
import time
import uuid
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, text

from trainers.data.builtin import BUILTIN
from trainers.data.info import to_json
from tuner import datasets, studies
from tuner.domain.errors import InUseError, NotFoundError
from tuner.domain.spec import StudySpec
from tuner.resolve import Resolved, resolve
from tuner.store import datasets as store
from tuner.store.database import transaction

SPEC = StudySpec.model_validate({"name": "s", "dataset": "mine", "budget": {"trials": 2}})


@pytest.fixture(autouse=True)
def _mine(engine: Engine) -> None:
    info = to_json(BUILTIN["iris"])
    with transaction(engine) as connection:
        store.create(
            connection,
            {
                "name": "mine",
                "folder": uuid.uuid4(),
                "files_digest": "sha256:f",
                "digest": info["digest"],
                "size_bytes": 1,
                "source": "{}",
                "about": json.dumps({"info": info, "notes": []}),
            },
        )


def resolved(connection: Connection) -> Resolved:
    return resolve(SPEC, datasets.find(connection, "mine"))


def test_a_study_whose_data_set_was_deleted_a_moment_ago_is_refused(engine: Engine, tmp_path: Path) -> None:
    with transaction(engine) as connection:
        found = resolved(connection)
    datasets.delete(engine, tmp_path, "mine", None)

    with pytest.raises(NotFoundError, match="deleted a moment ago"), transaction(engine) as connection:
        studies._insert(connection, found, n_past=0)


def test_a_deletion_waits_for_a_study_that_is_being_submitted(engine: Engine, tmp_path: Path) -> None:
    refusals: list[InUseError] = []

    def delete() -> None:
        try:
            datasets.delete(engine, tmp_path, "mine", 1)
        except InUseError as error:
            refusals.append(error)

    thread = threading.Thread(target=delete)
    with transaction(engine) as connection:
        studies._insert(connection, resolved(connection), n_past=0)
        thread.start()
        _until_somebody_waits_for_a_lock(engine)
    thread.join(30)

    assert len(refusals) == 1
    assert "'s'" in refusals[0].detail
    with transaction(engine) as connection:
        assert datasets.find(connection, "mine@1").row_id is not None


def _until_somebody_waits_for_a_lock(engine: Engine) -> None:
    waiting = text(
        "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    )
    deadline_s = time.monotonic() + 9
    while time.monotonic() < deadline_s:
        with transaction(engine) as connection:
            if connection.execute(waiting).scalar_one():
                return
        time.sleep(0.02)
    raise AssertionError("the deletion did not wait")
