"""The worker of a machine: one slot for every device, all under one name; no torch, no database.

Owns starting, registering and draining. SIGTERM or Ctrl-C: every slot gives back what it runs, and the agent ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import threading
import time
import uuid
from importlib.metadata import version
from pathlib import Path

import psutil
import structlog

from trainers import catalog
from tuner import logs
from tuner.client import Client, ClientError
from tuner.wire import WorkerBody
from tuner.worker import devices
from tuner.worker.data_cache import DataCache
from tuner.worker.room import Room
from tuner.worker.slot import Slot

REGISTER_EVERY_S = 20.0
DRAIN_TIMEOUT_S = 28.0  # of all slots together
PREFIX = "tuner-worker-"

log = structlog.get_logger()


def run(
    url: str, key: str, *, slots: int | None, name: str | None, min_free_mb: int, weights: Path | None = None
) -> None:
    """Serves until a signal says to stop.

    Args:
        url: the control plane's.
        key: a worker or admin key.
        slots: how many trials at once; None: one for every GPU, or core.
        name: shown to people; None: the host's name.
        min_free_mb: on the disk for trials' files (TMPDIR); with less, nothing is claimed.
        weights: the folder of files that trials may begin from.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    worker_id = f"{socket.gethostname()[:60]}-{uuid.uuid4().hex[:8]}"
    logs.configure("worker", worker=worker_id)
    found = devices.find(slots)
    known = catalog.trainers().values()
    trainers = [f"{trainer.name}@{trainer.version}" for trainer in known if catalog.is_usable(trainer)]
    for trainer in known:
        if not catalog.is_usable(trainer):
            log.info("a trainer is left out", trainer=trainer.name, cure=f"pip install 'tuner[{trainer.extra}]'")
    for unusable, reason in catalog.broken().items():
        log.warning("an installed trainer cannot be used", trainer=unusable, reason=reason)
    body = WorkerBody(
        name=name or socket.gethostname(),
        version=version("tuner"),
        slots=len(found),
        devices=[device.name for device in found],
        trainers=trainers,
    )
    scratch = new_scratch()
    try:
        with Client(url, key) as client:
            cache = DataCache(client, scratch / "datasets")
            room = Room(scratch, min_free_mb * 2**20, cache)
            threads = [Slot(client, worker_id, device, trainers, scratch, cache, room, weights) for device in found]
            for slot in threads:
                slot.thread.start()
            log.info("worker started", worker=worker_id, devices=body.devices)
            threading.Thread(target=_be_registered, args=(stop, client, worker_id, body), daemon=True).start()
            stop.wait()
            deadline_s = time.monotonic() + DRAIN_TIMEOUT_S
            log.info("worker drains", worker=worker_id)
            for slot in threads:
                slot.drain()
            for slot in threads:
                slot.thread.join(max(0.0, deadline_s - time.monotonic()))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _be_registered(stop: threading.Event, client: Client, worker_id: str, body: WorkerBody) -> None:
    """Registers again and again, and leaves in the end; each may wait long for an answer, and nobody waits for them."""
    while not stop.is_set():
        try:
            client.register(worker_id, body)
        except ClientError as error:
            log.warning("cannot register", error=str(error))
        stop.wait(REGISTER_EVERY_S)
    _leave(client, worker_id)


def _leave(client: Client, worker_id: str) -> None:
    """Frees the slots that wait for work; without an answer they end when their waiting does."""
    try:
        client.leave(worker_id)
    except ClientError as error:
        log.warning("cannot say goodbye", error=str(error))


def new_scratch() -> Path:
    """A folder for files on their way, after clearing those of workers that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if not pid.isdecimal() or folder.stat().st_uid != os.geteuid():
            continue
        if int(pid) == os.getpid() or not _lives(int(pid)):  # in a container, each of them has our number
            shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))


def _lives(pid: int) -> bool:
    """False too for one that is dead and that nobody has waited for."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
