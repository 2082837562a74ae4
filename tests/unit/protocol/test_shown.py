"""Text that cannot hurt whoever looks at it."""

from __future__ import annotations

import pytest

from maze_protocol.shown import one_line, quoted, shown, shown_json


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain ünïcödé 🔗 名前", "plain ünïcödé 🔗 名前"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x1b[31mred\x07\x00", "\\x1b[31mred\\x07\\x00"),
        ("\x9b31m\x85", "\\x9b31m\\x85"),
        ("\u202eforged\u2066\u2028\ufeff", "\\u202eforged\\u2066\\u2028\\ufeff"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_is_not_printable_becomes_an_escape(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_what_is_to_be_kept_stays() -> None:
    assert shown("a\n\tb\r", keep="\n\t") == "a\n\tb\\r"


def test_a_cell_is_one_line() -> None:
    assert one_line("a\nb\tc\x1b") == "a b c\\x1b"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run_1", "run_1"),
        ("", ""),
        ("two words", '"two words"'),
        ('say "hi"', r'"say \"hi\""'),
        ("level=error", '"level=error"'),
        ("a\nb\u202e", r'"a\nb\u202e"'),
    ],
)
def test_a_value_cannot_be_taken_for_more(text: str, expected: str) -> None:
    assert quoted(text) == expected


def test_a_document_stays_the_same_document() -> None:
    document = '{\n  "ü": "\u202e\x9b\U000e0041"\n}'
    assert shown_json(document) == '{\n  "ü": "\\u202e\\u009b\\udb40\\udc41"\n}'
    assert shown_json('{"ü": 1}') == '{"ü": 1}'
