"""Serves MLflow as the control plane mounts it; run as a script: database URL, artifact folder, port."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from tuner.tracking import server

if __name__ == "__main__":
    database_url, folder, port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    app = FastAPI()
    hosts = ["127.0.0.1", "localhost"]
    mlflow = server.mlflow_app(database_url=database_url, artifacts=folder, allowed_hosts=hosts, allowed_origins=[])
    app.get("/routes")(lambda: server.routes(mlflow))
    app.mount("/mlflow", mlflow)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")
