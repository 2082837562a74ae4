"""The thread that moves bytes, with wires of the test's making: disks that refuse, links that go, any end."""

from __future__ import annotations

import errno
import os
import queue
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maze._daemon.exchange import CANCELLED, Exchange, Heard, LinkGone, Source
from maze_protocol.fetching import Order, Origin
from maze_protocol.limits import CHUNK, CHUNK_WINDOW
from maze_protocol.serving import Serving
from maze_protocol.tickets import make_ticket
from maze_protocol.transfers import Chunk, Fetch, Unknown
from maze_protocol.values import ObjectKey

KEY = ObjectKey(7, 1)
PATIENCE = 20.0
SECRET = b"s"


class Tracker:
    """Tells that a piece has left once the test says so."""

    done = False


class Wires:
    """No sockets: the test hears what is said, and says what comes."""

    def __init__(self) -> None:
        self.said: queue.Queue[tuple[Any, Any, bytes | None]] = queue.Queue()
        self.trackers: list[Tracker] = []
        self.gone: set[Any] = set()
        self.closed = False

    def start(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def sockets(self) -> Iterable[Any]:
        return ()

    def receive(self, ready: Any) -> Iterator[Heard]:
        raise AssertionError("there are no sockets")

    def send(self, link: Any, message: Any, piece: Any = None) -> Any:
        if link in self.gone:
            raise LinkGone("it went")
        self.said.put((link, message, None if piece is None else bytes(piece)))
        if piece is None:
            return None
        self.trackers.append(Tracker())
        return self.trackers[-1]

    def tick(self, now: float) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class Setting:
    """An exchange with its wires, and what the owner was told."""

    def __init__(self) -> None:
        self.wires = Wires()
        self.found: dict[ObjectKey, Source] = {}
        self.told: queue.Queue[str] = queue.Queue()
        self.bugs: list[BaseException] = []
        self.exchange = Exchange(self.wires, "me", self._find, self.bugs.append, Serving(SECRET))
        self.exchange.start()

    def _find(self, key: ObjectKey) -> None:
        source = self.found.get(key)
        if source is None:
            self.exchange.missing(key)
        else:
            self.exchange.found(key, source)

    def hear(self, link: Any, message: Any, payload: bytes = b"") -> None:
        self.exchange.call(self.exchange._hear, Heard(link, message, payload))

    def fetch(self, fd: int, size: int, *links: str) -> None:
        origins = tuple(Origin(link) for link in links)
        self.exchange.fetch(Order(KEY, size, origins), fd, 100, self.told.put)

    def said(self) -> tuple[Any, Any, bytes | None]:
        return self.wires.said.get(timeout=PATIENCE)

    def result(self) -> str:
        return self.told.get(timeout=PATIENCE)


@pytest.fixture
def setting() -> Iterator[Setting]:
    made = Setting()
    yield made
    made.exchange.close()
    assert not made.bugs
    assert made.wires.closed


def ask(request: int, link: str = "n2", offset: int = 0, length: int = 5) -> Fetch:
    return Fetch(request, *KEY[:2], offset, length, make_ticket(SECRET, *KEY, link, 1e11), b"", link)


def chunk(fetch: Fetch, data: bytes, total: int) -> tuple[Chunk, bytes]:
    piece = data[fetch.offset : fetch.offset + fetch.length]
    return Chunk(fetch.request, fetch.offset, total, zlib.crc32(piece)), piece


def until(condition: Callable[[], Any]) -> None:
    waiting = threading.Event()
    for _ in range(int(PATIENCE / 0.002)):
        if condition():
            return
        waiting.wait(0.002)
    raise AssertionError("in vain")


def test_pieces_are_written_where_they_belong(setting: Setting, tmp_path: Path) -> None:
    with (tmp_path / "x").open("w+b") as file:
        setting.fetch(file.fileno(), 5, "a")
        link, fetch, _ = setting.said()
        assert (link, fetch.node, fetch.length) == ("a", "me", 5)
        setting.hear("a", *chunk(fetch, b"hello", 5))
        assert setting.result() == ""
        assert os.pread(file.fileno(), 100, 100) == b"hello"
    assert setting.exchange.counters()["objects_fetched_total"] == 1


def test_a_disk_that_does_not_take_it_ends_the_transfer(setting: Setting, tmp_path: Path) -> None:
    with (tmp_path / "x").open("w+b") as file, (tmp_path / "x").open("rb") as unwritable:
        setting.fetch(unwritable.fileno(), 5, "a")
        _, fetch, _ = setting.said()
        setting.hear("a", *chunk(fetch, b"hello", 5))
        assert setting.result() == f"it cannot be written here: {os.strerror(errno.EBADF)}"
        setting.fetch(file.fileno(), 5, "a")
        assert setting.said()[1].request > fetch.request


def test_a_link_that_goes_means_the_next_holder(setting: Setting, tmp_path: Path) -> None:
    setting.wires.gone.add("a")
    with (tmp_path / "x").open("w+b") as file:
        setting.fetch(file.fileno(), 5, "a", "b")
        assert setting.said()[0] == "b"
        setting.wires.gone.add("b")
        setting.exchange.call(setting.exchange.lost, "b", "it went")
        assert setting.result() == "it went"


def test_what_is_found_is_read_and_sent_and_closed_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"..hello world")
    fd = os.open(tmp_path / "x", os.O_RDONLY)
    setting = Setting()
    setting.found[KEY] = Source(fd, 2, 11)
    setting.hear("n2", ask(1, offset=6))
    assert setting.said() == ("n2", Chunk(1, 6, 11, zlib.crc32(b"world")), b"world")
    setting.hear("n2", ask(2, offset=0))
    assert setting.said()[2] == b"hello"
    setting.exchange.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_what_is_not_here_or_cannot_be_read_is_unknown(setting: Setting, tmp_path: Path) -> None:
    setting.hear("n2", ask(1))
    assert setting.said()[1] == Unknown(1)
    (tmp_path / "short").write_bytes(b"hel")
    setting.found[KEY] = Source(os.open(tmp_path / "short", os.O_RDONLY), 0, 5)
    setting.hear("n2", ask(2))
    assert setting.said()[1] == Unknown(2)
    directory = os.open(tmp_path, os.O_RDONLY)
    setting.found[KEY] = Source(directory, 0, 5)
    setting.hear("n2", ask(3))
    assert setting.said()[1] == Unknown(3)


def test_what_is_on_its_way_here_is_served_as_far_as_it_has_come(setting: Setting, tmp_path: Path) -> None:
    data = bytes(CHUNK) + b"hello"
    with (tmp_path / "x").open("w+b") as file:
        setting.fetch(file.fileno(), len(data), "a")
        first, second = setting.said()[1], setting.said()[1]
        setting.found[KEY] = Source(os.dup(file.fileno()), 100, len(data), coming=True)
        setting.hear("n2", ask(1, offset=CHUNK, length=5))
        setting.hear("n2", ask(2, offset=0, length=5))
        setting.hear("a", *chunk(first, data, len(data)))
        assert setting.said()[1:] == (Chunk(2, 0, len(data), zlib.crc32(bytes(5))), bytes(5))
        setting.hear("a", *chunk(second, data, len(data)))
        assert setting.said()[2] == b"hello"
        assert setting.result() == ""


@pytest.mark.parametrize("early", [True, False])
def test_what_does_not_come_after_all_is_unknown_to_those_who_wait(
    setting: Setting, tmp_path: Path, early: bool
) -> None:
    with (tmp_path / "x").open("w+b") as file:
        setting.fetch(file.fileno(), 5, "a")
        setting.said()
        source = Source(os.dup(file.fileno()), 100, 5, coming=True)
        looked_for: list[ObjectKey] = []
        if early:
            setting.found[KEY] = source
        else:
            setting.exchange._find = looked_for.append
        setting.hear("n2", ask(1))
        until(lambda: KEY in setting.exchange._sources or looked_for)
        setting.exchange.cancel(KEY)
        assert setting.result() == CANCELLED
        if not early:
            setting.exchange.found(KEY, source)
            until(lambda: looked_for == [KEY, KEY])  # its owner may have all of it by now
            setting.exchange.missing(KEY)
        assert setting.said()[1] == Unknown(1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(source.fd)


def test_no_more_is_on_its_way_out_than_a_link_may_have(setting: Setting, tmp_path: Path) -> None:
    size = 2 * CHUNK_WINDOW * CHUNK
    with (tmp_path / "x").open("wb") as file:
        file.truncate(size)
    setting.found[KEY] = Source(os.open(tmp_path / "x", os.O_RDONLY), 0, size)
    for number in range(2 * CHUNK_WINDOW):
        setting.hear("n2", ask(number, offset=number * CHUNK, length=CHUNK))
    setting.hear("n3", ask(99, "n3"))
    until(lambda: len(setting.wires.trackers) == CHUNK_WINDOW + 1)
    said = [setting.said() for _ in range(CHUNK_WINDOW + 1)]
    assert [link for link, _, _ in said].count("n3") == 1, "nobody waits for another link"
    assert setting.wires.said.empty()
    for tracker in list(setting.wires.trackers):
        tracker.done = True
    until(lambda: len(setting.wires.trackers) == 2 * CHUNK_WINDOW + 1)


def test_a_consumer_that_went_is_not_read_for(setting: Setting, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"hello")
    setting.found[KEY] = Source(os.open(tmp_path / "x", os.O_RDONLY), 0, 5)
    setting.wires.gone.add("n2")
    for number in range(3):
        setting.hear("n2", ask(number))
    setting.hear("n3", ask(9, "n3"))
    assert setting.said()[0] == "n3"
    assert setting.exchange.counters()["objects_pieces_waiting"] == 0


def test_what_is_cancelled_or_under_way_at_the_end_is_told_once(tmp_path: Path) -> None:
    setting = Setting()
    with (tmp_path / "x").open("w+b") as file:
        setting.fetch(file.fileno(), 5, "a")
        setting.exchange.cancel(KEY)
        assert setting.result() == CANCELLED
        setting.exchange.cancel(KEY)
        setting.fetch(file.fileno(), 5, "a")
        setting.exchange.close()
        setting.fetch(file.fileno(), 5, "a")
    assert [setting.result(), setting.result()] == [CANCELLED, CANCELLED]
    assert setting.told.empty()
    assert not setting.bugs


def test_a_bug_ends_the_thread_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    setting = Setting()
    setting.exchange.call(lambda: 1 / 0)
    until(lambda: setting.bugs)
    assert isinstance(setting.bugs[0], ZeroDivisionError)
    setting.exchange.close()
