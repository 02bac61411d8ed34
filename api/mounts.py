"""MLflow and the Optuna dashboard under our origin, behind the same gate.

Owns which path goes to which app. The dashboard's own paths are absolute, so it gets all that it uses: hence ours are
under `/api/v1`.
"""

from __future__ import annotations

from typing import Any

from a2wsgi import WSGIMiddleware
from sqlalchemy import Engine
from starlette.routing import Match, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tuner.sampling import dashboard
from tuner.settings import Settings
from tuner.tracking import server

MLFLOW = "/mlflow"
DASHBOARD_PATHS = ("/dashboard", "/static", "/api/studies", "/api/trials", "/api/meta", "/artifacts", "/csv")


class Unstripped(Mount):
    """A mount whose app sees the whole path, as an app with absolute links needs."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, _child = super().matches(scope)
        return (match, {"endpoint": self.app}) if match is not Match.NONE else (match, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


def routes(settings: Settings, engine: Engine) -> list[Mount | Route]:
    """The mounts, for the end of the route table."""
    wsgi: Any = dashboard.wsgi_app(engine)  # a2wsgi has types of its own for what the standard library names
    board: Any = WSGIMiddleware(wsgi, workers=4)
    mlflow: ASGIApp = server.mlflow_app(
        database_url=engine.url.render_as_string(hide_password=False),
        artifacts=settings.mlflow_artifacts,
        prefix=MLFLOW,
        allowed_hosts=allowed_hosts(settings),
        allowed_origins=[],
    )
    return [Mount(MLFLOW, app=mlflow), *(Unstripped(path, app=board) for path in DASHBOARD_PATHS)]


def allowed_hosts(settings: Settings) -> list[str]:
    """Names under which browsers and MLflow clients may reach us."""
    more = [name.strip() for name in settings.allowed_hosts.split(",") if name.strip()]
    return ["localhost", "127.0.0.1", "[::1]", settings.host, *more]
