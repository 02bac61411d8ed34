from __future__ import annotations

import pytest

from tuner.tracking import allowed


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/2.0/mlflow/runs/log-batch"),
        ("POST", "/ajax-api/2.0/mlflow/runs/search"),
        ("PATCH", "/api/2.0/mlflow/logged-models/m-1"),
        ("PUT", "/api/2.0/mlflow-artifacts/artifacts/1/r/artifacts/a b/f.txt"),
        ("HEAD", "/static-files/static/js/main.js"),
        ("GET", "/"),
        ("POST", "/graphql"),
    ],
)
def test_what_clients_and_the_ui_need_is_open(method: str, path: str) -> None:
    assert allowed.is_open(method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/2.0/mlflow/webhooks"),
        ("GET", "/ajax-api/2.0/mlflow/gateway-proxy"),
        ("POST", "/ajax-api/3.0/mlflow/scorer/invoke"),
        ("POST", "/api/3.0/mlflow/traces"),
        ("POST", "/v1/traces"),
        ("POST", "/ajax-api/3.0/mlflow/assistant/message"),
        ("POST", "/api/2.0/mlflow/artifacts/presigned-upload-url"),
        ("POST", "/api/2.0/mlflow-artifacts/mpu/create/1/f"),
        ("POST", "/ajax-api/2.0/mlflow/upload-artifact"),
        ("GET", "/graphql"),
        ("OPTIONS", "/api/2.0/mlflow/runs/search"),
        ("DELETE", "/api/2.0/mlflow/runs/search"),
        ("GET", "/api/2.0/mlflow/runs/get/"),
        ("GET", "/api/2.0/mlflow/runs/get\n"),
        ("GET", "//api/2.0/mlflow/runs/get"),
        ("GET", ""),
    ],
)
def test_everything_else_is_closed(method: str, path: str) -> None:
    assert not allowed.is_open(method, path)
