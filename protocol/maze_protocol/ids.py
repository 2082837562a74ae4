"""Textual ids at the edges, sixteen raw bytes inside.

An id is a prefix that says what it names and 32 hex digits: `task_0f3c…`. The SDK makes ids (so that a repeated
request is the same request); this module only parses and prints them. No msgspec here: the SDK loads it early.
"""

from __future__ import annotations

from typing import Final

__all__ = ["RUN", "SHORT_LENGTH", "TASK", "WORKFLOW", "format_id", "is_id", "parse_id", "parse_ids", "short_id"]

TASK: Final = "task"
RUN: Final = "run"
WORKFLOW: Final = "workflow"
SHORT_LENGTH: Final = 13
"""`task_` and eight hex digits: what people see (`task_12345678`)."""

_HEX_DIGITS: Final = 32


def is_id(text: str, kind: str) -> bool:
    """Tell whether `text` is a well-formed id of that kind."""
    try:
        parse_id(text, kind)
    except ValueError:
        return False
    return True


def parse_id(text: str, kind: str) -> bytes:
    """Return the 16 bytes of an id.

    Raises:
        ValueError: not an id of that kind; the text is quoted, shortened.
    """
    # What prints as this text again is the id: a third of what a regular expression takes, per task and reference.
    if len(text) == len(kind) + 1 + _HEX_DIGITS:
        try:
            raw = bytes.fromhex(text[-_HEX_DIGITS:])
        except ValueError:
            raw = b""
        if text == f"{kind}_{raw.hex()}":
            return raw
    raise ValueError(f"not a {kind} id: {text[:80]!r} (expected {kind}_ and 32 hex digits)")


def parse_ids(texts: list[str], kind: str) -> list[bytes]:
    """Return the 16 bytes of each of many ids of one kind.

    Raises:
        ValueError: one of them is not an id of that kind; the first one is quoted.
    """
    # All in one go, which takes half as long: only ids print as these texts again with a line for each.
    prefix = f"{kind}_"
    try:
        raw = bytes.fromhex("".join([text[-_HEX_DIGITS:] for text in texts]))
    except ValueError:
        raw = b""
    if raw and prefix + raw.hex("\n", 16).replace("\n", f"\n{prefix}") == "\n".join(texts):
        return [raw[start : start + 16] for start in range(0, len(raw), 16)]
    return [parse_id(text, kind) for text in texts]


def format_id(raw: bytes, kind: str) -> str:
    """Print 16 bytes as an id of that kind."""
    return f"{kind}_{raw.hex()}"


def short_id(text: str) -> str:
    """Return the form that people read: the first 13 characters."""
    return text[:SHORT_LENGTH]
