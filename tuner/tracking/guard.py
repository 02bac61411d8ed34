"""Stands before MLflow's app: closes what is not allowed, keeps artifact paths inside their folder, lets uploads stream.

Owns what a request must look like to reach MLflow. Pure ASGI: bodies of artifacts are passed on, never held; others are
bounded, and hold nothing that would be an error of PostgreSQL's or of a parser's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import Any
from urllib.parse import quote, unquote

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tuner.asgi import replayed
from tuner.domain.errors import InvalidError
from tuner.json_body import check_depth, check_text
from tuner.tracking import allowed

MAX_BODY_BYTES = 16 * 2**20  # MLflow's own clients send less than 2
RETRY_AFTER_S = 2
_ARTIFACT = re.compile(r"(/(?:ajax-)?api/2\.0/mlflow-artifacts/artifacts)/(.+)", re.DOTALL)
_ENDPOINTS = "/ajax-api/2.0/mlflow/gateway-proxy"
_CREATE_EXPERIMENT = re.compile(r"/(?:ajax-)?api/2\.0/mlflow/experiments/create")


class Guard:
    """Wraps MLflow's app, which is mounted under `prefix` and has routes that begin with it; `index` is the UI's page."""

    def __init__(self, app: ASGIApp, prefix: str, index: str, origins: Collection[str]) -> None:
        self.app = app
        self.prefix = prefix
        self.origins = frozenset(origins)
        self.index = HTMLResponse(index, headers={"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            return
        refusal = await self._pass(dict(scope), receive, _with_retry_after(send))
        if refusal is not None:
            await refusal(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> Response | None:
        """Hands the request to MLflow, or returns the answer that it gets instead."""
        path = scope["path"].removeprefix(self.prefix)
        if self._is_foreign(Headers(scope=scope)):
            return _refused(403, "PERMISSION_DENIED", "this request comes from a page of another site.")
        if path == "/" and scope["method"] in {"GET", "HEAD"}:
            return self.index
        if path == _ENDPOINTS and scope["method"] == "GET":
            return JSONResponse({"endpoints": []})  # the UI asks on its first page, and shows a refusal in red
        if path == scope["path"] or not allowed.is_open(scope["method"], path):
            what = f"{scope['method']} {scope['path']}"
            return _refused(
                403, "PERMISSION_DENIED", f"{what} is closed here: this server tracks runs and models only."
            )
        if "\0" in path or b"%00" in scope["query_string"]:
            return _refused(400, "INVALID_PARAMETER_VALUE", "a NUL stands in the address: leave it out.")
        artifact = _ARTIFACT.fullmatch(path)
        if artifact is not None and not _is_inside(artifact.group(2)):
            return _refused(400, "INVALID_PARAMETER_VALUE", "Invalid path: name a file below the artifact folder.")
        if artifact is None and scope["method"] not in {"GET", "HEAD"}:
            body = await _checked_body(path, receive)
            if isinstance(body, Response):
                return body
            receive = replayed(body, receive)
            scope["headers"] = [(k, v) for k, v in scope["headers"] if k not in _FRAMING]
            scope["headers"].append((b"content-length", b"%d" % len(body)))
        # MLflow's routes begin with the prefix, so to it the app is not mounted; but its artifact routes that stream
        # have none (under the prefix, Flask would hold a whole upload in memory). Only they answer GET and PUT.
        streams = artifact is not None and scope["method"] in {"GET", "PUT"}
        scope["path"] = path if streams else scope["path"]
        scope["raw_path"] = quote(scope["path"]).encode("ascii")
        scope["root_path"] = scope.get("root_path", "").removesuffix(self.prefix)
        await self.app(scope, receive, send)
        return None

    def _is_foreign(self, headers: Headers) -> bool:
        """Whether a page of another origin asks. MLflow itself would answer any page from localhost, whatever its port."""
        origin = headers.get("origin")
        return (
            origin is not None
            and re.sub(r"^https?://", "", origin) != headers.get("host")
            and origin not in self.origins
        )


_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


def _is_inside(path: str) -> bool:
    """Whether a relative artifact path, however often it was encoded, stays below its root."""
    for _ in range(8):
        decoded = unquote(path)
        if decoded == path:
            break
        path = decoded
    else:
        return False
    parts = path.split("/")
    plain = not {"..", ".", ""}.intersection(parts[:-1]) and parts[-1] not in {"..", "."}
    return plain and not re.search(r"[\\\x00-\x1f]", path) and not path.startswith("file:")


async def _checked_body(path: str, receive: Receive) -> bytes | Response:
    """The body as MLflow may see it, or the answer that it gets instead."""
    body = await _read(receive)
    if body is None:
        return _refused(413, "INVALID_PARAMETER_VALUE", f"the body is larger than {MAX_BODY_BYTES} bytes: send less.")
    try:
        check_depth(body)
        check_text(body)
    except InvalidError as error:
        return _refused(400, "INVALID_PARAMETER_VALUE", error.errors[0].detail)
    if not _CREATE_EXPERIMENT.fullmatch(path):
        return body
    message = "artifact_location is chosen by the server: leave it out, and send a JSON object."
    return _experiment(body) or _refused(403, "PERMISSION_DENIED", message)


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None where it is too large, or the client has gone."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


def _experiment(body: bytes) -> bytes | None:
    """The body of a new experiment, written anew so that MLflow sees what we saw; None where it will not do."""
    try:
        fields: Any = json.loads(body)
        if isinstance(fields, str):  # MLflow takes JSON in a JSON string, too
            fields = json.loads(fields)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or any(key in fields for key in ("artifact_location", "artifactLocation")):
        return None
    return json.dumps(fields).encode()


def _with_retry_after(send: Send) -> Send:
    """MLflow answers 503 where its database is away, and does not say that it is worth trying again."""

    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 503:
            MutableHeaders(scope=message).setdefault("Retry-After", str(RETRY_AFTER_S))
        await send(message)

    return send_with


def _refused(status: int, error_code: str, message: str) -> Response:
    return JSONResponse({"error_code": error_code, "message": message}, status)
