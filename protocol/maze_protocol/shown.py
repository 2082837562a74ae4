"""Text from elsewhere, made fit to be shown: what a terminal, a log or a picture would obey becomes an escape.

Control characters forge lines and drive terminals, U+202E and its kin turn text around, and half a surrogate pair
cannot be encoded. Names are refused if they hold any of these; this is for all else, and for whoever did not refuse.
Standard library only.
"""

from __future__ import annotations

import json
from typing import Final

__all__ = ["BREAKS", "one_line", "quoted", "shown", "shown_json"]

BREAKS: Final = "\n\t"
"""What text of several lines may hold."""


def shown(text: str, keep: str = "") -> str:
    r"""Return text with every character that is not printable as `\x1b`, `\n`, `\u202e`; those of `keep` stay."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each in keep else _escape(each) for each in text)


def one_line(text: str) -> str:
    """Return text for a cell or a field: line breaks and tabs as spaces, the rest as `shown`."""
    return shown(text if text.isprintable() else text.replace("\n", " ").replace("\t", " "))


def quoted(text: str) -> str:
    """Return text as the value of `key=value`: as a JSON text if it could be taken for more than that."""
    plain = text.isprintable() and not any(mark in text for mark in ' "=')
    return text if plain else shown_json(json.dumps(text, ensure_ascii=False))


def shown_json(document: str) -> str:
    """Return a JSON document, which may have line breaks, with what is not printable in its texts as JSON escapes."""
    if document.isprintable():
        return document
    return "".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in document)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
