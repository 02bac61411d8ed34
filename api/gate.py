"""The gate: every request of every app behind one origin shows a key before any app sees it; what is not open is closed.

Owns authentication, the browser's session, request ids and the limits on bodies. Pure ASGI, outside FastAPI, so that
mounted apps cannot be reached around it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import math
import re
import time
import uuid
from urllib.parse import parse_qs

import anyio.to_thread
import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import errors, login_page
from api.throttle import Throttle
from tuner.asgi import replayed
from tuner.domain.errors import (
    FieldError,
    ForbiddenError,
    InvalidError,
    TooLargeError,
    TooManyWrongKeysError,
    TunerError,
    UnauthenticatedError,
)
from tuner.json_body import check_depth
from tuner.keys import KeyRing, Role

OPEN = frozenset({("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/login"), ("POST", "/login")})
FOR_WORKERS = (
    ("POST", re.compile(r"/api/v1/claims")),
    ("POST", re.compile(r"/api/v1/attempts/[0-9a-f-]{36}/(reports|artifacts|complete|fail|release|resumed)")),
    ("PUT", re.compile(r"/api/v1/attempts/[0-9a-f-]{36}/checkpoint")),
    ("GET", re.compile(r"/api/v1/attempts/[0-9a-f-]{36}/checkpoints/[0-9a-f]{64}")),
    ("GET", re.compile(r"/api/v1/datasets/[^/]+/versions/[0-9]+/files")),
    ("PUT", re.compile(r"/api/v1/workers/[^/]+")),
    ("DELETE", re.compile(r"/api/v1/workers/[^/]+")),
)
UPLOAD = re.compile(r"/api/v1/(attempts/[0-9A-Fa-f-]{36}/(artifacts|checkpoint)|datasets)")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SESSION_S = 30 * 24 * 3600
MAX_LOGIN_BYTES = 10_000
LOGIN_S = 10.0  # within which a login's form must have come
SMALL_BYTES = 2**16  # a body of which so little is looked through at once
REST = "/api/v1/"

log = structlog.get_logger()


class Gate:
    """Wraps the whole application."""

    def __init__(
        self, app: ASGIApp, *, ring: KeyRing, port: int, max_body_bytes: int, throttle: Throttle | None = None
    ) -> None:
        self._app = app
        self._ring = ring
        self._cookie = f"tuner_session_{port}"  # cookies do not tell ports apart
        self._max_body_bytes = max_body_bytes
        self._throttle = throttle or Throttle()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = uuid.uuid4().hex[:16]
        scope["request_id"] = request_id

        has_begun = False

        async def send_with_id(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("X-Frame-Options", "SAMEORIGIN")
            await send(message)

        try:
            answer = await self._answer(scope, receive)
            if answer is None:
                receive = await self._checked_body(scope, receive)
        except TunerError as error:
            answer = self._refusal(scope, error, request_id)
        try:
            await (answer or self._app)(scope, receive, send_with_id)
        except Exception as error:
            if has_begun:
                raise  # too late for another answer; uvicorn logs it and closes the connection
            answer = errors.of_unexpected(error, path=scope["path"], request_id=request_id)
            await answer(scope, receive, send_with_id)

    async def _answer(self, scope: Scope, receive: Receive) -> Response | None:
        """The gate's own answer, or None where the app should answer; raises where the key does not do."""
        method, path = scope["method"], scope["path"]
        if path == "/login":
            return await self._login(scope, receive)
        if (method, path) in OPEN:
            return None
        role, by_cookie = self._authenticate(scope)
        if role is None and not by_cookie:
            self._note_wrong_key(scope)
        if role is None:
            raise UnauthenticatedError(
                "send a key as `Authorization: Bearer KEY`, or open the link that `tuner up` (or `tuner link`) prints"
            )
        if role is Role.WORKER and not _open_to_workers(method, path):
            raise ForbiddenError(
                "a worker's key claims, reports, uploads and fetches data sets: use the admin key for everything else"
            )
        if by_cookie and method not in SAFE_METHODS and not _same_origin(Headers(scope=scope)):
            raise ForbiddenError("this request comes from another site: open the service's own pages")
        scope["role"] = role
        return None

    # ---- who is it -----------------------------------------------------------------------------------------------

    def _authenticate(self, scope: Scope) -> tuple[Role | None, bool]:
        headers = Headers(scope=scope)
        key = _shown_key(headers.get("authorization"))
        if key is not None:
            return self._ring.role_of(key), False
        return (Role.ADMIN, True) if self._valid_session(headers) else (None, True)

    def _note_wrong_key(self, scope: Scope) -> None:
        """Logs it, unless the address has shown too many of late.

        Raises:
            TooManyWrongKeysError: it has.
        """
        address = (scope.get("client") or ("unknown",))[0]
        wait_s = math.ceil(self._throttle.take(address))
        if wait_s:
            raise TooManyWrongKeysError(
                f"this key is not known, and {address} has shown too many such: wait {wait_s} s, and use the right one",
                retry_after_s=wait_s,
            )
        log.warning("a wrong key was shown", address=address, path=scope["path"][:200])

    def _valid_session(self, headers: Headers) -> bool:
        value = cookie_parser(headers.get("cookie", "")).get(self._cookie, "")  # other apps' odd cookies do no harm
        expires, _, signature = value.partition(".")
        if not re.fullmatch(r"[0-9]{1,12}", expires) or int(expires) < time.time():
            return False
        return hmac.compare_digest(self._sign(expires), signature.encode())

    def _sign(self, expires: str) -> bytes:
        """Of a session; signed with the admin key's digest, so a new key ends every session."""
        return (
            hmac.new(self._ring.digests[Role.ADMIN], f"session {expires}".encode(), hashlib.sha256).hexdigest().encode()
        )

    # ---- login ---------------------------------------------------------------------------------------------------

    async def _login(self, scope: Scope, receive: Receive) -> Response:
        if scope["method"] == "GET":
            form = parse_qs(scope["query_string"].decode("latin-1"))
        elif scope["method"] == "POST":
            form = parse_qs((await _read_login(receive)).decode("latin-1"))
        else:
            raise ForbiddenError("log in with GET or POST")
        key, target = form.get("key", [""])[0], _local(form.get("next", ["/"])[0])
        if not key:
            return HTMLResponse(login_page.render(target))
        role = self._ring.role_of(key)
        if role is None:
            self._note_wrong_key(scope)
        if role is not Role.ADMIN:
            return HTMLResponse(login_page.render(target, wrong=True), 401)
        answer = RedirectResponse(target, 303, {"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"})
        expires = str(int(time.time()) + SESSION_S)
        value = f"{expires}.{self._sign(expires).decode()}"
        secure = scope.get("scheme") == "https"
        answer.set_cookie(self._cookie, value, SESSION_S, httponly=True, samesite="lax", secure=secure)
        return answer

    # ---- bodies --------------------------------------------------------------------------------------------------

    async def _checked_body(self, scope: Scope, receive: Receive) -> Receive:
        """Bounds what our own REST reads into memory; uploads and the mounted apps stream."""
        if scope["method"] in SAFE_METHODS or not scope["path"].startswith(REST) or UPLOAD.fullmatch(scope["path"]):
            return receive
        body = await _read(receive, self._max_body_bytes)
        if len(body) <= SMALL_BYTES:
            check_depth(body)
        else:
            await anyio.to_thread.run_sync(check_depth, body)
        return replayed(body, receive)

    def _refusal(self, scope: Scope, error: TunerError, request_id: str) -> Response:
        wants_page = scope["method"] == "GET" and "text/html" in Headers(scope=scope).get("accept", "")
        if wants_page and isinstance(error, UnauthenticatedError):
            query = scope["query_string"].decode("latin-1")
            target = scope["path"] + (f"?{query}" if query else "")
            return HTMLResponse(login_page.render(_local(target)), 401)
        return errors.of_domain(error, request_id)


def _shown_key(authorization: str | None) -> str | None:
    """The key of a Bearer header, or the password of a Basic one, as MLflow clients may send."""
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except ValueError:  # binascii's and UnicodeDecodeError are among them
            return ""
    return None


def _open_to_workers(method: str, path: str) -> bool:
    return any(method == allowed and pattern.fullmatch(path) for allowed, pattern in FOR_WORKERS)


def _same_origin(headers: Headers) -> bool:
    origin = headers.get("origin")
    if origin is not None:
        return re.sub(r"^https?://", "", origin) == headers.get("host")
    return headers.get("sec-fetch-site") == "same-origin"


def _local(target: str) -> str:
    """A path on this origin, or `/`: a login link must not send the browser elsewhere."""
    if re.fullmatch(r"/(?![/\\])[^\\\x00-\x1f]*", target):
        return target
    return "/"


async def _read(receive: Receive, limit_bytes: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > limit_bytes:
            raise TooLargeError(f"the body is larger than {limit_bytes} bytes: send less")
        if not message.get("more_body", False):
            return bytes(body)


async def _read_login(receive: Receive) -> bytes:
    """A login's form: it comes from strangers, who shall not keep us waiting.

    Raises:
        InvalidError: it did not come in time.
    """
    try:
        async with asyncio.timeout(LOGIN_S):
            return await _read(receive, MAX_LOGIN_BYTES)
    except TimeoutError:
        raise InvalidError([FieldError("", f"the form did not come within {LOGIN_S:g} s: send it again")]) from None
