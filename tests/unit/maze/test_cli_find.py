"""Runs, tasks and nodes by prefix and name."""

from __future__ import annotations

import click
import pytest

from maze.cli._api import ApiError
from maze.cli._find import find_node, find_run, find_task, list_runs, short

RUNS = [{"run_id": f"run_{digits:0<32}"} for digits in ("aa1", "aa2", "b")]
TASKS = [
    {"task_id": f"task_{'1':0<32}", "name": "load"},
    {"task_id": f"task_{'12':0<32}", "name": "train"},
    {"task_id": f"task_{'3':0<32}", "name": "train"},
    {"task_id": f"task_{'4':0<32}", "name": "1"},
]
NODES = ("gpu", "gpu-1", "cpu-1", "cpu-2")


class FakeHead:
    """Answers with RUNS, two to a page."""

    def get(self, path, **query):
        if path == "/nodes":
            return {"nodes": [{"node_id": name} for name in NODES]}
        if path == "/runs":
            start = int(query["before"] or 0)
            more = start + 2 < len(RUNS)
            return {"runs": RUNS[start : start + 2], "next": str(start + 2) if more else ""}
        for run in RUNS:
            if path == f"/runs/{run['run_id']}":
                return run
        raise ApiError(404 if path.startswith("/runs/run_") else 500, "", "no")


def test_all_pages_are_read():
    assert list(list_runs(FakeHead())) == RUNS


@pytest.mark.parametrize("name", ["b", "run_b", "run_b0000", f"run_{'b':0<32}", f"{'b':0<32}"])
def test_a_run_by_any_unique_beginning(name):
    assert find_run(FakeHead(), name) == RUNS[2]


@pytest.mark.parametrize("name", ["aa", "run_aa", "", "run_"])
def test_an_ambiguous_run_lists_the_candidates(name):
    with pytest.raises(click.UsageError, match=r"ambiguous: run_aa1.*, run_aa2"):
        find_run(FakeHead(), name)


@pytest.mark.parametrize("name", ["c", "run_c", f"{'c':0<32}"])
def test_an_unknown_run(name):
    with pytest.raises(click.UsageError, match="maze ps --all"):
        find_run(FakeHead(), name)


def test_other_refusals_are_not_taken_for_unknown_runs():
    class Broken:
        def get(self, path, **query):
            raise ApiError(503, "", "stopping")

    with pytest.raises(ApiError, match="stopping"):
        find_run(Broken(), "f" * 32)


@pytest.mark.parametrize(
    ("name", "index"), [("load", 0), ("task_12", 1), ("12", 1), ("3", 2), ("1", 3), (f"task_{'1':0<32}", 0)]
)
def test_a_task_by_name_or_beginning(name, index):
    assert find_task(TASKS, name) == TASKS[index]


def test_a_name_that_several_tasks_have():
    with pytest.raises(click.UsageError, match=r"'train' is ambiguous: task_12.*, task_3"):
        find_task(TASKS, "train")


def test_an_unknown_task_lists_those_there_are():
    with pytest.raises(click.UsageError, match="no task 'x'; it has: load, train, 1"):
        find_task(TASKS, "x")


def test_short_ids():
    assert short(f"run_{'ab':0<32}") == "run_ab000000"


def test_a_node_by_its_name_or_the_beginning_of_it():
    assert find_node(FakeHead(), "gpu")["node_id"] == "gpu"
    assert find_node(FakeHead(), "gpu-")["node_id"] == "gpu-1"
    with pytest.raises(click.UsageError, match="ambiguous: cpu-1, cpu-2"):
        find_node(FakeHead(), "cpu")
    with pytest.raises(click.UsageError, match="no node 'x'; `maze nodes` lists all of them"):
        find_node(FakeHead(), "x")
