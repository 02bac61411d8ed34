"""What the tidy duty removes and what it keeps."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, text

from tests import studying
from tuner import studies
from tuner.domain.spec import StudySpec
from tuner.maintenance import tidy
from tuner.once import Caller, once


def test_old_keys_and_workers_go_and_new_ones_stay(engine: Engine, tmp_path: Path) -> None:
    for key in ("old", "new"):
        studies.submit(engine, StudySpec.model_validate(studying.external()), key)
    with engine.begin() as connection:
        connection.execute(
            text("update tuner.idempotency_keys set created_at = now() - interval '8 days' where key = 'old'")
        )
        connection.execute(
            text(
                "insert into tuner.workers (id, name, version, slots, devices, trainers, seen_at) "
                "values ('gone', 'w', '1', 1, '[]', '[]', now() - interval '8 days'), ('here', 'w', '1', 1, '[]', '[]', now())"
            )
        )

    counts = tidy.run_once(engine, tmp_path)

    assert (counts.keys, counts.workers) == (1, 1)
    with engine.begin() as connection:
        assert connection.execute(text("select key from tuner.idempotency_keys")).scalars().all() == ["new"]
        assert connection.execute(text("select id from tuner.workers")).scalars().all() == ["here"]


def test_old_answers_go_and_new_ones_stay(engine: Engine, tmp_path: Path) -> None:
    for request_id in ("old", "new"):
        once(engine, Caller("h", request_id), {}, lambda _: 1)
    with engine.begin() as connection:
        connection.execute(
            text("update tuner.answered_calls set created_at = now() - interval '3 days' where request_id = 'old'")
        )

    assert tidy.run_once(engine, tmp_path).answers == 1

    with engine.begin() as connection:
        assert connection.execute(text("select request_id from tuner.answered_calls")).scalars().all() == ["new"]
