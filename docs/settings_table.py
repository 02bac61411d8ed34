"""Writes docs/settings.md out of the code: `PYTHONPATH=. python docs/settings_table.py`. A test compares the two."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from api import connection, deps, gate, throttle
from trainers.data import pixels, profile, waves, zips
from tuner import (
    dataset_uploads,
    forms,
    inspection,
    json_body,
    plain_tar,
    server,
    trial_logs,
    uploads,
    wire,
    wire_attempts,
    wire_datasets,
)
from tuner.domain import space, spec
from tuner.settings import Settings
from tuner.tracking import guard

FILE = Path(__file__).with_name("settings.md")
HEAD = """# Settings and limits

`docs/settings_table.py` writes this page out of the code, and a test compares the two.

## Settings

Each is an environment variable, or a file under `/run/secrets` that is named like it in lower case.

| setting | default | meaning |
|---|---|---|
"""
LIMITS = """
## Fixed limits

What is beyond one is refused with 413 or 422 and the cure, unless another answer is named. A whole body is bounded by
`TUNER_MAX_BODY_MB` and `TUNER_MAX_UPLOAD_MB` besides.

| of | limit |
|---|---|
"""


def page() -> str:
    """The whole of docs/settings.md."""
    return (
        HEAD
        + "\n".join(_settings())
        + "\n"
        + LIMITS
        + "\n".join(f"| {of} | {limit} |" for of, limit in _limits())
        + "\n"
    )


def _settings() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        default = "" if field.default in {None, ""} else f"`{field.default}`"
        yield f"| `TUNER_{name.upper()}` | {default} | {field.description} |"


def _limits() -> list[tuple[str, str]]:
    return [*_of_strangers(), *_of_bodies(), *_of_answers(), *_of_uploads()]


def _of_strangers() -> list[tuple[str, str]]:
    return [
        (
            "a request's line and headers",
            f"{connection.MAX_HEAD_BYTES} bytes (431), within {connection.HEAD_S:g} s (408)",
        ),
        ("a login's form", f"{gate.MAX_LOGIN_BYTES} bytes, within {gate.LOGIN_S:g} s"),
        ("addresses whose wrong keys are counted", f"{throttle.MAX_ADDRESSES}; the one longest unused is forgotten"),
        ("a key of your own choosing", f"at least {server.MIN_KEY_LENGTH} characters"),
        ("a browser's session", f"{gate.SESSION_S // 86400} days"),
    ]


def _of_bodies() -> list[tuple[str, str]]:
    study, claim, failure = (
        each.model_json_schema()["properties"]
        for each in (spec.StudySpec, wire_attempts.ClaimBody, wire_attempts.FailBody)
    )
    log_characters = f"{wire_attempts.MAX_LOG_TEXT} characters"
    return [
        ("nesting of JSON", f"{json_body.MAX_DEPTH} levels"),
        ("a body for MLflow, artifacts apart", f"{guard.MAX_BODY_BYTES // 2**20} MiB"),
        ("names of studies and workers, tags", _characters(spec.Label)),
        (
            "a data set's name, a column's name",
            f"{_characters(wire_datasets.DatasetName)}, {_characters(wire_datasets.ColumnName)}",
        ),
        ("ids of requests and workers, versions", _characters(wire.Token)),
        ("a value that is text", _characters(space.Text)),
        ("a study's notes", f"{study['notes']['maxLength']} characters"),
        ("a failure's text", f"{failure['error']['maxLength']} characters"),
        ("parameters of a search space", f"{space.MAX_PARAMETERS}, each with up to {space.MAX_CHOICES} choices"),
        ("constraints and tags of a study", f"{study['constraints']['maxItems']} and {study['tags']['maxProperties']}"),
        ("a claim", f"{claim['slots']['maximum']} trials, and {wire_attempts.MAX_WAIT_S:g} s of waiting"),
        (
            "one request of reports",
            f"{wire_attempts.MAX_REPORTS} reports of {wire_attempts.MAX_METRICS} metrics, {log_characters} of log",
        ),
        ("an import", f"{wire.ImportBody.model_json_schema()['properties']['history']['maxItems']} trials"),
    ]


def _of_answers() -> list[tuple[str, str]]:
    limit = TypeAdapter(deps.Limit).json_schema()
    return [
        ("a page of a list", f"{limit['maximum']} items"),
        ("a piece of a log", f"{trial_logs.MAX_PIECE} bytes"),
    ]


def _of_uploads() -> list[tuple[str, str]]:
    return [
        ("a trial's upload", f"{uploads.MAX_FILES} files, {plain_tar.MAX_MEMBERS} with folders"),
        ("a path in it", f"{uploads.MAX_PATH} bytes, {uploads.MAX_PART} of one name"),
        ("a data set's form", f"{forms.MAX_PARTS} parts, {forms.MAX_FIELDS_BYTES} bytes of fields"),
        (
            "a zip of images or clips",
            f"{zips.MOST_FILES} files of {zips.LARGEST_FILE_BYTES // 2**20} MiB, {zips.LARGEST_TOTAL_BYTES // 2**30} GiB in all",
        ),
        ("what it unpacks to", f"{zips.HIGHEST_RATIO} times its size"),
        ("an image, a clip in it", f"{pixels.MOST_PIXELS // 10**6} million pixels, {waves.LONGEST_S // 60} minutes"),
        ("data sets that are read at once", f"{dataset_uploads.INSPECTIONS} of one process; the others wait"),
        (
            "the same again, to split by a column or for a profile",
            f"{inspection.PREVIEWS} of one process; the others wait",
        ),
        ("a profile", f"{profile.MOST_COLUMNS} columns, {profile.MOST_CLASSES} classes"),
    ]


def _characters(kind: Any) -> str:
    return f"{TypeAdapter(kind).json_schema()['maxLength']} characters"


if __name__ == "__main__":
    FILE.write_text(page())
