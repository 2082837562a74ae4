"""A validator for the part of JSON Schema that the API's description uses; anything else in a schema is an error."""

from __future__ import annotations

from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float),
    "boolean": (bool,), "null": (type(None),),
}  # fmt: skip
IGNORED = {"title", "description", "default", "contentEncoding", "discriminator", "minimum", "maximum"}
KNOWN = IGNORED | {
    "$ref", "anyOf", "type", "enum", "properties", "required", "additionalProperties", "items", "prefixItems",
    "minItems", "maxItems",
}  # fmt: skip


def problems(value: Any, schema: Any, components: dict[str, Any], path: str = "$") -> list[str]:
    """Return where a value does not fit its schema."""
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema:
        return problems(value, components[schema["$ref"].rpartition("/")[2]], components, path)
    if "anyOf" in schema:
        found = [problems(value, option, components, path) for option in schema["anyOf"]]
        return [] if [] in found else [f"{path}: fits none: {found}"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{path}: {value!r} is none of {schema['enum']}"]
    kind = schema.get("type")
    if kind is not None and not (isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))):
        return [f"{path}: {value!r} is no {kind}"]
    if isinstance(value, dict):
        return _object_problems(value, schema, components, path)
    if isinstance(value, list):
        return _array_problems(value, schema, components, path)
    return []


def _object_problems(value: dict[str, Any], schema: Any, components: dict[str, Any], path: str) -> list[str]:
    properties, rest = schema.get("properties", {}), schema.get("additionalProperties", {})
    found = [f"{path}: no {key}" for key in schema.get("required", ()) if key not in value]
    for key, item in value.items():
        if key in properties:
            found += problems(item, properties[key], components, f"{path}.{key}")
        elif rest is False or (properties and "additionalProperties" not in schema):
            found.append(f"{path}: {key} is not described")
        elif rest is not True:
            found += problems(item, rest, components, f"{path}.{key}")
    return found


def _array_problems(value: list[Any], schema: Any, components: dict[str, Any], path: str) -> list[str]:
    first = schema.get("prefixItems", [])
    rest = schema.get("items", {})
    found = [] if schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)) else [f"{path}: length"]
    for number, item in enumerate(value):
        found += problems(item, first[number] if number < len(first) else rest, components, f"{path}[{number}]")
    return found
