"""The chain of migrations builds exactly the tables that the code declares."""

from __future__ import annotations

from alembic import command
from sqlalchemy import Engine, text

from tuner.store import migrate


def test_migrations_build_the_declared_tables(engine: Engine) -> None:
    with migrate.migration_lock(engine) as connection:
        command.check(migrate.configuration(connection))  # raises when autogenerate would find a difference


def test_upgrade_is_a_no_op_on_a_database_that_is_up_to_date(engine: Engine) -> None:
    with engine.begin() as connection:
        before = connection.execute(text("select version_num from tuner.alembic_version")).scalar_one()

    migrate.upgrade(engine)

    with engine.begin() as connection:
        assert connection.execute(text("select version_num from tuner.alembic_version")).scalar_one() == before
