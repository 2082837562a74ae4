"""A task as authored, in the core's own words, and its packed form: the MessagePack of its `TaskSpec`.

The packed form is what workflows and graphs keep, and what tasks are compared by. Fields are only appended, so that
what an older version packed is read as ever.
"""

from __future__ import annotations

from typing import Final

import msgspec

from maze_protocol.messages import OutputDecl
from maze_protocol.resources import Request
from maze_protocol.terms import NO_TERMS, Terms

__all__ = [
    "ENCODED", "SOURCE", "UPLOADED", "VALUE", "InputSpec", "TaskSpec", "func_name_of", "name_of", "pack", "unpack",
]  # fmt: skip

VALUE: Final = 0
SOURCE: Final = 1
ENCODED: Final = 2
UPLOADED: Final = 3
"""How an input was authored: a literal of JSON types, a reference, or an SDK-encoded literal with holes, whose bytes
were sent with the task or uploaded before."""


class InputSpec(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One input: a body in some codec, references (task id, output key), or both."""

    name: str
    form: int
    codec: int = 0
    body: bytes = b""
    refs: tuple[tuple[bytes, str], ...] = ()
    upload: bytes = b""
    """The content hash of an uploaded body."""
    size: int = 0
    """Of an uploaded body."""


class TaskSpec(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A task as authored, in the core's own words; fields are only appended."""

    task_id: bytes
    name: str
    request: Request
    python: tuple[int, int]
    """The Python minor version that its code needs; (0, 0) for any."""
    code: bytes = b""
    inputs: tuple[InputSpec, ...] = ()
    outputs: tuple[OutputDecl, ...] = ()
    strict_outputs: bool = True
    keep: bool = False
    func_name: str = ""
    task_type: str = "code"
    data_types: dict[str, str] = {}
    resources: dict[str, float] = {}
    retries: int = 0
    retry_backoff: float = 0.5
    retry_on: tuple[str, ...] = ()
    timeout: float = 0.0
    idle_timeout: float = 0.0
    at_most_once: bool = False
    terms: Terms = NO_TERMS
    same_node_as: bytes = b""
    sandbox: bool = False

    def sources(self) -> tuple[bytes, ...]:
        """Return the ids of the tasks that this one names, as references or its node's, each once, in order."""
        found: dict[bytes, None] = {}
        for entry in self.inputs:
            for task_id, _ in entry.refs:
                found[task_id] = None
        if self.same_node_as:
            found[self.same_node_as] = None
        return tuple(found)


class _Label(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The first fields of a TaskSpec; the decoder skips the rest."""

    task_id: bytes
    name: str


class _Function(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The fields of a TaskSpec up to the name of its function; what is `Raw` is skipped unread."""

    task_id: bytes
    name: str
    request: msgspec.Raw
    python: msgspec.Raw
    code: msgspec.Raw = msgspec.Raw()
    inputs: msgspec.Raw = msgspec.Raw()
    outputs: msgspec.Raw = msgspec.Raw()
    strict_outputs: msgspec.Raw = msgspec.Raw()
    keep: msgspec.Raw = msgspec.Raw()
    func_name: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(TaskSpec).decode
_label = msgspec.msgpack.Decoder(_Label).decode
_function = msgspec.msgpack.Decoder(_Function).decode


def pack(spec: TaskSpec) -> bytes:
    """Return the compact form of a task."""
    return _encode(spec)


def unpack(packed: bytes) -> TaskSpec:
    """Return the task of a compact form."""
    return _decode(packed)


def name_of(packed: bytes) -> str:
    """Return the display name of a packed task."""
    return _label(packed).name


def func_name_of(packed: bytes) -> str:
    """Return the name of a packed task's function, or nothing."""
    return _function(packed).func_name
