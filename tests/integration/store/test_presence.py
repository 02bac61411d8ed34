"""A lease runs out only while the control plane is there to renew it; time is moved by shifting what is stored."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import Engine, text

from tests.acceptance.waiting import until
from tests.studying import claim, submit
from tuner import presence
from tuner.maintenance import reap
from tuner.store import duties
from tuner.store.database import transaction

LEASE_S = 10


@pytest.fixture
def overdue(engine: Engine) -> int:
    """A study whose one attempt has not been heard of for a minute."""
    study_id = submit(engine, limits={"lease_s": LEASE_S}, budget={"trials": 1})
    assert len(claim(engine)) == 1
    move(engine, "attempts", "lease_until", -60)
    return study_id


def move(engine: Engine, table: str, column: str, seconds: float, name: str | None = None) -> None:
    which = "" if name is None else f" where name = '{name}'"
    with engine.begin() as connection:
        connection.execute(text(f"update tuner.{table} set {column} = {column} + interval '{seconds} s'{which}"))


def serve(engine: Engine) -> None:
    with transaction(engine) as connection:
        duties.serve(connection, "here", 4.0)


def test_where_no_control_plane_has_said_anything_leases_run_out(engine: Engine, overdue: int) -> None:
    assert reap.run_once(engine).expired == 1


def test_after_a_start_every_lease_has_its_whole_length(engine: Engine, overdue: int) -> None:
    serve(engine)
    assert reap.run_once(engine).expired == 0

    move(engine, "duties", "until", -LEASE_S, duties.SERVES_SINCE)
    serve(engine)
    assert reap.run_once(engine).expired == 1


def test_while_no_control_plane_is_there_nothing_runs_out(engine: Engine, overdue: int) -> None:
    serve(engine)
    move(engine, "duties", "until", -3600)

    assert reap.run_once(engine).expired == 0


def test_a_gap_begins_anew_and_words_in_time_do_not(engine: Engine, overdue: int) -> None:
    serve(engine)
    move(engine, "duties", "until", -3600, duties.SERVES_SINCE)
    serve(engine)
    assert reap.run_once(engine).expired == 1, "it has served for an hour"

    move(engine, "attempts", "lease_until", -60)
    assert len(claim(engine)) == 1
    move(engine, "attempts", "lease_until", -60)
    move(engine, "duties", "until", -10, duties.SERVES_UNTIL)
    serve(engine)
    assert reap.run_once(engine).expired == 0, "there was a gap just now"


def test_two_control_planes_make_no_gap(engine: Engine, overdue: int) -> None:
    for holder in ("one", "two"):
        with transaction(engine) as connection:
            duties.serve(connection, holder, 4.0)
        move(engine, "duties", "until", -3600, duties.SERVES_SINCE)

    assert reap.run_once(engine).expired == 1


def test_a_control_plane_says_so_by_itself_and_again_after_an_outage(
    engine: Engine, overdue: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "EVERY_S", 0.05)
    with presence.told(engine):
        until(lambda: serves(engine), "it says so", 20)
        with engine.begin() as connection:
            connection.execute(text("delete from tuner.duties"))
            connection.execute(text("alter table tuner.duties rename to elsewhere"))
        hidden = threading.Event()
        hidden.wait(0.3)
        with engine.begin() as connection:
            connection.execute(text("alter table tuner.elsewhere rename to duties"))
        until(lambda: serves(engine), "it says so again", 20)
        assert reap.run_once(engine).expired == 0


def serves(engine: Engine) -> bool:
    with engine.begin() as connection:
        query = text("select count(*) from tuner.duties where name = :name")
        return bool(connection.execute(query, {"name": duties.SERVES_UNTIL}).scalar_one())
