"""What a process is told by its environment; the only module that reads it.

Owns names, defaults and meanings of `TUNER_*`. Built once a process and passed in.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

DEFAULT_PORT = 8642
SECRETS = Path("/run/secrets")  # where Docker and Kubernetes mount them, one file each: `tuner_admin_key`


def _machine_memory_mb() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20


class Settings(BaseSettings):
    """Settings of every process of the service; each field is read from `TUNER_<FIELD>`, or a secret's file."""

    model_config = SettingsConfigDict(
        env_prefix="TUNER_", extra="ignore", secrets_dir=SECRETS if SECRETS.is_dir() else None
    )

    data: Path = Field(default=Path(".tuner"), description="Folder of the database, keys and artifacts on one machine.")
    database_url: str | None = Field(
        default=None, description="PostgreSQL; left out: an embedded one in the data folder."
    )
    host: str = Field(default="127.0.0.1", description="Address that the control plane listens on.")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(default=DEFAULT_PORT, description="Its port.")
    url: str | None = Field(default=None, description="Where clients and workers find the control plane.")
    key: str | None = Field(
        default=None, description="The key that clients and workers show; left out: the data folder's."
    )
    admin_key: str | None = Field(
        default=None, description="The control plane's admin key; left out: made at first start."
    )
    worker_key: str | None = Field(default=None, description="Its workers' key; left out: made at first start.")
    allowed_hosts: str = Field(
        default="", description="More host names, comma-separated, under which browsers reach the control plane."
    )
    max_body_mb: Annotated[int, Field(ge=1)] = Field(default=4, description="Largest JSON body.")
    max_upload_mb: Annotated[int, Field(ge=1)] = Field(
        default=2048, description="Largest upload: of one trial, or of one data set."
    )
    min_free_mb: Annotated[int, Field(ge=0)] = Field(
        default=256, description="Free space below which a worker claims nothing and the control plane takes no files."
    )
    mlflow_url: str | None = Field(
        default=None, description="An MLflow server of one's own to publish to; left out: the one under /mlflow."
    )
    mlflow_token: str | None = Field(default=None, description="The bearer token that it asks for, if any.")
    max_waiting_claims: Annotated[int, Field(ge=0)] = Field(
        default=512, description="Claims that may wait for work at once in one process; the next ones are answered 503."
    )
    wrong_keys_per_minute: Annotated[int, Field(ge=1)] = Field(
        default=10, description="Wrong keys that one address may show in the long run; the next ones are answered 429."
    )
    wrong_keys_burst: Annotated[int, Field(ge=1)] = Field(
        default=20, description="Wrong keys that it may show at once, after a time without any."
    )
    inspect_memory_mb: Annotated[int, Field(ge=64)] = Field(
        default_factory=lambda: min(8192, _machine_memory_mb() // 2),
        description="Memory (address space) for reading an uploaded data set once; left out: half the machine's, up to 8192.",
    )
    weights: Path | None = Field(
        default=None,
        description="A worker's folder of safetensors files and folders of models, which trials may begin from by their names.",
    )
    inspect_s: Annotated[int, Field(ge=1)] = Field(default=300, description="Time for the same, in seconds.")

    @cached_property
    def base_url(self) -> str:
        """The control plane's address without a slash at the end: as told, or where `tuner up` says that it serves."""
        if self.url is not None:
            return self.url.rstrip("/")
        if not {"host", "port"} & self.model_fields_set and self.url_file.is_file():
            return self.url_file.read_text().strip()
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104 - compared, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def mlflow_base(self) -> str:
        """The same for links on our own pages, which may be reached by other names than ours."""
        return "/mlflow" if self.mlflow_url is None else self.tracking_url

    @property
    def tracking_url(self) -> str:
        """Where MLflow is: under our own address, or elsewhere; without a slash at the end."""
        return f"{self.base_url}/mlflow" if self.mlflow_url is None else self.mlflow_url.rstrip("/")

    @property
    def url_file(self) -> Path:
        """Where `tuner up` leaves its address while it serves."""
        return self.data.absolute() / "url"

    @property
    def artifacts(self) -> Path:
        """Where uploads of attempts lie, `attempts/<id>/…`."""
        return self.data.absolute() / "artifacts"

    @property
    def mlflow_artifacts(self) -> Path:
        return self.data.absolute() / "mlflow-artifacts"


def child_environment(*without: str, **changes: str) -> dict[str, str]:
    """Our own environment for a process that we start, with changes, and without what it must not know."""
    kept = (
        {name: value for name, value in os.environ.items() if not name.startswith(without)} if without else os.environ
    )
    return {**kept, **changes}
