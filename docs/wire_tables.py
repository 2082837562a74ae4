"""Writes the tables of wire.md from the code: `python docs/wire_tables.py` rewrites what stands between the markers.

Field tables come from the structs and the texts under their fields, the tables of moves from maze_protocol.moves, the
numbers from maze_protocol.limits. A unit test compares wire.md with what this would write.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import msgspec
from msgspec import inspect as mi

from maze_protocol import events, limits, messages, resources, transfers, values
from maze_protocol.moves import HEAD_MOVES, NODE_MOVES, Moves, SessionState, Trigger
from maze_protocol.session import FROM_HEAD, FROM_NODE

PAGE = Path(__file__).parent / "wire.md"
BLOCK = re.compile(r"<!-- table (\w+) -->\n.*?<!-- end -->", re.DOTALL)
PARTS = (messages, transfers, resources, values, events)


def field_texts() -> dict[tuple[str, str], str]:
    """Return the text under each field of each struct, by (struct, field)."""
    found = {}
    for module in PARTS:
        for node in ast.walk(ast.parse(Path(module.__file__ or "").read_text())):
            if isinstance(node, ast.ClassDef):
                for field, text in zip(node.body, node.body[1:], strict=False):
                    if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                        found[node.name, field.target.id] = " ".join(ast.literal_eval(text.value).split())
    return found


def type_text(info: mi.Type) -> str:
    """Return a field type in words of MessagePack."""
    match info:
        case mi.IntType():
            low, high = info.ge, info.le
            if low is None:
                return "int"
            return {None: "uint", (1 << 63) - 1: "uint (63 bits)"}.get(high, f"uint ≤ {high:,}" if high else "uint")
        case mi.FloatType():
            if info.gt is not None:
                return "float > 0"
            return "float" if info.ge is None else "float ≥ 0" if info.ge == 0 else "float, finite"
        case mi.StrType():
            return "str"
        case mi.BytesType():
            return "bin"
        case mi.BoolType():
            return "bool"
        case mi.NoneType():
            return "nil"
        case mi.VarTupleType():
            return f"array of {type_text(info.item_type)}"
        case mi.TupleType():
            return "[" + ", ".join(map(type_text, info.item_types)) + "]"
        case mi.DictType():
            return f"map of {type_text(info.key_type)} to {type_text(info.value_type)}"
        case mi.UnionType():
            tagged = [item for item in info.types if isinstance(item, mi.StructType) and item.tag is not None]
            return "event" if len(tagged) > 1 else " or ".join(map(type_text, info.types))
        case mi.StructType():
            return f"[{info.cls.__name__}](#{info.cls.__name__.lower()})"
    raise NotImplementedError(info)


def default_text(field: mi.Field) -> str:
    """Return the default of a field as it would be written, or a dash."""
    if field.required:
        return "–"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if isinstance(value, msgspec.Struct):
        return "of all fields"
    return "nil" if value is None else "[]" if value == () else repr(value)


def struct_section(kind: type[msgspec.Struct], texts: dict[tuple[str, str], str]) -> list[str]:
    """Return heading, sentence and field table of one struct."""
    info = mi.type_info(kind)
    assert isinstance(info, mi.StructType)
    tag = kind.__struct_config__.tag
    lines = [f"#### {kind.__name__}", ""]
    lines += [f"{remark(kind, tag)}{' '.join((kind.__doc__ or '').split())}", ""]
    lines += ["| # | field | type | default | |", "|---|---|---|---|---|"]
    first = 0 if tag is None else 1
    for number, field in enumerate(info.fields, first):
        text = texts.get((kind.__name__, field.name), "")
        lines.append(f"| {number} | `{field.name}` | {type_text(field.type)} | {default_text(field)} | {text} |")
    return [*lines, ""]


def remark(kind: type[msgspec.Struct], tag: object) -> str:
    """Return tag, direction and class of a message."""
    if tag is None:
        return ""
    if kind not in messages.TYPE_OF:
        return f"Tag {tag}. "
    node, head = kind in FROM_NODE or kind is messages.Hello, kind in FROM_HEAD or kind in ANSWERS
    way = {(True, True): "both ways", (True, False): "node → head", (False, True): "head → node"}.get((node, head))
    reliable = ", reliable" if kind in messages.RELIABLE else ""
    return f"Type {tag}, {way or 'between nodes'}{reliable}. "


ANSWERS = (messages.Welcome, messages.Reject, messages.Rehello, messages.Disconnect, messages.RetryAfter)


def sections(kinds: tuple[type[msgspec.Struct], ...]) -> str:
    """Return the sections of several structs."""
    texts = field_texts()
    return "\n".join(line for kind in kinds for line in struct_section(kind, texts)).rstrip()


def parts_of(module: object, without: tuple[type, ...]) -> tuple[type[msgspec.Struct], ...]:
    """Return the structs that a module defines, in its order, but those."""
    own = [thing for thing in vars(module).values() if isinstance(thing, type) and issubclass(thing, msgspec.Struct)]
    return tuple(kind for kind in own if kind.__module__ == module.__name__ and kind not in without)


def moves_table(moves: Moves) -> str:
    """Return a table of legal moves: a row for each trigger, a column for each state."""
    states = list(SessionState)
    lines = ["| | " + " | ".join(state.name for state in states) + " |", "|---" * (len(states) + 1) + "|"]
    for trigger in Trigger:
        if any(trigger in row for row in moves.values()):
            cells = [moves[state][trigger].name if trigger in moves[state] else "" for state in states]
            lines.append(f"| {trigger.value} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def limits_table() -> str:
    """Return every number of limits.py."""
    numbers = {name: value for name, value in vars(limits).items() if name.isupper() and name not in ("KIB", "MIB")}
    return "\n".join(
        ["| name | value |", "|---|---|", *(f"| `{name}` | {value:,} |" for name, value in numbers.items())]
    )


def tables() -> dict[str, str]:
    """Return every table by its name in the markers."""
    run_events = events.RunEvent.__args__
    shared = (*parts_of(messages, messages.MESSAGES), *parts_of(resources, (resources.Request,)), *parts_of(values, ()))
    return {
        "messages": sections(messages.MESSAGES),
        "structs": sections(shared),
        "events": sections((events.Segment, events.OutputMeta, *run_events)),
        "node_moves": moves_table(NODE_MOVES),
        "head_moves": moves_table(HEAD_MOVES),
        "limits": limits_table(),
    }


def rewrite(text: str) -> str:
    """Return the page with every table written anew."""
    written = tables()
    return BLOCK.sub(lambda match: f"<!-- table {match[1]} -->\n\n{written[match[1]]}\n\n<!-- end -->", text)


if __name__ == "__main__":
    PAGE.write_text(rewrite(PAGE.read_text()))
