"""A use case whose connection is cut is done again on another one; of a database that is away it is told at once."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError

from tuner.store.database import CUT_TRIES, again_if_cut, transaction


class Cut:
    """Adds a row, and is cut the first so many times before it commits."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.calls = 0

    def __call__(self, engine: Engine) -> int:
        self.calls += 1
        with transaction(engine) as connection:
            connection.execute(text("insert into cuts values (1)"))
            if self.calls <= self.times:
                connection.execute(text("select pg_terminate_backend(pg_backend_pid())"))
            return int(connection.execute(text("select count(*) from cuts")).scalar_one())


@pytest.fixture(autouse=True)
def _table(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(text("create table cuts (n int)"))


def test_it_is_done_once_more_and_counts_once(engine: Engine) -> None:
    use_case = Cut(CUT_TRIES - 1)
    assert again_if_cut(use_case)(engine) == 1
    assert use_case.calls == CUT_TRIES


def test_it_is_not_done_for_ever(engine: Engine) -> None:
    use_case = Cut(CUT_TRIES)
    with pytest.raises(OperationalError):
        again_if_cut(use_case)(engine)
    assert use_case.calls == CUT_TRIES


def test_a_database_that_is_away_is_told_at_once() -> None:
    use_case = Cut(0)
    away = create_engine("postgresql+psycopg2://nobody@/nothing?host=/nowhere")
    with pytest.raises(OperationalError):
        again_if_cut(use_case)(away)
    assert use_case.calls == 1
