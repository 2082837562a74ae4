"""The road through one node: connect, run, report."""

from __future__ import annotations

from support.node_head import fake_head
from support.node_process import node
from support.node_work import assign, assignment, code_of, outputs_of


def test_a_node_joins_and_runs_a_task() -> None:
    def double(params):
        print("hello from the task")
        return {"out": params["x"] * 2}

    with fake_head() as head, node("--head", head.endpoint, "--name", "n1", "--cpus", "2") as process:
        hello = head.wait_node()
        ready = process.wait_ready()
        assert ready["node_id"] == hello.node_id == "n1"
        code = code_of(double)
        head.send(code)
        head.send(*assign(assignment(1, code, {"x": 21})))
        outcome = head.wait_outcome(1)
        assert (outcome.status, outputs_of(outcome), outcome.error) == (0, {"out": 42}, None)
        assert outcome.stdout_tail == b"hello from the task\n"
        process.process.terminate()
        head.serve(lambda: process.process.poll() is not None)
        assert process.process.returncode == 0, process.stderr()
        process.wait_gone()
