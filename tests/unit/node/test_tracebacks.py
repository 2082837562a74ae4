"""Exceptions as text."""

from __future__ import annotations

import pytest

from maze_node.tracebacks import HEADER, MAX_BASES, MAX_MESSAGE, MAX_NAME, MAX_TEXT, describe


def caught(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as found:
        return found


def test_the_last_line_names_type_and_message() -> None:
    kind, message, text, _ = describe(caught(ValueError("bad thing")))
    assert (kind, message) == ("ValueError", "bad thing")
    assert text.startswith(HEADER)
    assert text.endswith("\nValueError: bad thing")
    assert "in caught" in text


def test_an_exception_without_frames_still_has_the_header() -> None:
    assert describe(KeyError("k"))[:3] == ("KeyError", "'k'", HEADER + "KeyError: 'k'")


def test_causes_are_told() -> None:
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise ValueError("outer") from inner
    except ValueError as error:
        text = describe(error)[2]
    assert text.startswith(HEADER)
    assert "direct cause" in text
    assert text.index("inner") < text.index("outer")


def test_groups_begin_with_the_header_too() -> None:
    text = describe(caught(ExceptionGroup("many", [ValueError("one")])))[2]
    assert text.startswith(HEADER)
    assert "ValueError: one" in text


def test_long_texts_keep_both_ends() -> None:
    _, message, text, _ = describe(caught(ValueError("a" * 10**6 + "END")))
    assert len(message) < MAX_MESSAGE + 100
    assert len(text) < MAX_TEXT + 100
    assert message.endswith("END")
    assert text.endswith("END")
    assert "left out" in text


def test_a_missing_module_comes_with_a_hint() -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        import surely_not_there  # noqa: F401
    assert describe(caught.value)[1] == (
        "No module named 'surely_not_there' (it must be installed on the node that runs the task)"
    )


def test_an_exception_whose_text_fails() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    kind, message, text, _ = describe(caught(Broken()))
    assert kind == "Broken"
    assert "failed: RuntimeError" in message
    assert text.startswith(HEADER)


def test_classes_are_named_with_what_they_inherit() -> None:
    assert describe(FileNotFoundError())[3] == (
        "builtins.FileNotFoundError", "builtins.OSError", "builtins.Exception", "builtins.BaseException",
    )  # fmt: skip
    assert describe(caught(UnicodeDecodeError("utf-8", b"", 0, 1, "")))[3][1] == "builtins.UnicodeError"


def test_the_names_of_classes_are_bounded_and_survive_any_metaclass() -> None:
    class Hostile(type):
        @property
        def __module__(cls) -> str:
            raise RuntimeError

        @property
        def __mro__(cls) -> tuple[type, ...]:
            raise RuntimeError

    kind = Hostile("N" * 500, (Exception,), {})
    bases = describe(kind())[3]
    assert len(bases[0]) == MAX_NAME
    assert bases[1:] == ("builtins.Exception", "builtins.BaseException")
    for number in range(20):
        kind = type(f"Level{number}", (kind,), {"__module__": number})
    bases = describe(kind())[3]
    assert len(bases) == MAX_BASES
    assert bases[0] == "?.Level19"
