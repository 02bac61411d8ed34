"""MLflow's REST API as we call it: one connection pool, the key with every request, no retries.

Owns requests and errors, nothing of their meaning. Not MlflowClient: that takes its token, retries and timeouts from the
environment, repeats a POST whose answer was lost (a second run), and costs two seconds and 150 MB to import.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

CONNECT_S = 3.0
ANSWER_S = 60.0
IDLE_S = 2.0  # below uvicorn's 5 s, so that we do not send into a connection that it is closing


class MlflowDownError(Exception):
    """MLflow does not answer, or is too busy to."""


class MlflowRefusedError(Exception):
    """MLflow answered with an error.

    Attributes:
        code: MLflow's own, for example `RESOURCE_DOES_NOT_EXIST`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Mlflow:
    """A client of one MLflow server; threads may share it."""

    def __init__(self, url: str, token: str | None, *, transport: httpx.BaseTransport | None = None) -> None:
        """Connects at the first request.

        Args:
            url: where MLflow is mounted, for example `http://127.0.0.1:8642/mlflow`.
            token: an admin key, or what an MLflow of one's own asks for, if anything.
            transport: of httpx, where not its own.
        """
        self._http = httpx.Client(
            base_url=url.rstrip("/"),
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            limits=httpx.Limits(keepalive_expiry=IDLE_S),
            transport=transport or httpx.HTTPTransport(limits=httpx.Limits(keepalive_expiry=IDLE_S)),
            trust_env=False,  # a proxy is for other hosts than our own
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._http.close()

    def get(self, path: str, **params: str) -> Any:
        """`path` after `/api/2.0/mlflow/`, as in the following."""
        return self._send("GET", f"/api/2.0/mlflow/{path}", params=params)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        return self._send("POST", f"/api/2.0/mlflow/{path}", json=body)

    def patch(self, path: str, body: dict[str, Any]) -> Any:
        return self._send("PATCH", f"/api/2.0/mlflow/{path}", json=body)

    def upload(self, path: str, content: Path | bytes) -> None:
        """Stores a file under a path in the artifact folder."""
        target = f"/api/2.0/mlflow-artifacts/artifacts/{quote(path)}"
        if isinstance(content, bytes):
            self._send("PUT", target, content=content)
            return
        with content.open("rb") as file:
            self._send("PUT", target, content=file)

    def listing(self, path: str) -> list[str]:
        """Names in a folder of the artifact folder."""
        answer = self._send("GET", "/api/2.0/mlflow-artifacts/artifacts", params={"path": path})
        return [file["path"] for file in answer.get("files", [])]

    def remove(self, path: str) -> None:
        """Deletes a file or folder of the artifact folder."""
        self._send("DELETE", f"/api/2.0/mlflow-artifacts/artifacts/{quote(path)}")

    def _send(self, method: str, path: str, **request: Any) -> Any:
        try:
            answer = self._http.request(method, path, **request)
        except httpx.TransportError as error:
            raise MlflowDownError(f"{method} {path}: {error!r}") from error
        if answer.status_code in {502, 503, 504}:
            raise MlflowDownError(f"{method} {path}: status {answer.status_code}")
        if answer.is_error:
            raise _refusal(answer)
        return answer.json() if answer.content else {}


def _refusal(answer: httpx.Response) -> MlflowRefusedError:
    try:
        body = answer.json()
        return MlflowRefusedError(str(body["error_code"]), str(body.get("message", "")))
    except (json.JSONDecodeError, KeyError, TypeError):
        return MlflowRefusedError(f"HTTP_{answer.status_code}", answer.text[:500])
