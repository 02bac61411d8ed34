"""`make demo`: everything on this machine, one study from start to end, and what came out of it."""

from __future__ import annotations

import time
from typing import Any

from tuner import show, up, watching
from tuner.client import Client, ClientError
from tuner.settings import Settings
from tuner.wire import StudyOut

PUBLISH_TIMEOUT_S = 60.0


def run(settings: Settings, spec: dict[str, Any], *, slots: int | None) -> None:
    """Starts the service, runs the study, prints the result; on a terminal it goes on serving until Ctrl-C."""
    show.console.print("Starting PostgreSQL, control plane, maintenance and worker …")
    with up.running(settings, slots=slots) as service, Client(service.settings.base_url, service.admin_key) as client:
        show.console.print(f"Ready at {service.settings.base_url}; data in {settings.data.absolute()}")
        study = _submit(client, spec)
        show.console.print(f"Study {study.id}, {study.name}: {study.spec.budget.trials} trials of {study.spec.trainer}")
        study = watching.watch(client, study.id)
        _wait_for_tracking(client, study.id)
        _show_result(client, study)
        _show_links(service, study)
        if show.console.is_terminal:
            show.console.print("Serving until Ctrl-C …")
            show.serve_until_interrupted(service)


def _submit(client: Client, spec: dict[str, Any]) -> StudyOut:
    """Submits under the file's name, or that name and a number where an earlier demo has it."""
    taken = {study.name for study in client.studies()}
    name, count = spec["name"], 2
    while name in taken:
        name = f"{spec['name']}-{count}"
        count += 1
    return client.submit({**spec, "name": name})


def _wait_for_tracking(client: Client, study_id: int) -> None:
    deadline_s = time.monotonic() + PUBLISH_TIMEOUT_S
    while client.study(study_id).tracking == "behind":
        if time.monotonic() > deadline_s:
            raise ClientError(
                "MLflow does not show the study yet: see logs/maintenance.log in the data folder", status=1
            )
        time.sleep(0.2)


def _show_result(client: Client, study: StudyOut) -> None:
    found = client.best(study.id)
    if not found:
        raise ClientError(f"no trial is complete: `tuner trials {study.id}` tells why each ended", status=1)
    best = found[0]
    columns = [(f"best (trial {best.number})", best)]
    first = client.trial(study.id, 0)
    if first.metrics is not None:
        columns.append(("defaults (trial 0)", first))
    show.compare(columns, title=study.name)


def _show_links(service: up.Service, study: StudyOut) -> None:
    show.console.print("Open in a browser (each link logs you in):")
    for title, target in (("MLflow   ", study.links["mlflow"]), ("dashboard", study.links["dashboard"])):
        address = show.login_link(service.settings.base_url, service.admin_key, target)
        show.console.print(f"  {title} {address}", soft_wrap=True)
