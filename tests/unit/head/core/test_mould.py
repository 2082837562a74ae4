"""What tasks that differ in their ids, names and inputs have in common."""

from __future__ import annotations

import pickle
from typing import Any

import msgspec
import pytest

from maze_head.core.graph import MOST_MOULDS, Graph, Outline, assemble
from maze_head.core.mould import Mould
from maze_head.core.tasks import ENCODED, InputSpec, TaskSpec, pack
from maze_protocol.messages import OutputDecl
from maze_protocol.resources import Request

GIVEN = InputSpec("x", ENCODED, 1, b"body"), InputSpec("y", ENCODED, 0, b"")
MODEL = TaskSpec(b"m" * 16, "model", Request(gpu_milli=1), (3, 11), b"c" * 16, outputs=(OutputDecl("y"),), retries=3)


def like(number: int, **changes: Any) -> TaskSpec:
    return msgspec.structs.replace(MODEL, task_id=number.to_bytes(16, "big"), **changes)


def graph(*specs: TaskSpec) -> Graph:
    outline = Outline()
    for spec in specs:
        outline.add(spec)
    return assemble(Graph(b"w" * 16, 1, "", [pack(spec) for spec in specs]), outline, [s.task_id for s in specs], {})


def test_it_packs_as_each_task_is_packed() -> None:
    given = GIVEN, ()
    ids, names = [b"a" * 16, b"b" * 16], ["", "a name of its own \u00e4"]
    full = [
        msgspec.structs.replace(MODEL, task_id=task_id, name=name or "model", inputs=inputs)
        for task_id, name, inputs in zip(ids, names, given, strict=True)
    ]
    assert Mould(MODEL).pack(ids, names, given) == [pack(spec) for spec in full]


@pytest.mark.parametrize("inputs", [(), GIVEN, GIVEN[:1], (InputSpec("z", 1, refs=((b"s" * 16, "y"),)),)])
def test_it_unpacks_what_differs_in_id_and_inputs_only(inputs: tuple[InputSpec, ...]) -> None:
    spec = like(1, inputs=inputs)
    assert Mould(MODEL).unpack(spec.task_id, pack(spec)) == spec
    assert Mould(like(2, inputs=GIVEN)).unpack(spec.task_id, pack(spec)) == spec


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"}, {"name": "mode"}, {"name": "models"}, {"code": b"d" * 16}, {"outputs": ()}, {"retries": 2},
        {"request": Request(gpu_milli=2)}, {"sandbox": True}, {"func_name": "f"},
    ],
)  # fmt: skip
def test_it_unpacks_no_other_task(changes: dict[str, Any]) -> None:
    spec = like(1, inputs=GIVEN, **changes)
    assert Mould(MODEL).unpack(spec.task_id, pack(spec)) is None


def test_a_task_that_only_ends_alike_is_another_one() -> None:
    # The last byte of "\u0451" is the one with which an array of one begins.
    spec = like(1, outputs=(OutputDecl("x", "\u0451"), *MODEL.outputs))
    packed, behind = pack(spec), pack(MODEL)[len(pack(MODEL)) - 20 :]
    assert packed.endswith(b"\x91" + pack(MODEL).partition(b"c" * 16 + b"\x90\x91")[2]), "the case is made up wrongly"
    assert packed.endswith(behind)
    assert Mould(MODEL).unpack(spec.task_id, packed) is None


def test_it_keeps_no_inputs() -> None:
    large = like(1, inputs=(InputSpec("x", ENCODED, 1, bytes(100_000)),))
    mould = Mould(large)
    assert len(pickle.dumps([getattr(mould, name) for name in Mould.__slots__])) < 2_000
    assert mould.unpack(large.task_id, pack(large)) == large


def test_it_knows_the_tasks_that_have_its_name() -> None:
    mould = Mould(MODEL)
    assert mould.name == "model"
    assert mould.gave_name(pack(like(1, retries=7)))
    assert not mould.gave_name(pack(like(1, name="mode")))
    assert not mould.gave_name(pack(like(1, name="models")))


def test_a_graph_tells_the_same_of_a_task_whenever_it_is_asked() -> None:
    specs = [like(n, inputs=GIVEN, **({"name": f"t{n}"} if n % 3 else {}), retries=n % 2) for n in range(12)]
    specs += [like(n, code=b"%016d" % n) for n in range(12, 16)]
    asked = graph(*specs)
    for _ in range(3):
        assert [asked.spec(task) for task in range(len(specs))] == specs
        assert [asked.task_name(task) for task in range(len(specs))] == [spec.name for spec in specs]


def test_a_graph_of_very_many_functions_has_few_moulds() -> None:
    specs = [like(n, code=b"%016d" % (n // 2)) for n in range(4 * MOST_MOULDS)]
    asked = graph(*specs)
    assert [asked.spec(task) for task in range(len(specs))] == specs
    assert len(asked._moulds) == MOST_MOULDS
