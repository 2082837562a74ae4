"""Captured output: rings, tails, pulls, bounds."""

from __future__ import annotations

from maze_node.logs import KEEP_ATTEMPTS, STDERR, STDOUT, Logs
from maze_protocol.messages import LogPull


def pull(logs: Logs, lease: int, offset: int = 0, limit: int = 100, *, over: bool = False, stream: int = STDOUT):
    chunk = logs.answer(LogPull(1, lease, stream, offset, limit), over=over)
    return chunk.offset, chunk.data, chunk.end, chunk.known


def test_reading_from_any_offset() -> None:
    logs = Logs()
    logs.append(1, STDOUT, b"hello ")
    logs.append(1, STDOUT, b"world")
    logs.append(1, STDERR, b"!")
    assert pull(logs, 1) == (0, b"hello world", False, True)
    assert pull(logs, 1, 3, 5) == (3, b"lo wo", False, True)
    assert pull(logs, 1, 11) == (11, b"", False, True)
    assert pull(logs, 1, 8, over=True) == (8, b"rld", True, True)
    assert pull(logs, 1, 0, 4, over=True) == (0, b"hell", False, True)
    assert pull(logs, 1, stream=STDERR)[1] == b"!"


def test_the_oldest_bytes_go_and_offsets_stay() -> None:
    logs = Logs(keep=10)
    for number in range(10):
        logs.append(1, STDOUT, bytes([48 + number]) * 4)
    offset, data, _, _ = pull(logs, 1)
    assert offset == 40 - len(data)
    assert data.endswith(b"8888" + b"9999")
    assert len(data) <= 13


def test_what_is_unknown_is_said_to_be() -> None:
    logs = Logs()
    assert pull(logs, 9) == (0, b"", False, True), "it runs and has printed nothing"
    assert pull(logs, 9, over=True) == (0, b"", True, False)


def test_tails_and_sizes_at_the_end() -> None:
    logs = Logs()
    assert logs.end(1) == (b"", b"", 0, 0)
    logs.append(1, STDOUT, b"x" * 70_000)
    logs.append(1, STDERR, b"e")
    tails = logs.end(1)
    assert (len(tails.stdout), tails.stderr, tails.stdout_size, tails.stderr_size) == (65_536, b"e", 70_000, 1)


def test_ended_attempts_share_a_bound_and_the_oldest_goes_first() -> None:
    logs = Logs(keep_ended=10)
    for lease in (1, 2, 3):
        logs.append(lease, STDOUT, b"1234")
        logs.end(lease)
    assert [pull(logs, lease, over=True)[3] for lease in (1, 2, 3)] == [False, True, True]


def test_many_small_attempts_are_bounded_too() -> None:
    logs = Logs()
    for lease in range(KEEP_ATTEMPTS + 5):
        logs.append(lease, STDOUT, b"1")
        logs.end(lease)
    assert pull(logs, 4, over=True)[3] is False
    assert pull(logs, 5, over=True)[3] is True


def test_renaming_and_dropping() -> None:
    logs = Logs()
    logs.append(1, STDOUT, b"a")
    logs.rename(1, 2)
    logs.append(2, STDOUT, b"b")
    assert pull(logs, 2)[1] == b"ab"
    logs.end(2)
    logs.rename(2, 3)
    assert pull(logs, 3, over=True)[1] == b"ab"
    logs.drop(3)
    logs.drop(3)
    assert pull(logs, 3, over=True)[3] is False


def test_who_has_written_is_told_once_and_under_the_new_name() -> None:
    logs = Logs()
    for lease in (1, 2, 1):
        logs.append(lease, STDOUT, b"a")
    logs.rename(1, 11)
    assert logs.take_spoke() == (2, 11)
    assert logs.take_spoke() == ()
