"""Everything this package raises.

    ProtocolError
    +-- LocalProtocolError      we were about to break the protocol: a bug on this side
    |   +-- MessageTooLarge     what we wanted to send exceeds a limit of limits.py
    |   `-- IllegalTransition   a session was driven in a state that forbids it
    `-- RemoteProtocolError     the other side sent something we cannot accept
        +-- BadFrame            size, count, magic, length or checksum of frames
        +-- BadMessage          the body is not a message of its type (schema, depth, garbage)
        +-- UnknownMessage      a type this side does not know and may not ignore
        `-- VersionMismatch     no common major version

The Local/Remote split follows h11: who is at fault decides what to do (fix our code, or drop the peer).
Every error carries a stable `code` for counters and NAK messages.
"""

from __future__ import annotations

__all__ = [
    "BadFrame",
    "BadMessage",
    "IllegalTransition",
    "LocalProtocolError",
    "MessageTooLarge",
    "ProtocolError",
    "RemoteProtocolError",
    "UnknownMessage",
    "VersionMismatch",
]


class ProtocolError(Exception):
    """Something about the wire went wrong; `code` is a stable machine-readable reason."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


class LocalProtocolError(ProtocolError):
    """This side is at fault."""


class MessageTooLarge(LocalProtocolError):
    """A message we wanted to send exceeds a limit."""


class IllegalTransition(LocalProtocolError):
    """A session was asked for something that its state forbids."""


class RemoteProtocolError(ProtocolError):
    """The other side is at fault."""


class BadFrame(RemoteProtocolError):
    """Frames that are not ours: size, count, magic, length or checksum."""


class BadMessage(RemoteProtocolError):
    """A body that does not fit the schema of its type."""


class UnknownMessage(RemoteProtocolError):
    """A message type that must be understood and is not."""


class VersionMismatch(RemoteProtocolError):
    """No major version in common."""
