"""MLflow's own server as an ASGI app to mount in ours: its settings, its schema, its routes.

Owns how MLflow is started: the environment that `mlflow server` would set, the schema `mlflow` of our database, and the
guard before the app. MLflow is imported when the app is built and not before, since that takes two seconds.
"""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from starlette.types import ASGIApp

from tuner.store import database, publishing
from tuner.tracking.guard import Guard

# so that no request of MLflow's waits for good; its migrations may take longer
LIMITS = "-clock_timeout=10s -cstatement_timeout=60s -cidle_in_transaction_session_timeout=60s"
POOL_SIZE = 10  # connections; MLflow keeps one pool for runs and one for the registry


def mlflow_app(
    *,
    database_url: str,
    artifacts: Path,
    prefix: str = "/mlflow",
    allowed_hosts: list[str],
    allowed_origins: list[str],
) -> ASGIApp:
    """Builds the app; creates or upgrades MLflow's tables first. Once a process, since MLflow keeps its state in modules.

    Args:
        database_url: of our database; MLflow gets the schema `mlflow` in it.
        artifacts: folder in which MLflow keeps what clients upload.
        prefix: where the app will be mounted.
        allowed_hosts: names under which clients reach us; each is good with any port.
        allowed_origins: origins of other sites whose pages may call; usually none.
    """
    artifacts.mkdir(parents=True, exist_ok=True)
    backend = _backend_url(database_url, LIMITS)
    os.environ.update(_environment(backend, artifacts, prefix, allowed_hosts, allowed_origins))
    engine = database.connect(database_url, pool_size=1)
    try:
        _migrate(engine, _backend_url(database_url, ""))
    finally:
        engine.dispose()
    return Guard(_fastapi(), prefix, _index(), allowed_origins)


def routes(app: ASGIApp) -> list[tuple[str, str]]:
    """Every (method, path) that MLflow itself would serve, closed ones included; paths as its frameworks write them."""
    assert isinstance(app, Guard)
    rules = importlib.import_module("mlflow.server").app.url_map.iter_rules()
    flask = {(method, rule.rule) for rule in rules for method in rule.methods}
    return sorted(flask | set(_fastapi_routes(app.app.routes, "")))  # type: ignore[attr-defined]  # a FastAPI


def _backend_url(database_url: str, limits: str) -> str:
    # MLflow's commits need not wait for the disk: ours, which note afterwards what was published, flush the same log
    options = f"-csearch_path=mlflow -ctimezone=UTC -csynchronous_commit=off {limits}".rstrip()
    said = {"options": options, "application_name": "mlflow", "connect_timeout": "5"}
    said |= {name: str(value) for name, value in database.KEEPALIVE.items()}
    return database.normalise(database_url).update_query_dict(said).render_as_string(hide_password=False)


def _environment(
    backend: str, artifacts: Path, prefix: str, allowed_hosts: list[str], allowed_origins: list[str]
) -> dict[str, str]:
    """What `mlflow server` sets for its workers, and what switches off the parts that we do not serve."""
    return {
        "_MLFLOW_STATIC_PREFIX": prefix,
        "_MLFLOW_SERVER_FILE_STORE": backend,
        "_MLFLOW_SERVER_REGISTRY_STORE": backend,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": artifacts.absolute().as_uri(),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SGI_NAME": "uvicorn",
        "_MLFLOW_IN_JOB_EXECUTOR": "false",
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(
            pattern for host in allowed_hosts for pattern in (host, f"{_escaped(host)}:*")
        ),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(allowed_origins),
        "MLFLOW_SERVER_X_FRAME_OPTIONS": "SAMEORIGIN",
        "MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX": r"^(models|runs|mlflow-artifacts):/",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_SERVER_ENABLE_CUSTOM_SCORERS": "false",
        "MLFLOW_ENABLE_AI_GATEWAY": "false",
        "MLFLOW_ENABLE_REMOTE_ASSISTANT": "false",
        "MLFLOW_ENABLE_ASSISTANT_SANDBOX": "false",
        "MLFLOW_ENABLE_WORKSPACES": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": str(POOL_SIZE),
    }


def _escaped(host: str) -> str:
    """For fnmatch, to which the bracket of `[::1]` would open a set."""
    return host.replace("[", "[[]", 1)


def _migrate(engine: Engine, backend: str) -> None:
    """Brings MLflow's tables to the revision of the MLflow that is installed; it opens connections of its own."""
    with publishing.mlflow_schema(engine):
        utils = importlib.import_module("mlflow.store.db.utils")
        theirs = utils.create_sqlalchemy_engine_with_retry(backend)
        try:  # as `mlflow server` makes tables and `mlflow db upgrade` changes them; neither has a public function
            make = utils._upgrade_db if utils._all_tables_exist(theirs) else utils._initialize_tables  # noqa: SLF001
            make(theirs)
        finally:
            theirs.dispose()
        importlib.import_module("mlflow.server.handlers").initialize_backend_stores()  # makes experiment 0, too


def _fastapi() -> ASGIApp:
    app: ASGIApp = importlib.import_module("mlflow.server.fastapi_app").app
    return app


def _index() -> str:
    """The UI's page. On a first visit it would open on its GenAI side, and an assistant that is closed here."""
    static = Path(importlib.import_module("mlflow.server").app.static_folder)
    first_visit = {
        "mlflow.workflowType_v1": '"machine_learning"',
        "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true",
    }
    script = f"for (const [k, v] of Object.entries({json.dumps(first_visit)})) localStorage[k] ??= v"
    page = (static / "index.html").read_text(encoding="utf-8")
    return page.replace("<head>", f"<head><script>{script}</script>", 1)


def _fastapi_routes(found: list[Any], prefix: str) -> list[tuple[str, str]]:
    """FastAPI keeps an included router as one entry of the table; the mount of Flask, the last one, is left out."""
    listed = []
    for route in found:
        if hasattr(route, "original_router"):
            listed += _fastapi_routes(route.original_router.routes, f"{prefix}{route.include_context.prefix}")
        elif getattr(route, "methods", None):
            listed += [(method, f"{prefix}{route.path}") for method in route.methods]
    return listed
