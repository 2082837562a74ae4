"""Errors that stop a head: a message, a remedy, an exit code of their own."""

from __future__ import annotations

from maze_head.errors import (
    EXIT_BUG,
    AlreadyRunning,
    HeadError,
    JournalFailed,
    JournalUnusable,
    Misconfigured,
    PortBusy,
    StateDirUnusable,
)


def test_exit_codes_tell_what_a_supervisor_should_do() -> None:
    codes = {kind: kind.exit_code for kind in (Misconfigured, PortBusy, StateDirUnusable)}
    assert set(codes.values()) == {2}
    assert (AlreadyRunning.exit_code, EXIT_BUG, JournalFailed.exit_code, JournalUnusable.exit_code) == (3, 70, 75, 78)


def test_a_message_ends_with_its_remedy() -> None:
    error = PortBusy("port 1 is in use", remedy="take another")
    assert isinstance(error, HeadError)
    assert str(error) == "port 1 is in use; take another"
    assert (error.message, error.remedy) == ("port 1 is in use", "take another")
    assert str(HeadError("plain")) == "plain"
