"""The chain of migrations builds exactly the tables that the code declares."""

from __future__ import annotations

import uuid

from alembic import command
from sqlalchemy import Engine, text

from tuner.store import datasets, migrate
from tuner.store.database import transaction


def test_migrations_build_the_declared_tables(engine: Engine) -> None:
    with migrate.migration_lock(engine) as connection:
        command.check(migrate.configuration(connection))  # raises when autogenerate would find a difference


def test_upgrade_is_a_no_op_on_a_database_that_is_up_to_date(engine: Engine) -> None:
    with engine.begin() as connection:
        before = connection.execute(text("select version_num from tuner.alembic_version")).scalar_one()

    migrate.upgrade(engine)

    with engine.begin() as connection:
        assert connection.execute(text("select version_num from tuner.alembic_version")).scalar_one() == before


def test_versions_of_data_sets_that_are_there_are_counted_on_from(engine: Engine) -> None:
    with migrate.migration_lock(engine) as connection:
        command.downgrade(migrate.configuration(connection), "0003")
        for name, version in (("a", 1), ("a", 4), ("b", 2)):
            connection.execute(
                text(
                    "insert into tuner.datasets (name, version, folder, files_digest, digest, size_bytes, source, about)"
                    " values (:name, :version, gen_random_uuid(), cast(:version as text), '', 0, '{}', '{}')"
                ),
                {"name": name, "version": version},
            )

    migrate.upgrade(engine)

    values = {"files_digest": "", "digest": "", "size_bytes": 0, "source": "{}", "about": "{}"}
    with transaction(engine) as connection:
        made = [datasets.create(connection, values | {"name": each, "folder": uuid.uuid4()}) for each in "abc"]
    assert [row.version for row in made] == [5, 3, 1]
