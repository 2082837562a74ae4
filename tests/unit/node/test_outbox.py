"""Outcomes until they are acknowledged, in messages that always fit."""

from __future__ import annotations

from maze_node.core.effects import Discard, Effect, Load, Spill
from maze_node.core.events import Instant, Loaded, Spilled
from maze_node.core.outbox import Outbox
from maze_protocol.codec import Envelope
from maze_protocol.framing import decode_frames, encode_frames
from maze_protocol.messages import OK, ErrorInfo, Outcome
from maze_protocol.values import OutputValue, Value, body_of


def no_effects(effect: Effect) -> None:
    raise AssertionError(f"within its budget the outbox needs nobody: {effect}")


def outcome(lease: int, *sizes: int, **fields: object) -> Outcome:
    outputs = tuple(
        OutputValue(f"k{index}", Value(1, size, bytes([index % 251]) * size)) for index, size in enumerate(sizes)
    )
    return Outcome(lease, OK, 1.0, 1.0, outputs, **fields)  # type: ignore[arg-type]


def sent(outbox: Outbox) -> dict[int, list[bytes]]:
    """Send everything through the real framing; return the bodies that arrive."""
    arrived = {}
    for result, payloads in outbox.messages():
        decoded = decode_frames(encode_frames(Envelope(1, 1, 0, result), payloads))
        assert decoded is not None
        for item in decoded[0].message.items:
            arrived[item.lease] = [body_of(each.value, decoded[1]) for each in item.outputs]
    return arrived


def test_small_outcomes_share_a_message() -> None:
    outbox = Outbox(no_effects)
    for lease in range(1, 101):
        outbox.keep(outcome(lease, 10))
    assert len(list(outbox.messages())) == 1
    assert list(outbox.messages()) == []


def test_whatever_a_task_returns_fits_and_arrives() -> None:
    outbox = Outbox(no_effects)
    shapes = {1: [8 * 2**20], 2: [60_000] * 130, 3: [100_000] * 50, 4: [0], 5: [65_536, 65_537], 6: [], 7: [1] * 1000}
    for lease, sizes in shapes.items():
        outbox.keep(outcome(lease, *sizes))
    arrived = sent(outbox)
    assert {lease: [len(body) for body in bodies] for lease, bodies in arrived.items()} == shapes
    assert arrived[3][49] == b"\x31" * 100_000


def test_long_texts_and_logs_are_spread_over_messages() -> None:
    outbox = Outbox(no_effects)
    for lease in range(1, 41):
        error = ErrorInfo("user", "E", "m" * 8192, "ü" * 65_536)
        outbox.keep(outcome(lease, error=error, stdout_tail=b"x" * 65_536))
    assert len(sent(outbox)) == 40


def test_a_new_session_sends_everything_again() -> None:
    outbox = Outbox(no_effects)
    outbox.keep(outcome(1, 1))
    outbox.keep(outcome(2, 1))
    sent(outbox)
    outbox.forget(1)
    outbox.restart()
    assert list(sent(outbox)) == [2]
    outbox.send_again(2)
    outbox.send_again(9)
    assert list(sent(outbox)) == [2]
    assert len(outbox) == 1
    assert [held.lease for held in outbox.inventory()] == [2]


def test_a_renamed_outcome_goes_out_under_its_new_lease() -> None:
    outbox = Outbox(no_effects)
    outbox.keep(outcome(1, 1))
    sent(outbox)
    outbox.rename(1, 5)
    outbox.rename(7, 8)
    assert list(sent(outbox)) == [5]
    assert 5 in outbox
    assert 1 not in outbox


# -- beyond the budget


class Disk:
    """An outbox of so many bytes, and a disk that does what it is told at once, or refuses."""

    def __init__(self, budget: int) -> None:
        self.effects: list[Effect] = []
        self.files: dict[int, bytes] = {}
        self.full = False
        self.mono = 100.0
        self.outbox = Outbox(self.effects.append, budget)

    def settle(self, *, live: bool = True) -> list[Effect]:
        """Let the outbox and the disk come to rest; return what was ordered."""
        done: list[Effect] = []
        self.outbox.settle(self.mono, live=live)
        while self.effects:
            effect = self.effects.pop(0)
            done.append(effect)
            self.obey(effect)
            self.outbox.settle(self.mono, live=live)
        return done

    def obey(self, effect: Effect) -> None:
        now = Instant(self.mono, 0.0)
        if isinstance(effect, Spill):
            if not self.full:
                self.files[effect.number] = effect.data
            self.outbox.spilled(Spilled(effect.number, not self.full), now)
        elif isinstance(effect, Load):
            self.outbox.loaded(Loaded(effect.number, self.files.get(effect.number)), now)
        elif isinstance(effect, Discard):
            self.files.pop(effect.number, None)


def test_the_newest_go_to_disk_beyond_the_budget_and_come_back_for_each_session() -> None:
    disk = Disk(25_000)
    for lease in range(1, 6):
        disk.outbox.keep(outcome(lease, 10_000))
    assert list(sent(disk.outbox)) == [1, 2, 3, 4, 5], "said from memory first"
    disk.settle()
    assert len(disk.files) == 3
    assert list(sent(disk.outbox)) == [], "and once in a session"
    for _ in range(2):
        disk.outbox.restart()
        arrived = sent(disk.outbox)
        disk.settle()
        arrived |= sent(disk.outbox)
        assert {lease: list(map(len, bodies)) for lease, bodies in arrived.items()} == {
            n: [10_000] for n in range(1, 6)
        }
    for lease in range(1, 6):
        disk.outbox.forget(lease)
    disk.settle()
    assert (len(disk.outbox), disk.files) == (0, {})


def test_what_was_never_said_is_said_from_disk() -> None:
    disk = Disk(0)
    disk.outbox.keep(outcome(1, 100))
    disk.settle(live=False)
    assert len(disk.files) == 1
    disk.settle()
    assert sent(disk.outbox) == {1: [b"\0" * 100]}
    assert list(sent(disk.outbox)) == []


def test_no_more_is_loaded_than_is_acknowledged() -> None:
    disk = Disk(0)
    for lease in range(1, 11):
        disk.outbox.keep(outcome(lease, 4 * 2**20))
        disk.settle(live=False)
    said: list[int] = []
    disk.outbox.restart()
    while len(said) < 10:
        disk.settle()
        news = list(sent(disk.outbox))
        assert 0 < len(news) <= 4
        disk.settle()
        assert not sent(disk.outbox), "nothing more before an acknowledgement"
        said += news
        for lease in news:
            disk.outbox.forget(lease)
    disk.settle()
    assert said == list(range(1, 11))
    assert not disk.files


def test_a_full_disk_loses_nothing_and_is_tried_again_later() -> None:
    disk = Disk(15_000)
    disk.full = True
    for lease in range(1, 4):
        disk.outbox.keep(outcome(lease, 10_000))
    assert len(disk.settle()) == 2, "what is too much, once"
    assert not disk.settle()
    assert list(sent(disk.outbox)) == [1, 2, 3]
    assert not disk.outbox.overfull
    for lease in range(4, 10):
        disk.outbox.keep(outcome(lease, 10_000))
    assert disk.outbox.overfull
    disk.mono += 10.0
    disk.full = False
    disk.settle()
    assert len(disk.files) == 8
    assert not disk.outbox.overfull


def test_what_the_disk_has_lost_is_told_as_the_nodes_fault() -> None:
    disk = Disk(0)
    disk.outbox.keep(outcome(1, 100))
    disk.settle(live=False)
    disk.files.clear()
    disk.outbox.restart()
    disk.outbox.settle(disk.mono, live=True)
    disk.obey(disk.effects.pop(0))
    ((result, _),) = disk.outbox.messages()
    assert (result.items[0].lease, result.items[0].error.kind) == (1, "node_lost")
    disk.outbox.forget(1)
    disk.settle()
    assert len(disk.outbox) == 0


def test_an_outcome_on_disk_is_renamed_and_said_again_when_asked() -> None:
    disk = Disk(0)
    disk.outbox.keep(outcome(1, 100))
    disk.settle(live=False)
    disk.outbox.rename(1, 11)
    disk.settle()
    assert list(sent(disk.outbox)) == [11]
    disk.outbox.send_again(11)
    disk.settle()
    assert list(sent(disk.outbox)) == [11]
    assert [held.lease for held in disk.outbox.inventory()] == [11]


def test_late_answers_of_the_disk_change_nothing() -> None:
    disk = Disk(0)
    now = Instant(0.0, 0.0)
    disk.outbox.keep(outcome(1, 100))
    disk.outbox.settle(0.0, live=False)
    disk.outbox.forget(1)
    disk.outbox.spilled(Spilled(1, True), now)
    disk.outbox.loaded(Loaded(1, b"garbage"), now)
    assert (len(disk.outbox), list(disk.outbox.messages())) == (0, [])
    disk.outbox.keep(outcome(2, 100))
    disk.settle(live=False)
    disk.outbox.settle(0.0, live=True)
    disk.outbox.restart()  # the link was lost while the disk was reading
    disk.outbox.loaded(Loaded(2, disk.files[2]), now)
    assert list(disk.outbox.messages()) == []
    disk.effects.clear()
    disk.settle()
    assert list(sent(disk.outbox)) == [2]


def test_a_session_that_begins_during_a_write_says_the_outcome_once() -> None:
    disk = Disk(0)
    disk.outbox.keep(outcome(1, 100))
    disk.outbox.settle(0.0, live=False)
    disk.outbox.restart()
    disk.settle()
    assert list(sent(disk.outbox)) == [1]
    disk.settle()
    assert list(sent(disk.outbox)) == []


# -- what followed something else


def chain(disk: Disk, count: int, size: int = 100) -> None:
    """Keep outcomes of which each followed the one before it."""
    for lease in range(1, count + 1):
        disk.outbox.keep(outcome(lease, size), after=lease - 1)


def test_what_followed_something_is_said_after_it_though_that_comes_from_disk() -> None:
    disk = Disk(0)
    chain(disk, 1)
    disk.settle(live=False)
    disk.full = True
    disk.outbox.keep(outcome(2, 100), after=1)
    disk.outbox.keep(outcome(3, 100), after=2)
    disk.outbox.keep(outcome(4, 100))
    disk.outbox.restart()
    assert list(sent(disk.outbox)) == [4], "the others wait for the first"
    disk.settle()
    assert list(sent(disk.outbox)) == [1, 2, 3]


def test_all_of_a_chain_on_disk_is_said_from_the_first_on_however_it_is_loaded() -> None:
    disk = Disk(0)
    chain(disk, 40, 1 << 20)
    disk.settle(live=False)
    assert len(disk.files) == 40
    for _ in range(2):
        disk.outbox.restart()
        said: list[int] = []
        for _ in range(100):
            disk.settle()
            said += sent(disk.outbox)
        assert said == list(range(1, 41)), "the newest are loaded first, and fill the window"


def test_what_followed_something_that_the_head_has_waits_for_nothing() -> None:
    disk = Disk(1 << 20)
    chain(disk, 2)
    disk.outbox.forget(1)
    assert list(sent(disk.outbox)) == [2]


def test_what_followed_something_that_was_said_is_said_again_alone() -> None:
    disk = Disk(1 << 20)
    chain(disk, 2)
    assert list(sent(disk.outbox)) == [1, 2]
    disk.outbox.send_again(2)
    assert list(sent(disk.outbox)) == [2]
