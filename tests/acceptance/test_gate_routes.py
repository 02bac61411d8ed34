"""No route of REST, MLflow or the dashboard is open: each is asked for without a key, and with a worker's."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from api.gate import OPEN
from tuner import keys, up

Routes = dict[str, list[tuple[str, str]]]


@pytest.fixture(scope="module")
def routes(service: up.Service, tmp_path_factory: pytest.TempPathFactory) -> Routes:
    script = Path(__file__).with_name("print_routes.py")
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    printed = subprocess.run(
        [sys.executable, str(script), str(service.settings.database_url), str(tmp_path_factory.mktemp("routes"))],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    found: Routes = json.loads(printed.stdout.splitlines()[-1])
    return found


def concrete(path: str) -> str:
    """The path with something in place of each parameter, in FastAPI's, Flask's and Bottle's ways of writing them."""
    return re.sub(r"<[^<>]*(?:<[^<>]*>[^<>]*)*>|\{[^{}]*\}", "1", path)


@pytest.mark.parametrize(("app", "at_least"), [("rest", 25), ("mlflow", 150), ("dashboard", 20)])
def test_no_route_answers_without_a_key(service: up.Service, routes: Routes, app: str, at_least: int) -> None:
    assert len(routes[app]) >= at_least
    with httpx.Client(base_url=service.settings.base_url, trust_env=False) as http:
        answered = {
            (method, path): http.request(method if method != "ANY" else "GET", concrete(path)).status_code
            for method, path in routes[app]
            if (method, path) not in OPEN
        }

    assert {route: status for route, status in answered.items() if status != 401} == {}


def test_a_workers_key_reaches_neither_mlflow_nor_the_dashboard(service: up.Service, routes: Routes) -> None:
    key = keys.key_file(service.settings.data, keys.Role.WORKER).read_text().strip()
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=service.settings.base_url, headers=headers, trust_env=False) as http:
        statuses = {
            (method, path): http.request(method if method != "ANY" else "GET", concrete(path)).status_code
            for app in ("mlflow", "dashboard")
            for method, path in routes[app]
        }

    assert {route: status for route, status in statuses.items() if status != 403} == {}
