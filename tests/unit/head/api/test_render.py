"""What readers see of events and values, in both formats."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maze_head.api.render import JSON, PACKED, GraphNames, plain, render, seed_value, value_json
from maze_protocol.events import (
    TYPE_NAMES,
    AttemptLost,
    RunCancelled,
    RunFinished,
    TaskFailed,
    TaskFinished,
    TaskLeased,
    TaskReused,
    TaskSkipped,
    TaskStarted,
)
from maze_protocol.messages import ErrorInfo
from maze_protocol.resources import Claim, DeviceClaim
from maze_protocol.values import MSGPACK, PICKLE, ObjectRef, OutputValue, Value
from support.api_double import RUN_TEXT, WORKFLOW_TEXT, graph_of

NAMES = GraphNames(RUN_TEXT, WORKFLOW_TEXT, graph_of(["one", "two"]))
TASK_0 = "task_" + "00" * 16
TASK_1 = "task_" + "01" * 16


def packed(content: object) -> Value:
    body = msgspec.msgpack.encode(content)
    return Value(MSGPACK, len(body), body)


def data_of(event: Any, outputs: Any = None, fmt: str = JSON) -> dict[str, Any]:
    kind, rendered = render(event, NAMES, outputs or {}, fmt)
    data = msgspec.to_builtins(rendered, builtin_types=(bytes,))
    assert kind == TYPE_NAMES[type(event)]
    assert (data["workflow_id"], data["run_id"]) == (WORKFLOW_TEXT, RUN_TEXT)
    return data


def test_start_task_has_the_keys_of_the_reference_and_more() -> None:
    data = data_of(TaskStarted(1, 2, 77, "node-a", "10.0.0.7", 5.0))
    assert data["task_id"] == TASK_1
    assert (data["task_name"], data["attempt"], data["node_ip"], data["node_id"]) == ("two", 2, "10.0.0.7", "node-a")


def test_a_finished_task_that_runs_once_more_starts_under_another_name() -> None:
    kind, _ = render(TaskStarted(0, 2, 8, "n1", "10.0.0.1", 5.0, rebuild=True), NAMES, {}, JSON)
    assert kind == "rebuild_started"


def test_finish_task_renders_values_per_format() -> None:
    outputs = {0: (OutputValue("y", packed([1])), OutputValue("z", Value(PICKLE, 3, b"abc")))}
    event = TaskFinished(0, 1, 77, (), 5.0)
    assert data_of(event, outputs)["result"] == {"y": [1], "z": {"__pickle__": {"size": 3}}}
    assert data_of(event, outputs, PACKED)["result"] == {"y": [0, b"\x91\x01"], "z": [1, b"abc"]}


def test_an_object_is_told_by_what_it_is_and_where_it_is_fetched() -> None:
    outputs = {0: (OutputValue("a/b", Value(PICKLE, 70_000, ref=ObjectRef(77, 0, 70_000, 0)), "numpy.ndarray"),)}
    event = TaskFinished(0, 1, 77, (), 5.0)
    where = f"/api/v1/runs/{RUN_TEXT}/tasks/{TASK_0}/outputs/a%2Fb"
    told = {"size": 70_000, "type": "numpy.ndarray", "codec": PICKLE, "href": where}
    assert data_of(event, outputs)["result"] == {"a/b": {"__object__": told}}
    assert data_of(event, outputs, PACKED)["result"] == {"a/b": [PICKLE, None, 70_000, "numpy.ndarray"]}
    assert data_of(TaskReused(0, ()), outputs, PACKED)["result"] == {"a/b": [PICKLE, None, 70_000, "numpy.ndarray"]}


def test_task_exception_says_why() -> None:
    error = ErrorInfo("user", "ValueError", "bad thing", "Traceback (most recent call last):\nValueError: bad thing")
    data = data_of(TaskFailed(0, 1, 77, error, 5.0))
    assert data["result"].splitlines()[-1] == "ValueError: bad thing"
    assert (data["error_type"], data["error_message"], data["kind"]) == ("ValueError", "bad thing", "user")
    assert "signal" not in data


def test_a_crash_tells_signal_and_stderr() -> None:
    error = ErrorInfo("crash", "WorkerCrashed", "SIGKILL (out of memory)", "", "SIGKILL", -9, "last words")
    data = data_of(AttemptLost(0, 1, 77, error))
    assert data["result"] == "The end of its stderr:\n  last words\nWorkerCrashed: SIGKILL (out of memory)"
    assert (data["signal"], data["exit_code"], data["stderr_tail"]) == ("SIGKILL", -9, "last words")


def test_a_lost_attempt_tells_when_the_next_may_begin_and_how_many_there_are() -> None:
    error = ErrorInfo("user", "ValueError", "bad thing", oom=True)
    data = data_of(AttemptLost(0, 1, 77, error, 60.0))
    assert (data["not_before"], data["retries"], data["oom"]) == (60.0, 0, True)
    assert "not_before" not in data_of(TaskFailed(0, 1, 77, error))


def test_a_lack_of_memory_tells_how_much_there_was_and_what_the_next_attempt_claims() -> None:
    error = ErrorInfo("memory", "MemoryExceeded", "took 900 MiB", peak_mib=900)
    data = data_of(AttemptLost(0, 1, 77, error, mem_mib=1350))
    assert (data["kind"], data["peak_mib"], data["next_cpu_mem"]) == ("memory", 900, 1350)
    assert "peak_mib" not in data_of(AttemptLost(0, 1, 77, ErrorInfo("user", "ValueError", "bad thing")))


def test_lease_shows_the_claim() -> None:
    claim = Claim(1500, 256, (DeviceClaim(1, 500, 4096),))
    assert data_of(TaskLeased(0, 1, 77, "n", claim))["claim"] == {
        "cpu": 1.5,
        "cpu_mem": 256,
        "gpus": [{"index": 1, "share": 0.5, "mem": 4096}],
    }


def test_skipped_names_its_cause() -> None:
    assert data_of(TaskSkipped(1, 0))["because"] == TASK_0
    assert data_of(TaskSkipped(1, -1))["because"] == ""


def test_ends_count() -> None:
    assert data_of(RunFinished(1, 2, 3))["skipped"] == 3
    assert data_of(RunCancelled(1, 2, 3))["cancelled"] == 3


def test_json_rendering_of_what_json_lacks() -> None:
    content = {"b": b"\x00\xff", "n": math.nan, "i": [math.inf, -math.inf], "ok": [None, True, 1, 2.5, "é"]}
    assert value_json(packed(content)) == {
        "b": {"__bytes__": "AP8="},
        "n": {"__float__": "nan"},
        "i": [{"__float__": "inf"}, {"__float__": "-inf"}],
        "ok": [None, True, 1, 2.5, "é"],
    }


def test_the_original_gets_its_floats_bare() -> None:
    assert math.isnan(seed_value(packed({"n": math.nan}))["n"])


@pytest.mark.parametrize(
    "body",
    [b"", b"\xc1", b"\x81\x01\x02", b"\xd4\x05x", b"\xa1\xff", b"\x91" * 100_000 + b"\x00", b"\x91" * 101 + b"\x00"],
)
def test_a_value_that_cannot_be_rendered_hides_nothing_else(body: bytes) -> None:
    assert value_json(Value(MSGPACK, len(body), body)) == {"__undecodable__": {"size": len(body)}}


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=20,
)  # fmt: skip


@given(PLAIN)
def test_json_values_come_out_as_they_went_in(content: object) -> None:
    assert msgspec.json.decode(msgspec.json.encode(plain(content))) == content
