"""Statements that PostgreSQL parses and plans once a connection, for the few that every trial goes through.

Owns `Prepared`. Planning costs such a statement more than running it, and psycopg2 prepares nothing by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, CursorResult, TextClause, text

# names of bind parameters, and not the casts `::` that look like them
_PARAMETER = re.compile(r"(?<!:):(\w+)")


class Prepared:
    """A statement with named parameters, prepared on each connection at its first use there.

    Args:
        name: unique among prepared statements.
        sql: with parameters as `:name`.
        types: PostgreSQL's type of each parameter.
    """

    def __init__(self, name: str, sql: str, **types: str) -> None:
        self._name = name
        order = list(types)
        assert set(_PARAMETER.findall(sql)) == set(order), f"{name}: types and parameters differ"
        numbered = _PARAMETER.sub(lambda found: f"${order.index(found.group(1)) + 1}", sql)
        self._prepare = f"prepare {name} ({', '.join(types.values())}) as {numbered}"
        self._execute: TextClause = text(f"execute {name} ({', '.join(f':{each}' for each in order)})")

    def run(self, connection: Connection, values: Mapping[str, Any]) -> CursorResult[Any]:
        """Executes it with a value for every parameter."""
        if self._name not in connection.info:
            connection.exec_driver_sql(self._prepare)
            connection.info[self._name] = True  # of the connection, not of the transaction, like the statement itself
        return connection.execute(self._execute, values)
