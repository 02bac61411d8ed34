"""Requests to the control plane: sent, repeated where no answer came, and refused in words that tell the cure.

Owns the connection, what is retried and for how long, and turning problems back into errors.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import httpx
import stamina
from pydantic import BaseModel, ValidationError

from tuner.wire import API

T = TypeVar("T", bound=BaseModel)

stamina.instrumentation.set_on_retry_hooks([])  # who calls hears of the error once the retries have not helped

MLFLOW = "/mlflow"
CONNECT_S = 5.0
TIMEOUT_S = 30.0
RETRIED_STATUS = frozenset({429, 502, 503, 504})


class ClientError(Exception):
    """The control plane cannot be reached, or refuses; the text is for people and tells what to do.

    Attributes:
        status: HTTP's; 0 when no answer came.
        type: the problem's stable name, for example `name-taken`.
        retry_after_s: how long to wait before asking again, if the control plane said so.
    """

    def __init__(self, text: str, *, status: int = 0, type_: str = "unreachable", retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.status = status
        self.type = type_
        self.retry_after_s = retry_after_s


class _TryAgainError(Exception):
    def __init__(self, cause: ClientError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _may_try_again(error: Exception) -> bool | float:
    """Whether to, or after how many seconds."""
    return isinstance(error, _TryAgainError) and (error.cause.retry_after_s or True)


class Transport:
    """One control plane, one key. Safe to share between threads.

    Args:
        url: without a slash at its end.
        key: an admin or a worker key.
        retry_for_s: how long a request that gets no answer is repeated.
    """

    def __init__(self, url: str, key: str, *, retry_for_s: float) -> None:
        self.url = url
        self._retry_for_s = retry_for_s
        self.http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(TIMEOUT_S, connect=CONNECT_S, read=TIMEOUT_S + 15),
            trust_env=False,  # a proxy for the internet must not stand between us and our own service
        )

    def is_ready(self) -> bool:
        """Whether the control plane answers and reaches its database; never raises."""
        try:
            return self.http.get("/readyz", timeout=2.0).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def _unreachable(self, error: httpx.RequestError) -> ClientError:
        why = str(error) or type(error).__name__
        return ClientError(f"no answer from {self.url} ({why}): is it running (`tuner up`), and is TUNER_URL right?")

    def stream(self, path: str, file: IO[bytes]) -> None:
        try:
            with self.http.stream("GET", API + path) as response:
                if not response.is_success:
                    response.read()
                    raise _refusal(response)
                for chunk in response.iter_raw():
                    file.write(chunk)
        except httpx.RequestError as error:
            raise self._unreachable(error) from None

    def call(self, method: str, path: str, answer: type[T], **request: Any) -> T:
        response = self.send(method, path, **request)
        try:
            return answer.model_validate_json(response.content)
        except ValidationError:  # a page of a proxy's, perhaps
            text = f"{response.request.url} answers, but not as the control plane does: is TUNER_URL right?"
            raise ClientError(text, type_="unexpected") from None

    def send(self, method: str, path: str, *, once: bool = False, **request: Any) -> httpx.Response:
        deadline_s = time.monotonic() + self._retry_for_s
        try:
            for attempt in stamina.retry_context(
                on=_may_try_again,
                attempts=1 if once else None,
                timeout=self._retry_for_s,
                wait_initial=0.05,
                wait_max=1.0,
            ):
                with attempt:
                    return self._once(method, path, deadline_s=deadline_s, **request)
        except _TryAgainError as error:
            raise error.cause from None
        raise AssertionError("unreachable: the loop returns or raises")

    def _once(self, method: str, path: str, *, deadline_s: float, **request: Any) -> httpx.Response:
        if "content" in request:
            request["headers"] = {"Content-Type": "application/json"} | request.get("headers", {})
        try:
            with _opened(request.pop("file", None), request.pop("paths", {})) as body:
                url = path if path.startswith(MLFLOW) else API + path
                response = self.http.request(method, url, **request | body)
        except httpx.RequestError as error:  # no answer, or one that cannot be read
            raise _TryAgainError(self._unreachable(error)) from None
        if response.is_success:
            return response
        refusal = _refusal(response)
        if response.status_code in RETRIED_STATUS and time.monotonic() + refusal.retry_after_s < deadline_s:
            raise _TryAgainError(refusal)
        raise refusal


@contextmanager
def _opened(file: Path | None, parts: dict[str, Path]) -> Iterator[dict[str, Any]]:
    """A request's body from disk, whole or as parts of a form; opened for every try, since each reads from the start."""
    with ExitStack() as stack:
        body: dict[str, Any] = {}
        if file is not None:
            body["content"] = stack.enter_context(file.open("rb"))
        if parts:
            body["files"] = {part: (path.name, stack.enter_context(path.open("rb"))) for part, path in parts.items()}
        yield body


def _refusal(response: httpx.Response) -> ClientError:
    if response.status_code == httpx.codes.UNAUTHORIZED:
        origin = f"{response.request.url.scheme}://{response.request.url.netloc.decode()}"
        text = f"{origin} does not know this key: use the admin.key in its data folder, as TUNER_KEY or by TUNER_DATA"
        return ClientError(text, status=response.status_code, type_="unauthenticated")
    try:
        problem = response.json()
        fields = [f"{each['pointer'] or '/'}: {each['detail']}" for each in problem.get("errors", [])]
        text = "\n".join(fields) if fields else str(problem["detail"])
        type_ = str(problem["type"]).rpartition(":")[2]
    except (ValueError, KeyError, TypeError):
        text, type_ = f"unexpected answer {response.status_code} from {response.request.url}", "unexpected"
    asked = response.headers.get("Retry-After", "")
    retry_after_s = float(asked) if asked.isdecimal() else 0.0  # a date says no more than that we are to wait
    return ClientError(text, status=response.status_code, type_=type_, retry_after_s=retry_after_s)
