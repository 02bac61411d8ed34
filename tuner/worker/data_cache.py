"""Uploaded data sets on the worker's disk: fetched by the agent, kept by the digest of their files, bounded in bytes.

Owns the folder `DIGEST/…` of each. A folder appears whole or not at all; the least recently used one leaves first, but none
that a trial is using.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from tuner import dataset_folder, disk
from tuner.client import Client, ClientError
from tuner.wire_attempts import ClaimedAttempt

MAX_BYTES = 10 * 2**30
RETRY_S = 1.0

log = structlog.get_logger()


class DataCache:
    """One for all slots of an agent, in a folder of its own."""

    def __init__(self, client: Client, root: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._client = client
        self._root = root
        self._max_bytes = max_bytes
        self._lock = threading.Lock()  # of the three below
        self._sizes: OrderedDict[str, int] = OrderedDict()  # by digest, least recently used first
        self._users: Counter[str] = Counter()
        self._fetching: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def evict(self) -> bool:
        """Removes every data set that no trial uses, for want of room; gives whether there was one."""
        with self._lock:
            unused = [digest for digest in self._sizes if not self._users[digest]]
            for digest in unused:
                self._remove(digest)
        return bool(unused)

    @contextmanager
    def held(self, digest: str | None) -> Iterator[None]:
        """While this lasts, the data set does not leave."""
        if digest is None:
            yield
            return
        with self._lock:
            self._users[digest] += 1
        try:
            yield
        finally:
            with self._lock:
                self._users[digest] -= 1

    def fetch(self, attempt: ClaimedAttempt) -> Future[Path]:
        """Starts to fetch an attempt's data set, unless it is here; the future gives its folder.

        A control plane that does not answer is asked again until the future is cancelled; other errors are the future's.
        """
        future: Future[Path] = Future()
        threading.Thread(target=self._fetch_until_done, args=(attempt, future), daemon=True).start()
        return future

    def _fetch_until_done(self, attempt: ClaimedAttempt, future: Future[Path]) -> None:
        while not future.cancelled():
            try:
                folder = self._fetch(attempt)
            except ClientError as error:
                if error.status and error.status < 500:
                    with suppress(InvalidStateError):  # cancelled meanwhile
                        future.set_exception(error)
                    return
                log.warning("the data set is waited for", dataset=attempt.dataset, error=str(error))
                time.sleep(RETRY_S)
            except Exception as error:
                with suppress(InvalidStateError):
                    future.set_exception(error)
                return
            else:
                with suppress(InvalidStateError):
                    future.set_result(folder)
                return

    def _fetch(self, attempt: ClaimedAttempt) -> Path:
        assert attempt.dataset is not None
        assert attempt.dataset_files is not None
        digest = attempt.dataset_files
        with self._lock:
            one_at_a_time = self._fetching[digest]
        with one_at_a_time:
            folder = self._root / digest.removeprefix("sha256:")
            if not folder.exists():
                self._download_into_room(attempt.dataset, digest, folder)
            with self._lock:
                self._sizes[digest] = self._sizes.pop(digest, 0) or dataset_folder.size_bytes(folder)
                self._make_room()
        return folder

    def _download_into_room(self, dataset: str, digest: str, folder: Path) -> None:
        """Downloads it; where the disk is full, once more without the data sets that nobody uses."""
        try:
            self._download(dataset, digest, folder)
        except OSError as error:
            if not disk.is_full(error) or not self.evict():
                raise
            self._download(dataset, digest, folder)

    def _download(self, dataset: str, digest: str, folder: Path) -> None:
        name, _, version = dataset.rpartition("@")
        self._root.mkdir(exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=self._root))
        try:
            with tempfile.TemporaryFile(dir=self._root) as tar:
                self._client.download_dataset(name, int(version), tar)
                tar.seek(0)
                dataset_folder.unpack(tar, draft, digest)
            draft.rename(folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def _make_room(self) -> None:
        """Removes what was not used for longest; the lock is held."""
        for digest in list(self._sizes)[:-1]:
            if sum(self._sizes.values()) <= self._max_bytes:
                return
            if not self._users[digest]:
                self._remove(digest)

    def _remove(self, digest: str) -> None:
        """Removes a data set; the lock is held."""
        shutil.rmtree(self._root / digest.removeprefix("sha256:"))
        del self._sizes[digest]
