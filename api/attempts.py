"""`/claims` and `/attempts`: what workers, and loops of the user's own, call."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import structlog
from fastapi import APIRouter, Request
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from api.deps import Bell, BellDep, EngineDep, SettingsDep
from api.metrics import MetricsDep
from tuner import attempts, claims, uploads
from tuner.wire import ArtifactList
from tuner.wire_attempts import (
    ClaimBody,
    ClaimedAttempt,
    Claims,
    CompleteBody,
    Decision,
    FailBody,
    ReportsBody,
    TrialEnded,
)

router = APIRouter(tags=["workers"])

log = structlog.get_logger()


@router.post("/claims", summary="Claim trials to run")
async def claim(body: ClaimBody, request: Request, engine: EngineDep, bell: BellDep, metrics: MetricsDep) -> Claims:
    """Answers at once if there is work, and otherwise waits up to `wait_s` seconds for some.

    The waiting holds no thread and no connection; 503 where as many claims wait already as may.
    """
    answer = await _answer(body, request, engine, bell)
    metrics.claims.labels("trials" if answer.attempts else "none").inc()
    for given in answer.attempts:
        _log("trial claimed", given.attempt_id, study=given.study_id, trial=given.trial, worker=body.worker_id)
    return answer


async def _answer(body: ClaimBody, request: Request, engine: Engine, bell: Bell) -> Claims:
    deadline_s = asyncio.get_running_loop().time() + body.wait_s
    if await request.is_disconnected():
        return Claims(attempts=[])  # nobody is there to run what would be claimed
    rung, held = await _claim(body, engine, bell)
    if held is not None and not held and body.wait_s > 0:
        with bell.place():
            gone = asyncio.ensure_future(_until_gone(request))
            try:
                while held is not None and not held and await _is_rung(rung, gone, deadline_s):
                    rung, held = await _claim(body, engine, bell)
            finally:
                gone.cancel()
    return Claims(attempts=held or [])


async def _claim(body: ClaimBody, engine: Engine, bell: Bell) -> tuple[asyncio.Event, list[ClaimedAttempt] | None]:
    """One look for work, and what will be set when there may be more; None: there will not."""
    rung = bell.next
    held = await run_in_threadpool(
        claims.claim,
        engine,
        worker_id=body.worker_id,
        request_id=body.request_id,
        slots=body.slots,
        trainers=body.trainers,
        protocol=body.protocol,
        study_id=body.study_id,
    )
    return rung, held


async def _until_gone(request: Request) -> None:
    """Returns when the asker has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _is_rung(rung: asyncio.Event, gone: asyncio.Future[None], deadline_s: float) -> bool:
    """Waits for a ring; False where the time is over or the asker is gone first."""
    left_s = deadline_s - asyncio.get_running_loop().time()
    ring = asyncio.ensure_future(rung.wait())
    try:
        either: set[asyncio.Future[Any]] = {ring, gone}
        await asyncio.wait(either, timeout=max(0.0, left_s), return_when=asyncio.FIRST_COMPLETED)
    finally:
        ring.cancel()
    return rung.is_set() and not gone.done()


@router.post("/attempts/{attempt_id}/reports", summary="Report metrics, or send a heartbeat")
def report(attempt_id: UUID, body: ReportsBody, engine: EngineDep, metrics: MetricsDep) -> Decision:
    """Renews the lease and says whether to go on."""
    with metrics.report_s.time():
        return attempts.report(engine, attempt_id, body.reports, body.log)


@router.post(
    "/attempts/{attempt_id}/artifacts",
    status_code=201,
    summary="Upload a trial's files",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def upload(attempt_id: UUID, request: Request, engine: EngineDep, settings: SettingsDep) -> ArtifactList:
    """One tar of plain files, streamed to disk; sent again it replaces what was there."""
    items = await uploads.receive(
        engine,
        settings.artifacts,
        attempt_id,
        request.stream(),
        limit_bytes=settings.max_upload_mb * 2**20,
        min_free_bytes=settings.min_free_mb * 2**20,
    )
    return ArtifactList(items=items)


@router.post("/attempts/{attempt_id}/complete", summary="Hand in a trial's result")
def complete(attempt_id: UUID, body: CompleteBody, engine: EngineDep) -> TrialEnded:
    """Accepted once; the same result from the same attempt again is answered alike."""
    return _ended("result accepted", attempt_id, attempts.complete(engine, attempt_id, body))


@router.post("/attempts/{attempt_id}/fail", summary="Tell that an attempt failed")
def fail(attempt_id: UUID, body: FailBody, engine: EngineDep) -> TrialEnded:
    """The trial is tried again if the kind of failure allows it, and fails otherwise."""
    return _ended("attempt failed", attempt_id, attempts.fail(engine, attempt_id, body), reason=body.reason)


@router.post("/attempts/{attempt_id}/release", summary="Give a trial back unfinished")
def release(attempt_id: UUID, engine: EngineDep) -> TrialEnded:
    """It goes on elsewhere, and uses up no attempt."""
    return _ended("attempt given back", attempt_id, attempts.release(engine, attempt_id))


def _ended(event: str, attempt_id: UUID, ended: TrialEnded, **more: str) -> TrialEnded:
    _log(event, attempt_id, study=ended.study_id, trial=ended.trial, state=ended.state, **more)
    return ended


def _log(event: str, attempt_id: UUID, **about: str | int) -> None:
    log.info(event, attempt=str(attempt_id), **about)
