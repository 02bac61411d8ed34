"""Optuna's dashboard over our tables, as a WSGI app that reads everything and writes notes alone.

Owns which of its routes are open. What is not listed is refused: creating, renaming or deleting there would go behind
the service's back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import optuna_dashboard
from optuna.storages import InMemoryStorage
from sqlalchemy import Engine

from tuner.sampling import board_page, quiet
from tuner.sampling.board_storage import BoardStorage
from tuner.store import database

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

READ = frozenset({"GET", "HEAD"})
PAGE = re.compile(r"/dashboard(/.*)?")
READABLE = re.compile(
    r"/|/favicon\.ico|/static/[^/]+|/api/meta|/api/studies|/api/studies/\d+|/api/studies/\d+/param_importances"
    r"|/csv/\d+"
)
NOTE = re.compile(r"/api/studies/(\d+)(?:/(\d+))?/note")
READS_ROWS = re.compile(r"/api/studies|/csv/")
ADDED = {
    board_page.STYLE_PATH: ("text/css; charset=utf-8", board_page.STYLE),
    board_page.SCRIPT_PATH: ("text/javascript; charset=utf-8", board_page.SCRIPT),
}
MAX_CACHED_STUDIES = 32
MAX_ID = 2**63 - 1

REFUSED = "the dashboard reads studies and writes notes: use the REST API under /api/v1 or the `tuner` command for this"
UNKNOWN = "there is no such study or trial"


def wsgi_app(engine_or_url: Engine | str) -> WSGIApplication:
    """The app; its paths are absolute, so it must be mounted without a prefix."""
    quiet.hush()
    storage = BoardStorage(engine_or_url)
    board: WSGIApplication = optuna_dashboard.wsgi(storage)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        path = environ.get("PATH_INFO", "").rstrip("/") or "/"  # the board takes both, and its pages ask for both
        environ.setdefault("HTTP_ACCEPT_ENCODING", "identity")  # without one, the board answers 500
        if method in READ and path in ADDED:
            return _answer(environ, start_response, "200 OK", *ADDED[path])
        if method in READ and PAGE.fullmatch(path):
            return _page(board, environ, start_response)
        note = NOTE.fullmatch(path) if method == "PUT" else None
        if not note and not (method in READ and READABLE.fullmatch(path)):
            return _reason(environ, start_response, "403 Forbidden", REFUSED)
        if READS_ROWS.match(path):
            database.ping(
                storage.engine
            )  # of a database that is away the board says 500, the gate 503 of what it raises
        if not _ids_exist(storage, path, note):
            return _reason(environ, start_response, "404 Not Found", UNKNOWN)
        _bound_cache(board)
        return board(environ, start_response)

    return app


def routes() -> list[tuple[str, str]]:
    """Method and rule of every route that the board has, open or refused."""
    return [(route.method, route.rule) for route in optuna_dashboard.wsgi(InMemoryStorage()).routes]


def _ids_exist(storage: BoardStorage, path: str, note: re.Match[str] | None) -> bool:
    """Whether the ids in a path are those of rows; the board answers some that are not with 500."""
    ids = [int(each) for each in re.findall(r"/(\d+)", path)] if not path.startswith("/static") else []
    if any(each > MAX_ID for each in ids):
        return False
    if note is None:
        return True
    try:
        storage.get_study_name_from_id(ids[0])
    except KeyError:
        return False
    return len(ids) == 1 or storage.has_trial(ids[0], ids[1])


def _bound_cache(board: WSGIApplication) -> None:
    """The board keeps the trials of every study that was ever looked at; now and then it starts anew."""
    cache = board._inmemory_cache  # type: ignore[attr-defined]  # noqa: SLF001 - set by its own `create_app`
    if len(cache._trials_cache) > MAX_CACHED_STUDIES:  # noqa: SLF001
        cache.clear()


def _page(board: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The board's one page with what we add to it, and its own headers, among them its content policy."""
    for condition in ("HTTP_IF_MODIFIED_SINCE", "HTTP_IF_NONE_MATCH", "HTTP_RANGE"):
        environ.pop(condition, None)  # they speak of the file as it was shipped
    told: list[tuple[str, list[tuple[str, str]]]] = []

    def remember(status: str, headers: list[tuple[str, str]], _error: object = None) -> object:
        told.append((status, headers))
        return lambda _chunk: None

    chunks = board(environ | {"REQUEST_METHOD": "GET"}, remember)  # type: ignore[arg-type]
    try:
        page = b"".join(chunks)
    finally:
        getattr(chunks, "close", lambda: None)()
    status, headers = told[-1]
    page = page.replace(b"</head>", board_page.HEAD.encode(), 1)
    dropped = {"content-length", "etag", "last-modified", "accept-ranges"}
    kept = [(name, value) for name, value in headers if name.lower() not in dropped]
    start_response(status, [*kept, ("Content-Length", str(len(page))), ("Cache-Control", "no-cache")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [page]


def _reason(environ: WSGIEnvironment, start_response: StartResponse, status: str, reason: str) -> Iterable[bytes]:
    """An error as the board's own page shows it."""
    return _answer(environ, start_response, status, "application/json", json.dumps({"reason": reason}))


def _answer(
    environ: WSGIEnvironment, start_response: StartResponse, status: str, content_type: str, text: str
) -> Iterable[bytes]:
    body = text.encode()
    start_response(status, [("Content-Type", content_type), ("Content-Length", str(len(body)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
