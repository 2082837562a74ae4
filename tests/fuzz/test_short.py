"""The fuzzers in their short form: some seconds against a real head and node that work meanwhile.

`tox -e fuzz` runs them for half an hour; the latency of the work is judged there, and only told here.
"""

from __future__ import annotations

import time
from importlib.util import find_spec
from random import Random

import pytest

from fuzz.decoders import PROPERTIES, atheris, hypothesis
from fuzz.rubbish import Rubbish
from fuzz.run import fuzz, problems

SECONDS = 4.0


@pytest.mark.parametrize("curve", [False, True], ids=["plain", "curve"])
def test_rubbish_on_every_port_harms_nobody(*, curve: bool) -> None:
    report = fuzz(SECONDS, 7, ["sockets"], curve=curve)
    assert report["problems"] == [], report
    assert report["work"]["runs"] > 0
    assert {"400", "401"} <= set(report["sockets"]["statuses"])
    assert report["sockets"]["crowd"] > 500


@pytest.mark.skipif(find_spec("schemathesis") is None, reason="needs the extra `fuzz`")
def test_what_the_description_allows_is_answered() -> None:
    report = fuzz(SECONDS, 7, ["described", "stranger"])
    assert report["problems"] == [], report


def test_properties_hold_for_other_seeds() -> None:
    result = hypothesis(7, time.monotonic() + 1.0)
    assert result["findings"] == []
    assert result["rounds"] >= 1
    assert len(PROPERTIES) > 10


@pytest.mark.skipif(
    find_spec("atheris") is None, reason="needs the extra `fuzz`, and a Python that atheris has wheels for"
)
def test_the_decoders_hold_for_libfuzzer() -> None:
    assert atheris(2)["findings"] == []


def test_a_seed_repeats_what_is_sent() -> None:
    first, second = Rubbish(5, "Bearer x"), Rubbish(5, "Bearer x")
    assert [first.request() for _ in range(50)] == [second.request() for _ in range(50)]
    assert first.random.random() == second.random.random() != Random(6).random()


def test_what_must_not_be_is_noticed() -> None:
    head = {"alive": True, "nodes_ready": 1, "nodes": 1, "bad_lines": []}
    fine = {"work": {"runs": 3, "wrong_total": 0}, "heads": [head], "memory_mib": {"head": {"growth": 1.0}}}
    assert problems(fine) == []
    for change in (
        {"work": {"runs": 3, "wrong_total": 1}},
        {"work": {"runs": 0}},
        {"sockets": {"findings_total": 2}},
        {"atheris": {"failed": "atheris ended with 1"}},
        {"heads": [head | {"alive": False}]},
        {"heads": [head | {"nodes_ready": 0}]},
        {"heads": [head | {"bad_lines": ["Traceback"]}]},
        {"memory_mib": {"node": {"growth": 500.0}}},
    ):
        assert len(problems({**fine, **change})) == 1, change
