"""Large values on one node, through real workers: written once, mapped by who needs them, let go when told."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from maze_protocol.messages import CRASHED, OK, Assignment, Disconnect, Forget, Holding, Outcome, Recall, Release
from maze_protocol.resources import Claim
from maze_protocol.values import Input, ObjectRef, Value
from support.node_head import FakeHead, fake_head
from support.node_process import NodeProcess, node, wait_for
from support.node_work import assign, assignment, code_of, outputs_of

MIB = 1 << 20
OBJECTS = {"minor": 3, "blob_endpoint": "tcp://127.0.0.1:9"}
"""What a WELCOME says of a head that knows objects; nobody asks this one for any."""


class Bench:
    """A head that knows objects, and a node, for one test after the other."""

    def __init__(self, head: FakeHead, process: NodeProcess) -> None:
        self.head = head
        self.process = process
        self._leases = count(1)

    def send(self, function: Callable[..., Any], params: dict[str, Any] | None = None, **fields: Any) -> int:
        lease = next(self._leases)
        code = code_of(function)
        self.head.send(code)
        values = {name: value for name, value in (params or {}).items() if not isinstance(value, Value)}
        made = assignment(lease, code, values, fields.pop("outputs", ("out",)), **fields)
        refs = tuple(Input(name, None, (value,)) for name, value in (params or {}).items() if isinstance(value, Value))
        fields = {name: getattr(made, name) for name in made.__struct_fields__}
        self.head.send(*assign(Assignment(**{**fields, "inputs": (*made.inputs, *refs)})))
        return lease

    def run(self, function: Callable[..., Any], params: dict[str, Any] | None = None, **fields: Any) -> Outcome:
        return self.head.wait_outcome(self.send(function, params, **fields))

    def make(self, function: Callable[..., Any], **fields: Any) -> Value:
        """Run a task that makes one object; return it as an input."""
        outcome = self.run(function, **fields)
        assert outcome.status == OK, outcome.error
        value = outcome.outputs[0].value
        assert value.ref is not None
        assert value.body == b""
        return value

    def values(self, function: Callable[..., Any], params: dict[str, Any], **fields: Any) -> dict[str, Any]:
        outcome = self.run(function, params, **fields)
        assert outcome.status == OK, outcome.error
        return outputs_of(outcome, self.head.payloads[outcome.lease])

    def in_memory(self) -> int:
        """Return how many objects the agent has as memfds."""
        return sum(name.startswith("/memfd:maze-object") for name in self.descriptors())

    def descriptors(self) -> list[str]:
        """Return what the agent has open that has no name any more."""
        folder = f"/proc/{self.process.pid}/fd"
        names = []
        for name in os.listdir(folder):
            try:
                names.append(os.readlink(f"{folder}/{name}"))
            except OSError:
                continue
        return [name for name in names if name.endswith("(deleted)")]

    def forget(self, *values: Value) -> None:
        self.head.send(Forget(tuple(value.ref.lease for value in values if value.ref is not None)))

    def rss_mib(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmRSS:")[2].split()[0]) // 1024


@pytest.fixture(scope="module")
def module_bench() -> Iterator[Bench]:
    with (
        fake_head(**OBJECTS) as head,
        node("--head", head.endpoint, "--cpus", "2", "--object-memory", "400") as process,
    ):
        head.wait_node()
        yield Bench(head, process)


@pytest.fixture
def bench(module_bench: Bench) -> Iterator[Bench]:
    yield module_bench
    every = [outcome.outputs for outcome in module_bench.head.outcomes.values()]
    module_bench.forget(*(output.value for outputs in every for output in outputs))
    module_bench.head.serve(lambda: not module_bench.in_memory())


def test_an_array_is_written_once_and_mapped_by_all_who_need_it(bench: Bench) -> None:
    def make(params):
        import numpy

        return {"out": numpy.arange(100 * 2**17, dtype="f8")}

    def use(params):
        import mmap

        array, base = params["x"], params["x"]
        while getattr(base, "base", None) is not None:
            base = base.base
        owner = base.obj if isinstance(base, memoryview) else base
        return {"sum": float(array.sum()), "writeable": array.flags.writeable, "mapped": isinstance(owner, mmap.mmap)}

    before = bench.rss_mib()
    array = bench.make(make)
    assert array.ref == ObjectRef(array.ref.lease, 0, array.size, 0)
    assert array.size > 100 * MIB
    assert bench.head.outcomes[array.ref.lease].outputs[0].type == "numpy.ndarray"
    leases = [bench.send(use, {"x": array}, outputs=("sum", "writeable", "mapped")) for _ in range(3)]
    expected = {"sum": float(sum(range(100 * 2**17))), "writeable": False, "mapped": True}
    for lease in leases:
        assert outputs_of(bench.head.wait_outcome(lease), bench.head.payloads[lease]) == expected
    assert bench.in_memory() == 1
    assert bench.rss_mib() - before < 20, "the agent never has the bytes"


def test_bytes_and_nested_values_come_as_they_were(bench: Bench) -> None:
    def make(params):
        import numpy

        return {
            "blob": bytes(range(256)) * 40_000,
            "frame": {
                "columns": ("a", "b"),
                "data": [numpy.ones((1000, 40)), numpy.arange(50_000)],
                "name": "x" * 70_000,
            },
            "small": 7,
        }

    def use(params):
        frame = params["frame"]
        return {
            "same": params["blob"] == bytes(range(256)) * 40_000,
            "of": type(params["blob"]).__name__,
            "columns": frame["columns"],
            "sums": [int(each.sum()) for each in frame["data"]],
            "small": params["small"],
        }

    outputs = bench.run(make, outputs=("blob", "frame", "small")).outputs
    assert [output.value.ref is not None for output in outputs] == [True, True, False]
    values = bench.values(use, {output.key: output.value for output in outputs}, outputs=("same",))
    assert values == {
        "same": True, "of": "bytes", "columns": ("a", "b"), "sums": [40_000, 1_249_975_000], "small": 7,
    }  # fmt: skip


def test_holes_are_filled_with_objects(bench: Bench) -> None:
    from maze._values import encode_input

    def make(params):
        import numpy

        return {"out": numpy.full(300_000, 2.0)}

    def use(params):
        mean = params["x"]["mean"]
        return {"out": [float(each.sum()) for each in mean], "same": mean[0] is mean[1]}

    array = bench.make(make)
    hole = object()
    codec, body, _ = encode_input({"mean": [hole, hole]}, lambda each: 1 if each is hole else None)
    code = code_of(use)
    bench.head.send(code)
    made = assignment(1000, code, {}, ("out",))
    fields = {name: getattr(made, name) for name in made.__struct_fields__}
    inputs = (Input("x", Value(codec, len(body), body), (array, array)),)
    bench.head.send(*assign(Assignment(**{**fields, "inputs": inputs})))
    outcome = bench.head.wait_outcome(1000)
    assert outputs_of(outcome, bench.head.payloads[1000]) == {"out": [600_000.0, 600_000.0], "same": False}


def test_what_runs_keeps_its_inputs_though_they_are_forgotten(bench: Bench, tmp_path: Path) -> None:
    def make(params):
        return {"out": b"x" * 3_000_000}

    def use(params):
        import os
        import time

        while not os.path.exists(params["gate"]):
            time.sleep(0.01)
        return {"out": len(params["x"])}

    blob = bench.make(make)
    gate = tmp_path / "gate"
    first = bench.send(use, {"x": blob, "gate": str(gate)}, grant=77)
    second = bench.send(use, {"x": blob, "gate": str(gate)}, grant=77)
    bench.head.serve(lambda: bench.process.marked())
    bench.forget(blob)
    gate.touch()
    for lease in (first, second):
        assert outputs_of(bench.head.wait_outcome(lease), bench.head.payloads[lease]) == {"out": 3_000_000}
    bench.head.serve(lambda: not bench.in_memory())


def test_who_waits_for_what_is_not_there_can_be_recalled(bench: Bench) -> None:
    missing = Value(0, 100_000, ref=ObjectRef(4711, 2, 100_000, 0))
    lease = bench.send(lambda params: {"out": 1}, {"x": missing})
    other = bench.send(lambda params: {"out": 1})
    bench.head.wait_outcome(other)
    assert bench.in_memory() == 1, "room for it"
    bench.head.send(Recall((lease,)))
    assert bench.head.wait_said(Release).leases == (lease,)
    bench.head.serve(lambda: not bench.in_memory())


def test_a_worker_that_dies_while_it_writes_leaves_nothing(bench: Bench) -> None:
    def make(params):
        import os
        import signal

        real = os.writev

        def writev(descriptor, pieces):
            real(descriptor, pieces)
            os.kill(os.getpid(), signal.SIGKILL)

        os.writev = writev
        return {"out": b"x" * 5_000_000}

    outcome = bench.run(make)
    assert outcome.status == CRASHED
    assert outcome.error is not None
    assert outcome.error.signal == signal.SIGKILL.name
    assert not bench.in_memory()


def test_mapped_inputs_and_written_outputs_are_not_charged(bench: Bench) -> None:
    def array(params):
        import numpy

        return {"out": numpy.ones(150 * 2**20, "u1")}

    def sums(params):
        import time

        total = int(params["x"].sum(dtype="u8"))
        time.sleep(0.7)  # a reading of its memory or two
        return {"out": total}

    made = bench.make(array, claim=Claim(10, 100))
    assert bench.values(sums, {"x": made}, claim=Claim(10, 10)) == {"out": 150 * 2**20}


def test_a_new_session_hears_of_everything_that_is_here() -> None:
    with fake_head(**OBJECTS) as head, node("--head", head.endpoint, "--cpus", "1") as process:
        head.wait_node()
        bench = Bench(head, process)
        one, two = (bench.make(lambda params: {"out": b"x" * 100_000}) for _ in range(2))
        first = head.wait_said(Holding)
        assert (first.objects, first.whole) == ((), True)
        head.said.clear()
        head.refuse(Disconnect("lost"))
        head.wait_node()
        told = head.wait_said(Holding)
        assert (told.objects, told.whole) == (((one.ref.lease, 0), (two.ref.lease, 0)), True)


def test_beyond_the_budget_objects_are_on_disk(tmp_path: Path) -> None:
    flags = ("--cpus", "2", "--object-memory", "4", "--spool-dir", str(tmp_path))
    with fake_head(**OBJECTS) as head, node("--head", head.endpoint, *flags) as process:
        head.wait_node()
        bench = Bench(head, process)

        def make(params):
            return {"out": bytes([params["x"]]) * params["size"]}

        def use(params):
            return {"out": [(params[key][0], len(params[key])) for key in sorted(params)]}

        sizes = [3_000_000, 3_000_000, 200_000, 200_000, 9_000_000]
        made = []
        for number, size in enumerate(sizes):
            outcome = bench.run(make, {"x": number, "size": size})
            made.append(outcome.outputs[0].value)

        head.serve(lambda: bench.in_memory() <= 3)
        assert sum(str(tmp_path) in name for name in bench.descriptors()) >= 2
        inputs = {f"k{number}": value for number, value in enumerate(made)}
        assert bench.values(use, inputs) == {"out": list(enumerate(sizes))}
        assert list(tmp_path.iterdir()) == []
        bench.forget(*made)
        head.serve(lambda: not bench.in_memory())
        head.serve(lambda: not any(str(tmp_path) in name for name in bench.descriptors()))
        process.process.send_signal(signal.SIGTERM)
        head.serve(lambda: process.process.poll() is not None)
        wait_for(lambda: not process.marked())
