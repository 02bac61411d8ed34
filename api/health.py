"""`/healthz` and `/readyz`: open to all, telling nothing but whether."""

from __future__ import annotations

from fastapi import APIRouter
from sqlalchemy import text

from api.deps import ConnectionDep

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="The process answers")
def healthz() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/readyz", summary="The database answers as well")
def readyz(connection: ConnectionDep) -> dict[str, str]:
    connection.execute(text("select 1"))
    return {"status": "ready"}
