"""How the body of a file or directory begins (codec FILE), for whoever sends or serves one.

    "MZF1", mode (u32), 1 for a directory (u8), length of the name (u16), the name in UTF-8, the content

Numbers are big-endian. The content of a file is its bytes, that of a directory an uncompressed tar of what is in it.
The name is one plain word of a path: where a file lands is never for its sender to say.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

__all__ = ["HEADER_BYTES", "NAME_BYTES", "PERMISSIONS", "Header", "pack_header", "parse_header"]

NAME_BYTES: Final = 255
PERMISSIONS: Final = 0o777
_MAGIC: Final = b"MZF1"
_HEAD: Final = struct.Struct(">4sIBH")
HEADER_BYTES: Final = _HEAD.size + NAME_BYTES
"""No header is longer."""


class Header(NamedTuple):
    """What a body says of itself before its content."""

    name: str
    mode: int
    is_directory: bool
    length: int
    """Of the header in bytes: there the content starts."""


def pack_header(name: str, mode: int, is_directory: bool) -> bytes:
    """Return the header of a body; the name fits NAME_BYTES in UTF-8."""
    word = name.encode()
    return _HEAD.pack(_MAGIC, mode & PERMISSIONS, is_directory, len(word)) + word


def parse_header(body: bytes | bytearray | memoryview) -> Header:
    """Return the header of a body, of which the first HEADER_BYTES are enough.

    Raises:
        ValueError: this is no file.
    """
    try:
        magic, mode, directory, length = _HEAD.unpack_from(body)
    except struct.error as error:
        raise ValueError(f"it is no file: {error}") from error
    word = bytes(body[_HEAD.size : _HEAD.size + length])
    try:
        name = word.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"it is no file: {error}") from error
    if magic != _MAGIC or len(word) != length or not _is_plain(name, length):
        raise ValueError("it is no file, or one whose name is a path")
    return Header(name, mode & PERMISSIONS, bool(directory), _HEAD.size + length)


def _is_plain(name: str, size: int) -> bool:
    return 0 < size <= NAME_BYTES and name not in (".", "..") and not set(name) & {"/", "\\", "\0"}
