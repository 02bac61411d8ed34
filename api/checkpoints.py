"""`/attempts/{id}/checkpoint…`: what workers save of a trial while it runs, and go on from."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import StreamingResponse

from api.deps import EngineDep, SettingsDep
from tuner import checkpoints
from tuner.wire_checkpoints import SHA256, ResumedBody

router = APIRouter(prefix="/attempts/{attempt_id}", tags=["workers"])


@router.put(
    "/checkpoint",
    status_code=204,
    summary="Save a trial's state",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def save(
    attempt_id: UUID,
    step: Annotated[int, Query(ge=0, le=10_000_000, description="Epochs finished in this fold.")],
    sha256: Annotated[str, Query(pattern=SHA256, description="Of the body.")],
    request: Request,
    engine: EngineDep,
    settings: SettingsDep,
    fold: Annotated[int, Query(ge=0, le=10_000)] = 0,
) -> None:
    """One file, streamed to disk. The two newest of a trial are kept until it ends, for whoever runs it next."""
    announced = checkpoints.Announced(fold, step, sha256)
    limit_bytes = settings.max_upload_mb * 2**20
    floor_bytes = settings.min_free_mb * 2**20
    await checkpoints.receive(
        engine, settings.artifacts, attempt_id, announced, request.stream(), limit_bytes, floor_bytes
    )


@router.get(
    "/checkpoints/{sha256}",
    response_class=StreamingResponse,
    summary="A state of the trial that an attempt holds",
    responses={200: {"content": {"application/octet-stream": {}}}},
)
def load(
    attempt_id: UUID,
    sha256: Annotated[str, Path(pattern=SHA256)],
    engine: EngineDep,
    settings: SettingsDep,
) -> StreamingResponse:
    """The file as an earlier attempt saved it; the claim's answer names those that there are."""
    length, pieces = checkpoints.send(engine, settings.artifacts, attempt_id, sha256)
    headers = {"Content-Length": str(length)}
    return StreamingResponse(pieces, media_type="application/octet-stream", headers=headers)


@router.post("/resumed", status_code=204, summary="Tell that a trial goes on from a checkpoint")
def resumed(attempt_id: UUID, body: ResumedBody, engine: EngineDep) -> None:
    """Shown with the attempt as `resumed_from_step`."""
    checkpoints.resumed(engine, attempt_id, body.step)
