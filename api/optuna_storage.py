"""`/optuna`: the storage of Optuna scripts that run elsewhere, by the admin key; see `tuner.storage`."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Path, Response

from api.deps import EngineDep
from tuner import scripted
from tuner.wire_attempts import OptunaCall

router = APIRouter(prefix="/optuna", tags=["optuna"])


@router.post("/{method}", response_class=Response, summary="Call a method of Optuna's storage")
def call(
    method: Annotated[str, Path(max_length=100, pattern=r"^[a-z_]+$")], body: OptunaCall, engine: EngineDep
) -> Response:
    """For `tuner.storage(URL, KEY)`. Answers Python's JSON, which has NaN and Infinity."""
    answer = scripted.call(engine, method, body.arguments, holder=body.holder, request_id=body.request_id)
    return Response(json.dumps(answer), media_type="application/json")
