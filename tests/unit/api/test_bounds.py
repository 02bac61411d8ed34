"""Whatever a request may carry has a bound of its own: strings in characters, lists in items, integers in size."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from api.app import rest_app
from tuner.settings import Settings

LONGEST = 2**20  # a form's fields, all together
FORMATS = {"uuid", "binary", "date-time"}
BY_THE_BODY_ALONE = {"OptunaCall"}  # attributes of Optuna's are whatever its user stores


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    unused = create_engine("postgresql+psycopg2://nowhere/none")
    return rest_app(Settings(data=Path("nowhere")), unused).openapi()


def nodes(document: dict[str, Any], node: Any, place: str, seen: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema within one, with its place."""
    if isinstance(node, list):
        for i, each in enumerate(node):
            yield from nodes(document, each, f"{place}/{i}", seen)
    if not isinstance(node, dict):
        return
    name = str(node.get("$ref", "")).rpartition("/")[2]
    if name and name not in seen | BY_THE_BODY_ALONE:
        yield from nodes(document, document["components"]["schemas"][name], name, seen | {name})
    yield place, node
    for key, inner in node.items():
        if key == "properties":
            for field, schema in inner.items():
                yield from nodes(document, schema, f"{place}/{field}", seen)
        elif key in {"items", "prefixItems", "anyOf", "oneOf", "allOf", "additionalProperties", "propertyNames"}:
            yield from nodes(document, inner, place, seen)


def requested(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            what = f"{method.upper()} {path}"
            for parameter in operation.get("parameters", []):
                yield from nodes(document, parameter["schema"], f"{what} {parameter['name']}", set())
            for media in operation.get("requestBody", {}).get("content", {}).values():
                yield from nodes(document, media["schema"], what, set())


def is_bounded(node: dict[str, Any]) -> bool:
    if "enum" in node or "const" in node:
        return True
    match node.get("type"):
        case "string":
            widest = node.get("maxLength", LONGEST + 1)
            if "pattern" in node:
                widest = min(widest, re._parser.parse(node["pattern"]).getwidth()[1])  # type: ignore[attr-defined]
            return node.get("format") in FORMATS or widest <= LONGEST
        case "array":
            return "maxItems" in node or "prefixItems" in node
        case "integer":
            return {"maximum", "exclusiveMaximum"} & node.keys() != set() and "minimum" in node
        case "object" if isinstance(node.get("additionalProperties"), dict):
            return "maxProperties" in node
    return True


def test_every_part_of_every_request_is_bounded(document: dict[str, Any]) -> None:
    found = list(requested(document))

    assert len(found) > 300
    assert sorted({place for place, node in found if not is_bounded(node)}) == []


def test_the_check_finds_what_is_not() -> None:
    for node in (
        {"type": "string"},
        {"type": "string", "pattern": "^a*$"},
        {"type": "array", "items": {}},
        {"type": "integer", "minimum": 0},
        {"type": "object", "additionalProperties": {"type": "null"}},
    ):
        assert not is_bounded(node)
