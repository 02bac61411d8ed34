"""Every error as RFC 9457 problem+json: the one place where domain errors get an HTTP status.

Owns the table of statuses and the pointers of shape errors. Unexpected exceptions become a 500 that tells the request id,
never a traceback; the traceback goes to the log.
"""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException

from tuner import disk
from tuner.domain import errors

log = structlog.get_logger()

STATUS: dict[type[errors.TunerError], int] = {
    errors.InvalidError: 422,
    errors.NotFoundError: 404,
    errors.GoneError: 410,
    errors.NameTakenError: 409,
    errors.IdempotencyMismatchError: 422,
    errors.WrongStateError: 409,
    errors.InUseError: 409,
    errors.StaleAttemptError: 409,
    errors.TrialFinishedError: 409,
    errors.StudyEndedError: 409,
    errors.UnauthenticatedError: 401,
    errors.TooManyWrongKeysError: 429,
    errors.ForbiddenError: 403,
    errors.TooLargeError: 413,
    errors.UnavailableError: 503,
    errors.NoRoomError: 507,
}
RETRY_AFTER_S = 2
DATABASE_AWAY = "the database does not answer just now: try again in a moment"
LOCK_NOT_AVAILABLE = "55P03"


def problem(
    *, type_: str, title: str, status: int, detail: str, request_id: str, fields: list[errors.FieldError] | None = None
) -> JSONResponse:
    """A problem document as a response."""
    body: dict[str, Any] = {
        "type": f"urn:tuner:problem:{type_}",
        "title": title,
        "status": status,
        "detail": detail,
        "request_id": request_id,
    }
    if fields:
        body["errors"] = [
            {name: value for name, value in asdict(field).items() if value is not None} for field in fields
        ]
    headers = {"WWW-Authenticate": 'Bearer realm="tuner"'} if status == HTTPStatus.UNAUTHORIZED else {}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return JSONResponse(body, status, headers, media_type="application/problem+json")


def of_domain(error: errors.TunerError, request_id: str) -> JSONResponse:
    """The answer to an expected refusal."""
    fields = error.errors if isinstance(error, errors.InvalidError) else None
    if isinstance(error, errors.TooLargeError):
        fields = [errors.FieldError("", error.detail)]  # the whole body
    answer = problem(
        type_=error.type,
        title=error.title,
        status=STATUS[type(error)],
        detail=error.detail,
        request_id=request_id,
        fields=fields,
    )
    if isinstance(error, errors.TooManyWrongKeysError):
        answer.headers["Retry-After"] = str(error.retry_after_s)
    return answer


def of_unexpected(error: Exception, *, path: str, request_id: str) -> JSONResponse:
    """The answer to what no handler expected, in REST, the gate or a mounted app.

    A database that is away or busy is 503, a full disk 507; anything else is a mistake of ours, and its traceback goes to
    the log.
    """
    if _is_passing(error):
        log.warning("the database does not answer", error=str(error).splitlines()[0], path=path)
        return of_domain(errors.UnavailableError(DATABASE_AWAY), request_id)
    if disk.is_full(error):
        log.error("no space is left", error=str(error), path=path)
        return of_domain(errors.NoRoomError(errors.NO_ROOM), request_id)
    log.error("unexpected error", path=path, request_id=request_id, exc_info=error)
    return problem(
        type_="internal",
        title="The service made a mistake",
        status=500,
        detail=f"this should not happen; the server's log tells more under request id {request_id}",
        request_id=request_id,
    )


def install(app: FastAPI) -> None:
    """Registers the handlers; what is raised outside of the app, the gate ends as a 500."""

    @app.exception_handler(errors.TunerError)
    def domain(request: Request, error: errors.TunerError) -> JSONResponse:
        return of_domain(error, request_id(request))

    @app.exception_handler(RequestValidationError)
    def shape(request: Request, error: RequestValidationError) -> JSONResponse:
        fields = [_field(each, error.body) for each in error.errors()]
        return of_domain(errors.InvalidError(fields), request_id(request))

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> JSONResponse:
        phrase = HTTPStatus(error.status_code).phrase
        slug = phrase.lower().replace(" ", "-")
        answer = problem(
            type_=slug,
            title=phrase,
            status=error.status_code,
            detail=str(error.detail),
            request_id=request_id(request),
        )
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(PoolTimeoutError)
    @app.exception_handler(DBAPIError)
    @app.exception_handler(OSError)
    def passing(request: Request, error: Exception) -> JSONResponse:
        return of_unexpected(error, path=request.url.path, request_id=request_id(request))

    @app.exception_handler(Exception)  # else Starlette answers in plain text, before the gate hears of it
    def unexpected(request: Request, error: Exception) -> JSONResponse:
        return of_unexpected(error, path=request.url.path, request_id=request_id(request))


def request_id(request: Request) -> str:
    return str(request.scope.get("request_id", ""))


def _is_passing(error: Exception) -> bool:
    """Whether trying again may help: the connection is gone, there is none free, or a lock took too long."""
    if isinstance(error, PoolTimeoutError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "pgcode", None)
    return (
        error.connection_invalidated
        or state is None
        or state == LOCK_NOT_AVAILABLE
        or state[:2] in {"08", "53", "57", "40"}
    )


def _field(error: dict[str, Any], body: Any) -> errors.FieldError:
    detail = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] not in {"value_error", "missing", "json_invalid", "extra_forbidden"}:
        detail = f"{detail} (it was {_short(error.get('input'))})"
    if error["type"] == "extra_forbidden":
        detail = "there is no such field: remove it, or mend its name"
    place, *rest = error["loc"]
    if place != "body":
        return errors.FieldError("/" + "/".join(map(str, rest)), detail)
    if error["type"] == "json_invalid":
        return errors.FieldError("", detail)
    return errors.FieldError(_pointer(rest, body, is_missing=error["type"] == "missing"), detail)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _pointer(loc: list[str | int], body: Any, *, is_missing: bool) -> str:
    """A JSON pointer of pydantic's location, without the names of union members that pydantic puts in.

    What the body does not have is such a name, or the last part where a field is missing.
    """
    parts: list[str] = []
    here = body
    for i, part in enumerate(loc):
        inside = (isinstance(here, dict) and part in here) or (
            isinstance(here, list) and isinstance(part, int) and part < len(here)
        )
        if inside:
            here = here[part]
        elif not (is_missing and i == len(loc) - 1):
            continue
        parts.append(str(part).replace("~", "~0").replace("/", "~1"))
    return "".join(f"/{part}" for part in parts)
