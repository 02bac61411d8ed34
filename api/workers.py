"""`/workers`: who is there."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from api.deps import ConnectionDep, EngineDep
from tuner import views
from tuner.store import notify, workers
from tuner.store.database import transaction
from tuner.wire import WorkerBody, WorkerList

router = APIRouter(prefix="/workers", tags=["workers"])


@router.get("", summary="List workers")
def page(connection: ConnectionDep) -> WorkerList:
    """Those heard of within a day."""
    return WorkerList(items=views.listed_workers(connection))


WorkerId = Annotated[str, Path(max_length=100, pattern=r"^[\x21-\x7e]+$")]


@router.put("/{worker_id}", status_code=204, summary="Register a worker, or say that it is still there")
def register(worker_id: WorkerId, body: WorkerBody, engine: EngineDep) -> None:
    with transaction(engine) as connection:
        workers.register(
            connection,
            worker_id,
            name=body.name,
            version=body.version,
            slots=body.slots,
            devices=body.devices,
            trainers=body.trainers,
        )


@router.delete("/{worker_id}", status_code=204, summary="Say that a worker claims no more")
def leave(worker_id: WorkerId, engine: EngineDep) -> None:
    """Its waiting claims are answered at once; what it still runs, it may finish or release."""
    with transaction(engine) as connection:
        workers.leave(connection, worker_id)
    notify.work(engine)
