"""What can go wrong with user values.

ValueCodecError
+-- ValueEncodeError    type_name, path, reason: something in the value cannot be pickled
`-- ValueDecodeError    reason: truncated, another Python, or a class that this process does not have
"""

from __future__ import annotations

__all__ = ["ValueCodecError", "ValueDecodeError", "ValueEncodeError"]


class ValueCodecError(Exception):
    """A user value could not be turned into bytes, or back."""

    def __init__(self, message: str, reason: str) -> None:
        self.reason = reason
        super().__init__(message)


class ValueEncodeError(ValueCodecError):
    """The object of type `type_name` at `path` inside the value cannot be pickled.

    `path` is Python text behind the value's name: `['model'].lock`, empty for the value itself.
    """

    def __init__(self, type_name: str, path: str, reason: str) -> None:
        self.type_name = type_name
        self.path = path
        where = f" at {path}" if path else ""
        super().__init__(f"cannot encode an object of type {type_name}{where}: {reason}", reason)


class ValueDecodeError(ValueCodecError):
    """Bytes that cannot be turned into a value here."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"cannot decode the value: {reason}", reason)
