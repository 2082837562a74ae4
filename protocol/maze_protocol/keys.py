"""Public keys of CURVE as texts: 40 characters of Z85, which stand for 32 bytes. Pure; standard library only.

Z85: https://rfc.zeromq.org/spec/32/
"""

from __future__ import annotations

from typing import Final

__all__ = ["KEY_LENGTH", "encode_key", "is_key"]

KEY_LENGTH: Final = 40
_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_VALUE: Final = {character: value for value, character in enumerate(_ALPHABET)}
_LARGEST: Final = 1 << 32


def is_key(text: object) -> bool:
    """Tell whether something is a key as it is told: five characters stand for four bytes, no more than these hold."""
    if not isinstance(text, str) or len(text) != KEY_LENGTH or not all(character in _VALUE for character in text):
        return False
    return all(_number(text[start : start + 5]) < _LARGEST for start in range(0, KEY_LENGTH, 5))


def encode_key(raw: bytes) -> str:
    """Return the text of a key of 32 bytes, as a handshake brings it."""
    numbers = (int.from_bytes(raw[start : start + 4], "big") for start in range(0, len(raw), 4))
    return "".join(_ALPHABET[number // 85**power % 85] for number in numbers for power in (4, 3, 2, 1, 0))


def _number(five: str) -> int:
    value = 0
    for character in five:
        value = value * 85 + _VALUE[character]
    return value
