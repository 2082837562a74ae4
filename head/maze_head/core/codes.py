"""Function bodies: opaque bytes addressed by blake2b-16, never executed or unpickled by the head.

The core keeps only what decides where code may run (`CodeFacts`); the body goes to the journal packed as
`StoredCode`, from which the driver makes the `Code` message (`unpack_code`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from maze_head.core.errors import Invalid
from maze_head.core.names import named
from maze_protocol.http import CodeBody
from maze_protocol.limits import MAX_TASK_VALUES

__all__ = ["CodeFacts", "CodeUsers", "StoredCode", "check_code", "pack_code", "unpack_code"]

KINDS: Final = ("pickle", "source")
ANY_PYTHON: Final = (0, 0)


class CodeFacts(NamedTuple):
    """What the core needs to know of a function body."""

    kind: str
    python: tuple[int, int]
    """The minor version it must run under; (0, 0) for any."""


class CodeUsers:
    """Which workflows ever used which function: it is needed as long as one of them is there."""

    def __init__(self) -> None:
        self._users: dict[bytes, dict[bytes, None]] = {}
        self._used: dict[bytes, dict[bytes, None]] = {}

    def __len__(self) -> int:
        return len(self._users)

    def note(self, workflow_id: bytes, codes: Iterable[bytes]) -> None:
        """Note that a workflow uses functions."""
        for hash_ in codes:
            self._users.setdefault(hash_, {})[workflow_id] = None
            self._used.setdefault(workflow_id, {})[hash_] = None

    def only_of(self, workflow_id: bytes) -> list[bytes]:
        """Return the functions that no other workflow used, in the order of their first use."""
        return [hash_ for hash_ in self._used.get(workflow_id, ()) if len(self._users[hash_]) == 1]

    def forget(self, workflow_id: bytes) -> None:
        """Forget a workflow."""
        for hash_ in self._used.pop(workflow_id, ()):
            del self._users[hash_][workflow_id]
            if not self._users[hash_]:
                del self._users[hash_]


class StoredCode(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The row of a function body in the journal."""

    kind: str
    python: tuple[int, int]
    name: str
    body: bytes


_decoder = msgspec.msgpack.Decoder(StoredCode)


def check_code(code: CodeBody, field: str) -> tuple[bytes, CodeFacts]:
    """Return the hash and the facts of a function body.

    Raises:
        Invalid: unknown kind, wrong hash, too large, or an impossible Python version.
    """
    if code.kind not in KINDS:
        raise Invalid("invalid_code", f"unknown kind of code {code.kind[:40]!r}", field=f"{field}.kind")
    if len(code.body) > MAX_TASK_VALUES:
        message = f"a function of {len(code.body)} bytes: at most {MAX_TASK_VALUES}"
        raise Invalid("too_large", message, hint="large constants belong into inputs or files", field=f"{field}.body")
    digest = hashlib.blake2b(code.body, digest_size=16).digest()
    if code.hash != digest.hex():
        raise Invalid("invalid_code", "hash is not the blake2b-16 of body", field=f"{field}.hash")
    _check_labels(code, field)
    python = ANY_PYTHON if code.kind == "source" else code.python
    return digest, CodeFacts(code.kind, python)


def _check_labels(code: CodeBody, field: str) -> None:
    if code.kind == "pickle" and not (code.python[0] == 3 and 0 <= code.python[1] < 100):
        raise Invalid("invalid_code", f"impossible Python version {code.python}", field=f"{field}.python")
    if code.name:
        named(code.name, "the function's name", f"{field}.name")


def pack_code(code: CodeBody) -> bytes:
    """Return the journal row of a function body."""
    return msgspec.msgpack.encode(StoredCode(code.kind, code.python, code.name, code.body))


def unpack_code(packed: bytes) -> StoredCode:
    """Read the journal row of a function body.

    Raises:
        msgspec.DecodeError: the row is damaged.
    """
    return _decoder.decode(packed)
