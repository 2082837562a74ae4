"""maze_protocol.messages: the rules of its docstring."""

from __future__ import annotations

from maze_protocol import messages
from maze_protocol.messages import MESSAGES, RELIABLE, TYPE_OF, ErrorInfo


def test_every_message_has_a_tag_of_its_own() -> None:
    assert set(TYPE_OF) == set(MESSAGES)
    assert len(set(TYPE_OF.values())) == len(MESSAGES)
    assert all(0 < tag < 1 << 16 for tag in TYPE_OF.values())


def test_messages_are_frozen_arrays() -> None:
    for kind in MESSAGES:
        assert kind.__struct_config__.array_like, kind
        assert kind.__struct_config__.frozen, kind


def test_reliable_messages_are_messages() -> None:
    assert set(RELIABLE) <= set(MESSAGES)


def test_public_names_are_real_and_complete() -> None:
    assert all(hasattr(messages, name) for name in messages.__all__)
    assert {kind.__name__ for kind in MESSAGES} <= set(messages.__all__)


def test_readers_of_an_error_see_the_traceback_if_there_is_one() -> None:
    assert ErrorInfo("crash", "WorkerCrashed", "SIGKILL").text == "WorkerCrashed: SIGKILL"
    assert ErrorInfo("user", "ValueError", "bad", "Traceback …").text == "Traceback …"


def test_readers_of_a_crash_see_its_last_words_and_the_verdict_last() -> None:
    error = ErrorInfo("crash", "WorkerCrashed", "SIGSEGV", stderr_tail="\nFatal error\r\n  at line 3\n")
    assert error.text == "The end of its stderr:\n  Fatal error\n    at line 3\nWorkerCrashed: SIGSEGV"
