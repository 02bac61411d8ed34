"""A call that takes effect once, however often it is sent: what it does and its answer are one transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine

from tuner.domain.errors import IdempotencyMismatchError
from tuner.store import answers
from tuner.store.database import transaction


@dataclass(frozen=True)
class Caller:
    """Who calls: `holder` names the process, `request_id` the request, also when it is sent again."""

    holder: str
    request_id: str


def once(engine: Engine, caller: Caller, call: Mapping[str, Any], act: Callable[[Connection], Any]) -> Any:
    """Acts, unless this very request has been answered before; gives the answer either way.

    A refusal leaves nothing behind: sent again, the request is tried anew.

    Args:
        engine: to our tables.
        caller: whose request it is.
        call: what is called and with what, for `json.dumps`; a request means one call and no other.
        act: does it within the transaction it is given, and gives something for `json.dumps`.

    Raises:
        IdempotencyMismatchError: the request called something else before.
    """
    digest = hashlib.sha256(json.dumps(call, sort_keys=True).encode()).hexdigest()
    with transaction(engine) as connection:
        before = answers.begin(connection, caller.holder, caller.request_id, digest)
        if before is None:
            answer = act(connection)
            answers.end(connection, caller.holder, caller.request_id, json.dumps(answer))
            return answer
    if before.call_digest != digest:
        raise IdempotencyMismatchError(f"request {caller.request_id!r} called something else before: use a new one")
    return json.loads(before.answer)
