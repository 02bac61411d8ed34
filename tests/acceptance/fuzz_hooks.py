"""What schemathesis is told of this API: claims do not wait, tars are tars, and a third of the requests are about what there is.

Imported by its command line. Owns the things that are there: FUZZ_URL and FUZZ_KEY say where.
"""

from __future__ import annotations

import io
import itertools
import os
import tarfile
import uuid
from typing import Any

import httpx
import schemathesis
from hypothesis import strategies as st

from tests.studying import external
from tuner.sampling.calls import METHODS

TIMEOUT_S = 20.0
DATASET = "fuzz"


def _tar(name: str, text: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        info = tarfile.TarInfo(name)
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
    return packed.getvalue()


names = st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
schemathesis.openapi.media_type("application/x-tar", st.builds(_tar, names, st.binary(max_size=2000)))


@schemathesis.serializer("application/x-tar")
def tars(_context: Any, body: Any) -> Any:
    return body if isinstance(body, bytes) else str(body).encode(errors="replace")


class Living:
    """What there is at the control plane, for requests that shall get further than to a 404."""

    def __init__(self) -> None:
        headers = {"Authorization": f"Bearer {os.environ['FUZZ_KEY']}"}
        url = f"{os.environ['FUZZ_URL']}/api/v1"
        self._http = httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=TIMEOUT_S)
        self._study = self._new_study()
        self._held = self._claimed()
        self._http.post(f"/attempts/{self._held}/artifacts", content=_tar("log.txt", b"said")).raise_for_status()
        self._dataset()
        self._turn = itertools.count()
        self._methods = itertools.cycle(sorted(METHODS))

    def put_into(self, case: Any) -> None:
        """Replaces ids of every third case by those of things that are there."""
        if next(self._turn) % 3:
            return
        path = case.path_parameters
        made = {
            "study_id": lambda: self._new_study() if self._ends_it(case) else self._study,
            "number": lambda: 0,
            "attempt_id": lambda: self._claimed() if self._ends_it(case) else self._held,
            "name": lambda: DATASET if case.method == "GET" else path["name"],  # a new one takes seconds
            "version": lambda: 1,
            "path": lambda: "log.txt",
            "method": lambda: next(self._methods),
        }
        for name in path.keys() & made.keys():
            path[name] = made[name]()
        if "method" in path and isinstance(case.body, dict) and isinstance(case.body.get("arguments"), dict):
            case.body["arguments"] |= {"study_id": self._study, "trial_id": 1}

    @staticmethod
    def _ends_it(case: Any) -> bool:
        return bool(
            case.method == "DELETE" or case.path.rpartition("/")[2] in {"cancel", "complete", "fail", "release"}
        )

    def _new_study(self) -> int:
        body = external(budget={"trials": 100_000, "max_failures": None})
        study_id: int = self._http.post("/studies", json=body).raise_for_status().json()["id"]
        return study_id

    def _claimed(self) -> str:
        """A new attempt, in a new study where the one before was cancelled or deleted by its number."""
        for _ in range(3):
            # nobody can have said goodbye for a worker of this name
            body = {"request_id": uuid.uuid4().hex, "worker_id": uuid.uuid4().hex, "study_id": self._study}
            answer = self._http.post("/claims", json=body)
            if answer.is_success and answer.json()["attempts"]:
                return str(answer.json()["attempts"][0]["attempt_id"])
            self._study = self._new_study()
        raise AssertionError(answer.text)

    def _dataset(self) -> None:
        rows = "".join(f"{i},{i % 2}\n" for i in range(40))
        files = {"data": ("data.csv", f"x,y\n{rows}".encode())}
        params = {"name": DATASET}
        self._http.post("/datasets", params=params, files=files, data={"target": "y"}).raise_for_status()


living = Living()


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    if case.path.endswith("/claims") and isinstance(case.body, dict) and "wait_s" in case.body:
        case.body["wait_s"] = 0  # waiting is tested elsewhere, and would be all that this does
    living.put_into(case)
