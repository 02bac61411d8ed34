"""What of MLflow's HTTP API is open: tracking, logged models, the registry, artifacts and the UI's own files.

Owns the list. Everything that is not on it is closed, so a route that a newer MLflow adds is closed too: its webhooks,
jobs, gateway, assistant, scorers, traces, prompts and MCP run code, reach other hosts or read files.
"""

from __future__ import annotations

import re

_ID = r"[^/]+"

# Paths below both `/api/` and `/ajax-api/`: Python clients use the one, the UI the other.
_API: tuple[tuple[str, str], ...] = (
    ("POST", "2.0/mlflow/experiments/create"),  # its body is looked at, too: no artifact_location
    ("GET POST", "2.0/mlflow/experiments/search"),
    ("GET", "2.0/mlflow/experiments/(get|get-by-name)"),
    ("POST", "2.0/mlflow/experiments/(update|delete|restore|set-experiment-tag|delete-experiment-tag)"),
    ("POST", "2.0/mlflow/experiments/search-datasets"),
    ("POST", "2.0/mlflow/runs/(create|update|delete|restore|search|set-tag|delete-tag)"),
    ("POST", "2.0/mlflow/runs/(log-metric|log-parameter|log-batch|log-model|log-inputs|outputs)"),
    ("GET", "2.0/mlflow/runs/get"),
    ("GET", "2.0/mlflow/metrics/(get-history|get-history-bulk|get-history-bulk-interval)"),
    ("GET", "2.0/mlflow/artifacts/list"),
    ("POST", "2.0/mlflow/logged-models"),
    ("POST", "2.0/mlflow/logged-models/search"),
    ("GET PATCH DELETE", f"2.0/mlflow/logged-models/{_ID}"),
    ("GET", f"2.0/mlflow/logged-models/{_ID}/artifacts/(directories|files)"),
    ("POST", f"2.0/mlflow/logged-models/{_ID}/params"),
    ("PATCH", f"2.0/mlflow/logged-models/{_ID}/tags"),
    ("DELETE", f"2.0/mlflow/logged-models/{_ID}/tags/{_ID}"),
    ("POST", "2.0/mlflow/registered-models/(create|rename|set-tag)"),
    ("GET", "2.0/mlflow/registered-models/(get|search)"),
    ("GET POST", "2.0/mlflow/registered-models/get-latest-versions"),
    ("PATCH", "2.0/mlflow/registered-models/update"),
    ("DELETE", "2.0/mlflow/registered-models/(delete|delete-tag)"),
    ("GET POST DELETE", "2.0/mlflow/registered-models/alias"),
    ("POST", "2.0/mlflow/model-versions/(create|set-tag|transition-stage)"),  # sources: see server.py
    ("GET", "2.0/mlflow/model-versions/(get|search|get-download-uri)"),
    ("PATCH", "2.0/mlflow/model-versions/update"),
    ("DELETE", "2.0/mlflow/model-versions/(delete|delete-tag)"),
    ("GET", "2.0/mlflow-artifacts/artifacts"),
    ("GET PUT DELETE", "2.0/mlflow-artifacts/artifacts/.+"),
    ("GET", "3.0/mlflow/server-info"),
)
_OTHER: tuple[tuple[str, str], ...] = (
    ("GET", "/ajax-api/3.0/mlflow/ui-telemetry"),  # answers that telemetry is off
    ("POST", "/graphql"),  # MLflow's schema has queries alone
    ("GET", "/(health|version)?"),
    ("GET", "/static-files/.+"),
    ("GET", "/get-artifact"),
    ("GET", "/model-versions/get-artifact"),
)
_RULES = tuple(
    (frozenset(methods.split()), re.compile(path))
    for methods, path in (*((methods, f"/(?:ajax-)?api/{path}") for methods, path in _API), *_OTHER)
)


def is_open(method: str, path: str) -> bool:
    """Whether a request may pass.

    Args:
        method: of HTTP; HEAD goes where GET goes.
        path: decoded, after MLflow's prefix, for example `/api/2.0/mlflow/runs/get`.
    """
    wanted = "GET" if method == "HEAD" else method
    return any(wanted in methods and pattern.fullmatch(path) for methods, pattern in _RULES)
