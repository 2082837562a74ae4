"""What goes beside the frames of an attempt: inputs mapped once, outputs written and sent, nothing left open."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from maze import File
from maze._values import decode, encode
from maze_node import beside
from maze_node.attempt import Kind, run_attempt
from maze_node.beside import Beside
from maze_node.bodies import is_in_memory, read_body, write_body
from maze_node.descriptors import give, take
from maze_node.frames import ReportFrame, TaskFrame
from maze_node.meter import Meter
from maze_protocol.limits import INLINE_TASK, INLINE_VALUE
from maze_protocol.messages import FAILED, OK
from maze_protocol.values import Input, ObjectRef, Value


class NoSurroundings:
    """Leaves the test process alone."""

    reaped = False

    def enter(self, identity: dict[bytes, bytes], more: dict[str, str]) -> None:
        pass

    def restore(self) -> str:
        return ""


class Bench:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.agent, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.far = far
        self.beside = Beside(far)

    def run(
        self, function: Any, inputs: tuple[Input, ...] = (), *, objects: int = 0, spool: str | None = None, **more: Any
    ) -> ReportFrame:
        where = str(self.directory) if spool is None else spool
        frame = TaskFrame(
            5, "t", b"h", None, (), inputs, (), True, {}, b"r" * 16, b"t" * 16, objects=objects, spool=where, **more
        )
        self.beside.arrive(frame)
        report = run_attempt(Kind(frame), frame, lambda code: function, NoSurroundings(), Meter(), beside=self.beside)  # type: ignore[arg-type]
        self.beside.send()
        return report

    def store(self, *values: Any) -> list[Value]:
        """Send values as the agent would; return their references."""
        found, descriptors = [], []
        for number, value in enumerate(values):
            codec, body = encode(value)
            descriptors.append(write_body([body], len(body), str(self.directory), on_disk=False)[0])
            found.append(Value(codec, len(body), ref=ObjectRef(77, number, len(body), 0)))
        give(self.agent, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        return found

    def objects(self, report: ReportFrame) -> dict[str, tuple[Any, bool]]:
        """Take what came beside a report; return (value, whether it is in memory) by key."""
        outputs = [output for output in report.outputs if output.value.ref is not None]
        taken = {}
        for output, (descriptor, _) in zip(outputs, take(self.agent, report.objects), strict=True):
            in_memory = is_in_memory(descriptor)
            taken[output.key] = (decode(output.value.codec, read_body(descriptor, 0, output.value.size)), in_memory)
        return taken


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    Meter().start()  # keeps a descriptor for the process
    before = len(os.listdir("/proc/self/fd"))
    made = Bench(tmp_path)
    yield made
    made.agent.close()
    made.far.close()
    assert len(os.listdir("/proc/self/fd")) == before, "nothing is left open"


def test_large_outputs_are_objects_and_small_ones_are_not(bench: Bench) -> None:
    large = b"x" * (INLINE_VALUE + 1)
    report = bench.run(lambda params: {"a": 1, "b": large, "c": np.arange(20_000)})
    assert (report.status, report.objects, report.on_disk) == (OK, 2, ())
    assert [output.value.ref for output in report.outputs] == [
        None, ObjectRef(5, 1, report.outputs[1].value.size, 0), ObjectRef(5, 2, report.outputs[2].value.size, 0),
    ]  # fmt: skip
    assert [output.type for output in report.outputs] == ["", "bytes", "numpy.ndarray"]
    taken = bench.objects(report)
    assert taken["b"] == (large, True)
    assert (taken["c"][0] == np.arange(20_000)).all()


def test_the_largest_of_many_are_objects_until_the_rest_fits(bench: Bench) -> None:
    sizes = {f"o{number:02}": 30_000 + number for number in range(12)}
    report = bench.run(lambda params: {key: b"x" * size for key, size in sizes.items()})
    inline = [output.key for output in report.outputs if output.value.ref is None]
    assert inline == sorted(sizes)[:8]
    assert sum(output.value.size for output in report.outputs if output.value.ref is None) <= INLINE_TASK
    assert {key: len(value) for key, (value, _) in bench.objects(report).items()} == dict(list(sizes.items())[8:])


def test_outputs_go_to_disk_if_the_agent_says_so(bench: Bench) -> None:
    report = bench.run(lambda params: {"a": 1, "b": b"x" * 100_000}, on_disk=True)
    assert report.on_disk == (1,)
    assert bench.objects(report) == {"b": (b"x" * 100_000, False)}


def test_without_room_the_attempt_fails_and_nothing_stays(bench: Bench) -> None:
    def task(params: Any) -> Any:
        return {"a": b"x" * 100_000, "b": b"y" * 100_000}

    report = bench.run(task, spool=str(bench.directory / "nowhere"), on_disk=True)
    assert (report.status, report.objects, report.outputs) == (FAILED, 0, ())
    assert report.error is not None
    assert report.error.kind == "no_room"
    assert "output 'a' (100,005 bytes)" in report.error.message


def test_an_output_that_cannot_be_encoded_takes_the_others_with_it(bench: Bench) -> None:
    report = bench.run(lambda params: {"a": b"x" * 100_000, "b": (i for i in ())})
    assert (report.status, report.objects) == (FAILED, 0)


def test_for_heads_that_know_no_objects_everything_is_inline(bench: Bench) -> None:
    report = bench.run(lambda params: {"a": b"x" * 100_000}, spool="")
    assert report.outputs[0].value.ref is None
    assert decode(0, report.outputs[0].value.body) == b"x" * 100_000


def test_an_input_that_is_named_twice_is_mapped_once(bench: Bench) -> None:
    array = np.arange(300_000)
    value = bench.store(array)[0]
    seen = {}

    def task(params: Any) -> Any:
        seen.update(params)
        return {"a": [bool((params[key] == array).all()) for key in params]}

    inputs = (Input("x", None, (value,)), Input("y", None, (value,)))
    report = bench.run(task, inputs, objects=1)
    assert decode(0, report.outputs[0].value.body) == [True, True]
    assert not seen["x"].flags.writeable
    assert np.shares_memory(seen["x"], seen["y"])
    seen.clear()


def test_what_did_not_arrive_is_told(bench: Bench) -> None:
    value = bench.store(b"x" * 100_000)[0]
    bench.beside.arrive(TaskFrame(5, "t", b"", None, (), (Input("x", None, (value,)),), (), True, {}, objects=1))
    descriptor, offset = bench.beside._arrived[77, 0, b""]  # type: ignore[index]  # keys are tuples
    os.close(descriptor)
    bench.beside._arrived[77, 0, b""] = (-1, offset)  # type: ignore[index]  # as above
    with pytest.raises(Exception, match=r"100,005 bytes cannot be mapped: only [\d,]+ descriptors"):
        bench.beside.body(value)


def test_a_large_file_goes_from_disk_to_disk(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "FILE_ON_DISK", 1 << 20)
    for name, size in (("large", 2 << 20), ("small", 1 << 17)):
        (tmp_path / name).write_bytes(bytes(size))
    report = bench.run(
        lambda _: {"array": np.zeros(1 << 19), "large": File(tmp_path / "large"), "small": File(tmp_path / "small")}
    )
    assert (report.status, report.objects, report.on_disk) == (OK, 3, (1,))
    for (descriptor, _), in_memory in zip(take(bench.agent, 3), (True, False, True), strict=True):
        assert is_in_memory(descriptor) is in_memory
        os.close(descriptor)
