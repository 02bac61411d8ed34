"""The mounted server as its users meet it: the UI, a stock MLflow client, and whoever tries what is closed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import mlflow
import mlflow.pyfunc
import pandas as pd
import psutil
import pytest

from tuner.tracking import allowed

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
SECRET = b"not for everybody"


class Doubler(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow ships no types
    def predict(self, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:  # noqa: ARG002 - mlflow passes it
        return model_input * 2


@pytest.fixture
def http(mlflow_server: Any) -> Any:
    with httpx.Client(base_url=mlflow_server.url, trust_env=False) as client:
        yield client


def test_the_ui_loads_with_its_own_files(http: httpx.Client) -> None:
    page = http.get("/")

    files = re.findall(r'(?:src|href)="\.?/?(static-files/[^"]+)"', page.text)
    assert page.status_code == 200
    assert len(files) >= 3
    for file in files:
        assert http.get(f"/{file}").status_code == 200, file


def test_the_page_without_a_slash_leads_to_the_one_with(http: httpx.Client) -> None:
    assert httpx.get(str(http.base_url).rstrip("/"), trust_env=False).headers["location"].endswith("/mlflow/")


def test_a_stock_client_logs_a_run_and_a_model_and_loads_it_back(
    mlflow_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri(mlflow_server.url)
    client = mlflow.MlflowClient(mlflow_server.url)
    (tmp_path / "notes.txt").write_text("hello")
    run = client.create_run(client.create_experiment("stock client"))
    run_id = run.info.run_id

    client.log_metric(run_id, "loss", 0.5, step=3)
    client.log_param(run_id, "width", 16)
    client.log_artifact(run_id, str(tmp_path / "notes.txt"), "a folder")
    example = pd.DataFrame({"x": [1.0, 2.0]})
    mlflow.pyfunc.save_model(
        tmp_path / "model",
        python_model=Doubler(),
        input_example=example,
        pip_requirements=["mlflow"],
        infer_code_paths=False,
    )
    model = client.create_logged_model(run.info.experiment_id, source_run_id=run_id)
    client.log_model_artifacts(model.model_id, str(tmp_path / "model"))
    client.finalize_logged_model(model.model_id, "READY")
    client.create_registered_model("doubler")
    client.create_model_version("doubler", f"models:/{model.model_id}", model_id=model.model_id)
    client.set_registered_model_alias("doubler", "champion", "1")

    assert client.get_run(run_id).data.metrics == {"loss": 0.5}
    assert client.get_run(run_id).data.params == {"width": "16"}
    assert Path(client.download_artifacts(run_id, "a folder/notes.txt")).read_text() == "hello"
    loaded = mlflow.pyfunc.load_model("models:/doubler@champion")
    assert loaded.predict(example)["x"].tolist() == [2.0, 4.0]


# ---- what is closed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["artifact_location", "artifactLocation"])
@pytest.mark.parametrize("api", ["api", "ajax-api"])
def test_nobody_chooses_where_an_experiments_artifacts_lie(http: httpx.Client, api: str, key: str) -> None:
    answer = http.post(f"/{api}/2.0/mlflow/experiments/create", json={"name": f"{api} {key}", key: "file:///etc"})

    assert answer.status_code == 403
    assert answer.json()["error_code"] == "PERMISSION_DENIED"


def test_not_by_json_in_json_either(http: httpx.Client) -> None:
    body = '"{\\"name\\": \\"double\\", \\"artifact_location\\": \\"file:///etc\\"}"'

    assert http.post("/api/2.0/mlflow/experiments/create", content=body).status_code == 403


def test_a_body_that_is_no_object_is_refused(http: httpx.Client) -> None:
    assert http.post("/api/2.0/mlflow/experiments/create", content=b"[1").status_code == 403


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("runs/search", b'{"experiment_ids": ["\\u0000"]}'),
        ("experiments/create", b'{"name": "a\\u0000b"}'),
        ("experiments/create", b'{"name": "half \\ud800"}'),
        ("registered-models/create", b'{"name": "x", "tags": [{"key": "k", "value": "\\u0000"}]}'),
        ("experiments/search", b"[" * 100_000),
        ("experiments/search", b'{"filter": ' * 100_000 + b"1" + b"}" * 100_000),
    ],
)
def test_what_a_database_or_a_parser_cannot_take_is_refused(http: httpx.Client, path: str, body: bytes) -> None:
    answer = http.post(f"/api/2.0/mlflow/{path}", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 400
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"


@pytest.mark.parametrize(
    "address", ["experiments/get-by-name?experiment_name=%00", "runs/get?run_id=a%00b", "logged-models/x%00y"]
)
def test_a_nul_in_an_address_is_refused(http: httpx.Client, address: str) -> None:
    assert http.get(f"/api/2.0/mlflow/{address}").status_code == 400


def test_a_body_that_is_too_large_is_refused_and_a_pair_of_surrogates_is_not(http: httpx.Client) -> None:
    large = b'{"name": "' + b"x" * (17 * 2**20) + b'"}'
    assert http.post("/api/2.0/mlflow/experiments/create", content=large).status_code == 413
    as_json = {"Content-Type": "application/json"}
    smile = b'{"name": "a smile \\ud83d\\ude00"}'
    answer = http.post("/api/2.0/mlflow/experiments/create", content=smile, headers=as_json)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("source", ["/etc", "file:///etc", "http://169.254.169.254/", "s3://bucket/x", "dbfs:/x"])
def test_a_model_version_comes_from_this_server_alone(http: httpx.Client, source: str) -> None:
    http.post("/api/2.0/mlflow/registered-models/create", json={"name": "sources"})

    answer = http.post("/api/2.0/mlflow/model-versions/create", json={"name": "sources", "source": source})

    assert answer.status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "{prefix}/../{secret}",
        "{prefix}/%2e%2e/{secret}",
        "{prefix}/%252e%252e/{secret}",
        "{prefix}/..%2f{secret}",
        "{prefix}/x/..%5c..%5c{secret}",
        "{prefix}//{absolute}",
        "{prefix}/%2f{absolute}",
        "{prefix}/file:%2f%2f{absolute}",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_no_artifact_path_leads_out_of_the_folder(mlflow_server: Any, method: str, path: str) -> None:
    secret = mlflow_server.artifacts.parent / "secret.txt"
    secret.write_bytes(SECRET)
    before = sorted(mlflow_server.artifacts.parent.rglob("*"))
    prefix = f"/mlflow{ARTIFACTS}"
    target = path.format(prefix=prefix, secret=secret.name, absolute=str(secret).lstrip("/"))

    answer = _raw(mlflow_server.url, method, target, b"overwritten")

    assert answer.status_code in {400, 403, 404, 405}
    assert SECRET not in answer.content
    assert secret.read_bytes() == SECRET
    assert sorted(mlflow_server.artifacts.parent.rglob("*")) == before


def test_nor_does_one_in_a_query(http: httpx.Client) -> None:
    created = http.post("/api/2.0/mlflow/experiments/create", json={"name": "queries"}).json()
    run = http.post("/api/2.0/mlflow/runs/create", json=created).json()["run"]["info"]["run_id"]
    for up in ("../../../secret.txt", "%2e%2e/%2e%2e/secret.txt", "/etc/passwd", "file:///etc/passwd"):
        answers = [
            http.get("/get-artifact", params={"run_id": run, "path": up}),
            http.get("/api/2.0/mlflow/artifacts/list", params={"run_id": run, "path": up}),
            http.get(ARTIFACTS, params={"path": up}),
        ]
        assert [answer.status_code for answer in answers] == [400, 400, 400]


def _raw(url: str, method: str, target: str, body: bytes) -> httpx.Response:
    """Sends a path as it stands, where httpx would tidy it."""
    with httpx.Client(trust_env=False) as client:
        request = client.build_request(method, url, content=body if method == "PUT" else None)
        request.url = request.url.copy_with(raw_path=target.encode())
        return client.send(request)


def test_every_route_of_mlflow_that_is_not_listed_is_closed(http: httpx.Client) -> None:
    routes = httpx.get(str(http.base_url).replace("/mlflow/", "/routes"), trust_env=False).json()
    closed = [(method, path) for method, path in routes if not _is_open(method, path)]

    answers = {(method, path): http.request(method, _origin(http) + _filled(path)) for method, path in closed}

    # of the UI's own question what gateway there is, the guard says: none
    assert answers.pop(("GET", "/mlflow/ajax-api/2.0/mlflow/gateway-proxy")).json() == {"endpoints": []}
    assert len(answers) > 300
    below = {key: answer for key, answer in answers.items() if key[1].startswith("/mlflow/")}
    assert {answer.status_code for answer in below.values()} == {403}
    assert all(answer.json()["error_code"] == "PERMISSION_DENIED" for key, answer in below.items() if key[0] != "HEAD")
    assert {answer.status_code for key, answer in answers.items() if key not in below} <= {404, 405}
    assert ("POST", "/mlflow/api/2.0/mlflow/webhooks") in below
    assert ("POST", "/mlflow/v1/traces") in below


def test_every_line_of_the_list_opens_a_route_that_there_is(http: httpx.Client) -> None:
    routes = httpx.get(str(http.base_url).replace("/mlflow/", "/routes"), trust_env=False).json()
    filled = [(method, _filled(path).removeprefix("/mlflow")) for method, path in routes]

    for methods, pattern in allowed._RULES:
        for wanted in methods:
            assert any(method == wanted and pattern.fullmatch(path) for method, path in filled), (wanted, pattern)


def _filled(path: str) -> str:
    return re.sub(r"<[^>]+>|{[^}]+}", "x", path)


def _is_open(method: str, path: str) -> bool:
    return path.startswith("/mlflow/") and allowed.is_open(method, _filled(path).removeprefix("/mlflow"))


def _origin(http: httpx.Client) -> str:
    return str(http.base_url).removesuffix("/mlflow/")


@pytest.mark.parametrize("host", ["evil.test", "127.0.0.1.evil.test"])
def test_another_hosts_name_is_refused(http: httpx.Client, host: str) -> None:
    answer = http.post("/api/2.0/mlflow/experiments/search", json={"max_results": 1}, headers={"Host": host})

    assert answer.status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.test", "http://localhost:3000", "http://127.0.0.1:1", "null"])
def test_a_page_of_another_origin_neither_changes_nor_reads(http: httpx.Client, origin: str) -> None:
    headers = {"Origin": origin}
    written = http.post("/api/2.0/mlflow/experiments/create", json={"name": "from another site"}, headers=headers)
    read = http.get("/api/2.0/mlflow/experiments/search", params={"max_results": 1}, headers=headers)

    assert [written.status_code, read.status_code] == [403, 403]
    assert "access-control-allow-origin" not in read.headers


def test_our_own_pages_may(http: httpx.Client) -> None:
    answer = http.post(
        "/ajax-api/2.0/mlflow/experiments/search", json={"max_results": 1}, headers={"Origin": _origin(http)}
    )

    assert answer.status_code == 200


def test_an_upload_streams_into_the_folder(mlflow_server: Any, tmp_path: Path) -> None:
    size = 200 * 2**20
    with (tmp_path / "large").open("wb") as file:
        file.truncate(size)
    server = psutil.Process(mlflow_server.pid)
    before, peak = server.memory_info().rss, 0

    def chunks() -> Any:
        nonlocal peak
        with (tmp_path / "large").open("rb") as file:
            while chunk := file.read(2**20):
                yield chunk
                peak = max(peak, server.memory_info().rss)

    url = f"{mlflow_server.url}{ARTIFACTS}/0/large"
    assert httpx.put(url, content=chunks(), trust_env=False, timeout=60).status_code == 200
    peak = max(peak, server.memory_info().rss)

    assert (mlflow_server.artifacts / "0/large").stat().st_size == size
    assert peak - before < 64 * 2**20
    (mlflow_server.artifacts / "0/large").unlink()
