"""The control plane as one ASGI app: REST, MLflow, dashboard, behind one gate.

Owns `create_app`, its lifespan, and the order of routes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from sqlalchemy import Engine

from api import (
    attempts,
    catalog,
    checkpoints,
    datasets,
    errors,
    health,
    lifecycle,
    metrics,
    mounts,
    optuna_storage,
    studies,
    trials,
    workers,
)
from api.deps import Bell
from api.gate import Gate
from api.throttle import Throttle
from tuner.keys import KeyRing
from tuner.sampling import process
from tuner.settings import Settings
from tuner.store import notify
from tuner.wire import Problem

REST = "/api/v1"
PROBLEM = {"model": Problem, "content": {"application/problem+json": {}}}


def create_app(settings: Settings, engine: Engine, ring: KeyRing) -> Gate:
    """Builds the app; importing MLflow takes about two seconds.

    Args:
        settings: of this process.
        engine: to a database whose schemas are up to date.
        ring: the keys that open it.
    """
    app = rest_app(settings, engine)
    app.router.routes.extend(mounts.routes(settings, engine))
    throttle = Throttle(settings.wrong_keys_per_minute, settings.wrong_keys_burst)
    return Gate(app, ring=ring, port=settings.port, max_body_bytes=settings.max_body_mb * 2**20, throttle=throttle)


def rest_app(settings: Settings, engine: Engine) -> FastAPI:
    """Our own REST API, without gate and mounts."""
    bell = Bell(settings.max_waiting_claims)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        bell.open()
        listener = notify.Listener(engine, bell.ring)
        listener.start()
        yield
        listener.stop()
        process.stop()

    app = FastAPI(
        title="tuner",
        version=version("tuner"),
        summary="Hyperparameter tuning and experiment tracking.",
        description=(
            "Show a key with every request: `Authorization: Bearer KEY`. "
            "Errors are RFC 9457 problems with a stable `type`, and a pointer to each field at fault."
        ),
        lifespan=lifespan,
        openapi_url=f"{REST}/openapi.json",
        docs_url=None,  # both load scripts from elsewhere
        redoc_url=None,
        responses={"4XX": PROBLEM, "5XX": PROBLEM},
    )
    _declare_key(app)
    app.state.settings = settings
    app.state.engine = engine
    app.state.bell = bell
    app.state.metrics = metrics.Metrics(engine)
    errors.install(app)
    for resource in (studies, lifecycle, trials, attempts, checkpoints, datasets, workers, catalog, optuna_storage):
        app.include_router(resource.router, prefix=REST)
    app.include_router(health.router)
    app.include_router(metrics.router)
    app.add_api_route("/", _home, include_in_schema=False)
    return app


def _declare_key(app: FastAPI) -> None:
    """Says in the OpenAPI document what the gate asks for: FastAPI does not know of it."""
    written = app.openapi

    def with_key() -> dict[str, Any]:
        document = written()
        document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"key": []}]
        return document

    app.openapi = with_key  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def _home() -> RedirectResponse:
    return RedirectResponse("/dashboard", 302)
