"""Prints as JSON every (method, path) that REST, MLflow and the dashboard have; run as a script: database URL, folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from api.app import rest_app
from tuner.sampling import dashboard
from tuner.settings import Settings
from tuner.store import database
from tuner.tracking import server

if __name__ == "__main__":
    database_url, folder = sys.argv[1], Path(sys.argv[2])
    rest = rest_app(Settings(data=folder), database.connect(database_url))
    paths = rest.openapi()["paths"]
    ours = [(method.upper(), path) for path, operations in paths.items() for method in operations]
    mlflow = server.mlflow_app(database_url=database_url, artifacts=folder, allowed_hosts=[], allowed_origins=[])
    prefixed = [(m, path if path.startswith("/mlflow") else f"/mlflow{path}") for m, path in server.routes(mlflow)]
    sys.stdout.write(json.dumps({"rest": ours, "mlflow": prefixed, "dashboard": dashboard.routes()}) + "\n")
