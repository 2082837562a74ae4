"""/openapi.json: OpenAPI 3.1, made once from the table of routes and the structs themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from maze_head.api.access import OPEN
from maze_head.api.idempotency import HEADER, KEY_LENGTH
from maze_head.api.routes import Query, Route
from maze_head.api.seed_forms import Detail
from maze_protocol.http import MSGPACK_TYPE, ClientEvent, ErrorBody

__all__ = ["description"]

_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_REF: Final = "#/components/schemas/{name}"
_BEARER: Final = "token"
_SCHEME: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "The head's own token is in STATE_DIR/auth/token; `maze-head token create` makes others.",
}
_EXTRA: Final = (ErrorBody, ClientEvent, Detail)
_OF_QUERY: Final = {int: {"type": "integer", "minimum": 0}, str: {"type": "string"}}


def description(routes: Iterable[Route], version: str) -> dict[str, Any]:
    """Describe the API."""
    table = tuple(routes)
    schemas = _Schemas(table)
    paths: dict[str, dict[str, Any]] = {}
    for route in table:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Maze head",
            "version": version,
            "description": "Workflows of Python functions on a cluster. docs/api.md tells the same with examples.",
        },
        "paths": paths,
        "components": {"schemas": schemas.components, "securitySchemes": {_BEARER: _SCHEME}},
        "security": [{_BEARER: []}],
    }


class _Schemas:
    """The schemas of all bodies, each struct once."""

    def __init__(self, routes: tuple[Route, ...]) -> None:
        bodies = [kind for route in routes for kind in (route.request, route.response, *sum(route.messages, ()))]
        kinds = tuple(dict.fromkeys([*(kind for kind in bodies if _is_struct(kind)), *_EXTRA]))
        schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
        self.of = dict(zip(kinds, schemas, strict=True))
        self.components = components

    def content(self, kind: type) -> dict[str, Any]:
        """Return the media types of a body."""
        if kind is bytes:
            return {"application/octet-stream": {}}
        if not _is_struct(kind):
            return {"text/plain": {"schema": {"type": "string"}}}
        return {media: {"schema": self.of[kind]} for media in ("application/json", MSGPACK_TYPE)}


def _is_struct(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _operation(route: Route, schemas: _Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": _operation_id(route),
        "tags": ["original" if route.seed else "v1"],
        "parameters": [
            *map(_in_path, _PARAMETER.findall(route.path)),
            *map(_in_query, route.query),
            *_in_header(route),
        ],
        "responses": {
            str(route.status): _response(route, schemas),
            "default": {"description": "A refusal", "content": schemas.content(Detail if route.seed else ErrorBody)},
        },
    }
    # For a bearer token OpenAPI 3.1 lets roles be listed for whoever reads it.
    operation["security"] = [] if route.scope == OPEN else [{_BEARER: [route.scope]}]
    if route.request is not None:
        operation["requestBody"] = {"required": True, "content": schemas.content(route.request)}
    client, head = route.messages
    if client or head:
        # OpenAPI has no word for what is said after an upgrade.
        said = {"client": client, "head": head}
        operation["x-websocket"] = {who: [schemas.of[kind] for kind in kinds] for who, kinds in said.items()}
    return operation


def _response(route: Route, schemas: _Schemas) -> dict[str, Any]:
    response: dict[str, Any] = {"description": route.summary}
    if route.response is not None:
        response["content"] = schemas.content(route.response)
    return response


def _operation_id(route: Route) -> str:
    return "_".join([route.method.lower(), *re.findall(r"\w+", route.path)])


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _in_header(route: Route) -> list[dict[str, Any]]:
    if route.method != "POST":
        return []
    what = "repeating the request with the same key makes nothing twice"
    schema = {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH}
    return [{"name": HEADER, "in": "header", "description": what, "schema": schema}]


def _in_query(query: Query) -> dict[str, Any]:
    return {"name": query.name, "in": "query", "description": query.summary, "schema": _OF_QUERY[query.kind]}
