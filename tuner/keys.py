"""Keys: who may do what. An admin key opens everything, a worker key only what workers need.

Owns making, storing and checking them. A process keeps SHA-256 digests only; comparison takes constant time.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Role(StrEnum):
    ADMIN = "admin"
    WORKER = "worker"


@dataclass(frozen=True)
class KeyRing:
    """SHA-256 digests of the keys that a control plane accepts."""

    digests: dict[Role, bytes]

    def role_of(self, key: str) -> Role | None:
        """Whose key this is; every digest is compared, each in constant time."""
        digest = hashlib.sha256(key.encode()).digest()
        found = None
        for role, known in self.digests.items():
            if hmac.compare_digest(digest, known):
                found = role
        return found


def ring(*, admin_key: str, worker_key: str) -> KeyRing:
    return KeyRing(
        {
            Role.ADMIN: hashlib.sha256(admin_key.encode()).digest(),
            Role.WORKER: hashlib.sha256(worker_key.encode()).digest(),
        }
    )


def load_or_make(data_folder: Path, role: Role) -> str:
    """The key of this role from its file in the data folder, mode 0600, made there at first."""
    path = key_file(data_folder, role)
    if not path.exists():
        data_folder.mkdir(parents=True, exist_ok=True)
        _create(path, f"tuner-{role}-{secrets.token_urlsafe(32)}")
    return path.read_text().strip()


def key_file(data_folder: Path, role: Role) -> Path:
    return data_folder / f"{role}.key"


def _create(path: Path, key: str) -> None:
    """Writes the file whole or not at all; of two processes at once, the first one's key stays."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(key + "\n")
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
