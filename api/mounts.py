"""MLflow and the Optuna dashboard under our origin, behind the same gate.

Owns which path goes to which app. The dashboard's own paths are absolute, so it gets all that it uses: hence ours are
under `/api/v1`.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from a2wsgi import WSGIMiddleware
from sqlalchemy import Engine
from starlette.responses import RedirectResponse
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
    return [Mount(MLFLOW, app=_mlflow(settings, engine)), *(Unstripped(path, app=board) for path in DASHBOARD_PATHS)]


def _mlflow(settings: Settings, engine: Engine) -> ASGIApp:
    """MLflow's own app, or the way to the one that the user has elsewhere."""
    if settings.mlflow_url is not None:
        return Elsewhere(settings.tracking_url)
    return server.mlflow_app(
        database_url=engine.url.render_as_string(hide_password=False),
        artifacts=settings.mlflow_artifacts,
        prefix=MLFLOW,
        allowed_hosts=allowed_hosts(settings),
        allowed_origins=[],
    )


class Elsewhere:
    """Sends whoever comes to the same path of another server; the key stays here, since clients drop it on the way."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = quote(scope["path"].removeprefix(scope.get("root_path", "")))
        query = scope["query_string"].decode("latin-1")
        await RedirectResponse(f"{self._url}{path}{f'?{query}' if query else ''}", 307)(scope, receive, send)


def allowed_hosts(settings: Settings) -> list[str]:
    """Names under which browsers and MLflow clients may reach us."""
    more = [name.strip() for name in settings.allowed_hosts.split(",") if name.strip()]
    return ["localhost", "127.0.0.1", "[::1]", settings.host, *more]
