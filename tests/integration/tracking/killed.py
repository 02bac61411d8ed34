"""Publishes and is killed on the way; run as a script.

Arguments: our database's URL, MLflow's, the folder of uploads. Each line on stdin, `before N` or `after N`, starts a pass in a
child that SIGKILLs itself before it sends its N-th request, or after that one's answer; the line on stdout says how it went.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import httpx

from tuner.maintenance.publish import Memory, run_once
from tuner.store import database
from tuner.tracking import figures
from tuner.tracking.artifacts import Uploading
from tuner.tracking.rest import Mlflow
from tuner.tracking.trials import Target


class Deadly(httpx.HTTPTransport):
    """Kills this process at a request."""

    def __init__(self, when: str, at: int) -> None:
        super().__init__()
        self.when = when
        self.at = at
        self.sent = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.sent += 1
        if self.when == "before" and self.sent == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = super().handle_request(request)
        if self.when == "after" and self.sent == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer


def one_pass(when: str, at: int) -> None:
    engine = database.connect(sys.argv[1])
    with Mlflow(sys.argv[2], "a-key", transport=Deadly(when, at)) as mlflow:
        store = Path(sys.argv[3])
        run_once(engine, Target(mlflow, Uploading(mlflow), store, "http://tuner.test:8642", threads=1), Memory())


if __name__ == "__main__":
    assert figures  # imported here once, not in every child
    for line in sys.stdin:
        when, at = line.split()
        pid = os.fork()
        if pid == 0:
            one_pass(when, int(at))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        sys.stdout.write("killed\n" if os.WIFSIGNALED(status) else "finished\n")
        sys.stdout.flush()
