"""The table of routes, the router, the description and the documentation know the same routes."""

from __future__ import annotations

import re
from pathlib import Path

from aiohttp import web

from maze_head.api.app import OPENAPI_PATH
from maze_head.api.openapi import description
from maze_head.api.routes import ROUTES
from maze_protocol.events import TYPE_NAMES
from support.api_double import asynchronous, serving

DOCS = Path(__file__).parents[4] / "docs" / "api.md"
TABLE = {(route.method, route.path) for route in ROUTES}


def served(app: web.Application) -> set[tuple[str, str]]:
    found = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource is not None}
    return found - {("GET", OPENAPI_PATH)}


def test_the_table_has_no_route_twice() -> None:
    assert len(TABLE) == len(ROUTES)


@asynchronous
async def test_router_description_and_table_agree() -> None:
    async with serving() as head:
        assert served(head.app) == TABLE
        async with head.http.get(OPENAPI_PATH) as response:
            document = await response.json()
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == TABLE


def test_every_route_is_documented() -> None:
    text = DOCS.read_text()
    assert sorted(path for _, path in TABLE if path not in text) == []


def test_every_type_of_event_is_documented() -> None:
    text = DOCS.read_text()
    assert sorted(name for name in TYPE_NAMES.values() if f"`{name}`" not in text) == []


def test_operation_ids_are_unique_and_references_lead_somewhere() -> None:
    document = description(ROUTES, "1")
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(ROUTES)
    references = set(re.findall(r"#/components/schemas/(\w+)", repr(document)))
    assert references == set(document["components"]["schemas"])


def test_parameters_of_paths_are_described() -> None:
    for path, methods in description(ROUTES, "1")["paths"].items():
        for operation in methods.values():
            described = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
            assert described == re.findall(r"\{(\w+)\}", path)


def test_what_a_route_needs_is_described() -> None:
    document = description(ROUTES, "1")
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    for route in ROUTES:
        described = document["paths"][route.path][route.method.lower()]["security"]
        assert described == ([{"token": [route.scope]}] if route.scope else []), route
