"""What alembic runs: our schema only, on the connection that the caller hands over."""

from alembic import context
from sqlalchemy import text

from tuner.store.tables import SCHEMA, metadata


def _only_ours(name: str | None, type_: str, _parents: object) -> bool:
    return type_ != "schema" or name == SCHEMA


connection = context.config.attributes["connection"]
connection.execute(text(f"create schema if not exists {SCHEMA}"))
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table_schema=SCHEMA,
    include_schemas=True,
    include_name=_only_ours,
    compare_type=True,
)
context.run_migrations()
