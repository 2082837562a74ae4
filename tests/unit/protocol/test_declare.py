"""maze_protocol.declare: the rules of the API reference and the decisions it leaves open."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maze_protocol.declare import MAX_AMOUNT, check_name, check_priority, check_project, normalise_resources

DEFAULTS = {"cpu": 1, "cpu_mem": 0, "gpu": 0, "gpu_mem": 0}


def test_nothing_declared_is_one_cpu() -> None:
    declared = normalise_resources(None)
    assert declared.shown == DEFAULTS
    assert declared[1:] == (1000, 0, 0, 0, False)


@pytest.mark.parametrize(
    ("given", "shown", "units"),
    [
        ({"cpu": 2}, {"cpu": 2}, (2000, 0, 0, 0, False)),
        ({"cpu": 0}, {"cpu": 1}, (1000, 0, 0, 0, False)),
        ({"cpu": -3}, {"cpu": 1}, (1000, 0, 0, 0, False)),
        ({"cpu": 0.25}, {"cpu": 0.25}, (250, 0, 0, 0, False)),
        ({"cpu": 0.0001}, {"cpu": 0.0001}, (1, 0, 0, 0, False)),
        ({"cpu_mem": 512.9}, {"cpu_mem": 512}, (1000, 512, 0, 0, False)),
        ({"gpu": 1}, {"gpu": 1}, (1000, 0, 1000, 0, False)),
        ({"gpu": 2}, {"gpu": 2}, (1000, 0, 2000, 0, False)),
        ({"gpu": 2.0}, {"gpu": 2.0}, (1000, 0, 2000, 0, False)),
        ({"gpu": 0.5}, {"gpu": 0.5}, (1000, 0, 500, 0, True)),
        ({"gpu": 0.0001}, {"gpu": 0.0001}, (1000, 0, 1, 0, True)),
        ({"gpu_mem": 1024}, {"gpu": 1, "gpu_mem": 1024}, (1000, 0, 0, 1024, True)),
        ({"gpu_mem": 1024, "gpu": 0.5}, {"gpu": 0.5, "gpu_mem": 1024}, (1000, 0, 500, 1024, True)),
        ({"gpu_mem": 1024, "gpu": 1}, {"gpu": 1, "gpu_mem": 1024}, (1000, 0, 1000, 1024, False)),
    ],
)
def test_amounts_are_filled_in_and_converted(given: dict, shown: dict, units: tuple) -> None:
    declared = normalise_resources(given)
    assert declared.shown == DEFAULTS | shown
    assert declared[1:] == units


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"ram": 1}, "unknown resource 'ram'"),
        ({"cpu_mem": -1}, "negative"),
        ({"gpu": -1}, "negative"),
        ({"gpu_mem": -1}, "negative"),
        ({"gpu": 1.5}, "whole number"),
        ({"cpu": math.nan}, "out of range"),
        ({"cpu": math.inf}, "out of range"),
        ({"cpu": -math.inf}, "out of range"),
        ({"cpu_mem": MAX_AMOUNT * 2}, "out of range"),
    ],
)
def test_impossible_amounts_are_refused_by_name(given: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        normalise_resources(given)


@pytest.mark.parametrize("given", [{"cpu": True}, {"cpu": "2"}, {"gpu": None}, [("cpu", 1)], "cpu"])
def test_wrong_types_are_refused(given: object) -> None:
    with pytest.raises(TypeError):
        normalise_resources(given)  # type: ignore[arg-type]


@given(st.dictionaries(st.sampled_from(list(DEFAULTS)), st.one_of(st.integers(), st.floats())))
def test_any_numbers_are_normalised_or_refused(given: dict) -> None:
    try:
        declared = normalise_resources(given)
    except ValueError:
        return
    assert all(isinstance(unit, int) and unit >= 0 for unit in declared[1:])
    assert declared.cpu_milli >= 1
    again = normalise_resources(declared.shown)
    assert again.cpu_milli == declared.cpu_milli
    assert again.shown == declared.shown


def test_a_name_is_printable_and_short() -> None:
    assert check_name("träume 1", "task name") == "träume 1"
    for bad in ("", "x" * 257, "a\nb", "\x1b[31m"):
        with pytest.raises(ValueError, match="task name"):
            check_name(bad, "task name")


@pytest.mark.parametrize("priority", [-100, 0, 100])
def test_priorities_in_range_pass(priority: int) -> None:
    assert check_priority(priority) == priority


@pytest.mark.parametrize("priority", [-101, 101, 10**9])
def test_priorities_out_of_range_are_told(priority: int) -> None:
    with pytest.raises(ValueError, match=f"priority = {priority}: allowed are -100 to 100"):
        check_priority(priority)


@pytest.mark.parametrize("project", ["", "vision", "Größe", "p" * 256])
def test_names_of_projects_pass(project: str) -> None:
    assert check_project(project) == project


@pytest.mark.parametrize("project", ["p" * 257, "a\nb"])
def test_what_is_no_name_of_a_project_is_told(project: str) -> None:
    with pytest.raises(ValueError, match="the name of a project"):
        check_project(project)
