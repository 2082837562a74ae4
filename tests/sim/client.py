"""Clients: they make workflows, run and cancel them, and repeat every request until it is answered.

A repeated request carries the same id, so however often it comes it must be done once and answered alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from maze_head.core import events as ev
from maze_head.core.errors import Unavailable
from maze_head.core.graph import load_graph
from maze_protocol.http import EditRequest, RunRequest, WorkflowRequest
from maze_protocol.ids import WORKFLOW, format_id
from sim.shapes import LIMIT
from support.head_core import CODE_BODY, add, raw, tid

PATIENCE = 3.0
IN_A_CHAIN = 0.8
SHOWN = 3
"""How often a workflow is shown after each run of it, where heads put workflows away."""


class Request:
    """One operation, sent until it is answered."""

    def __init__(self, world: Any, make: Callable[[int], Any], answered: Callable[[Any], None]) -> None:
        self._world = world
        self._make = make
        self._answered = answered
        self.done = False
        self._tries = 0
        self.send()

    def send(self) -> None:
        """Try (again)."""
        if self.done:
            return
        world = self._world
        self._tries += 1
        head = world.head
        if head is not None and head.process.alive:
            world.clock.later(0.001, head.process, head.ask, self._make, self._reply)
        world.clock.later(PATIENCE if head is not None else 0.5, None, self.send)

    def _reply(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled() or self.done:
            return
        error = task.exception()
        if isinstance(error, Unavailable):
            return
        if error is not None and self._world.amnesia:
            self.done = True  # what it builds on went with the power
            return
        if error is not None:
            raise AssertionError(f"a request was refused: {error!r}") from error
        if not self._world.calm and self._world.random.random() < self._world.knobs.repeat:
            return  # the connection broke; the client asks again
        self.done = True
        self._answered(task.result())


class Client:
    """Everything that users of this world want."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._random = world.random
        self.requests: list[Request] = []
        self._authored: dict[bytes, list[Any]] = {}
        self._runs = 0
        for number in range(1, world.knobs.workflows + 1):
            world.clock.at(self._random.random() * 2.0, None, self._create, number)
        if world.knobs.shapes:
            self._ask(lambda ticket: ev.SetLimit(ticket, LIMIT, world.shapes.limit), lambda _: None)

    @property
    def done(self) -> bool:
        """Tell whether everything was answered."""
        return all(request.done for request in self.requests)

    def _ask(self, make: Callable[[int], Any], answered: Callable[[Any], None]) -> None:
        self.requests.append(Request(self._world, make, answered))

    def _create(self, number: int) -> None:
        workflow_id = raw(1000 + number)

        def created(_: Any) -> None:
            self._world.watch.acked("workflow", workflow_id)
            self._edit(number, workflow_id)

        self._ask(lambda ticket: ev.CreateWorkflow(ticket, workflow_id, WorkflowRequest(name=f"w{number}")), created)

    def _edit(self, number: int, workflow_id: bytes) -> None:
        ops = self._authored[workflow_id] = self._operations(number)
        cut = self._random.randint(1, len(ops))
        parts = [part for part in (ops[:cut], ops[cut:]) if part]

        def send(index: int) -> None:
            request = EditRequest(parts[index], [CODE_BODY], edit_id=f"e{index}")

            def edited(_: Any) -> None:
                self._world.watch.acked("edit", (workflow_id, f"e{index}"))
                if index + 1 < len(parts):
                    send(index + 1)
                else:
                    self._submit(workflow_id)

            self._ask(lambda ticket: ev.EditWorkflow(ticket, workflow_id, request), edited)

        send(0)

    def _operations(self, workflow: int) -> list[Any]:
        random, ops = self._random, []
        for number in range(random.randint(1, self._world.knobs.tasks)):
            sources = sorted(random.sample(range(number), min(number, random.choice((0, 1, 1, 2)))))
            if self._world.knobs.chains:
                sources = [number - 1] if number and random.random() < IN_A_CHAIN else sources
            resources = {"cpu": random.randint(1, self._world.knobs.cpus)}
            name = f"w{workflow}t{number}"
            asked = self._world.shapes.task(resources, sources)
            follow = {"same_node_as": tid(asked.pop("follow"))} if "follow" in asked else {}
            ops.append(add(number, *sources, name=name, **asked, **follow, **self._policy(name)))
        return ops

    def _policy(self, name: str) -> dict[str, Any]:
        """Draw how often and for how long a task is tried."""
        policy: dict[str, Any] = {"timeout": 1.5} if self._world.plan(name).hangs else {}
        if self._random.random() < self._world.knobs.once:
            return {**policy, "at_most_once": True}
        retries = self._random.choice((0, 0, 1, 3))
        return {**policy, "retries": retries, "retry_backoff": self._random.choice((0.0, 0.5, 4.0))}

    def _submit(self, workflow_id: bytes) -> None:
        self._runs += 1
        random, run_id = self._random, raw(2000 + self._runs)
        fail_fast = random.random() < self._world.knobs.fail_fast
        request = RunRequest(format_id(workflow_id, WORKFLOW), fail_fast=fail_fast, **self._world.shapes.run())

        def submitted(_: Any) -> None:
            self._world.watch.acked("run", run_id)
            if random.random() < self._world.knobs.cancel:
                self._world.clock.later(random.random() * 4.0, None, self._cancel, run_id)
            if self._runs < 2 * self._world.knobs.workflows and not self._world.calm:
                self._world.clock.later(random.random() * 6.0, None, self._submit, workflow_id)
            self._world.clock.later(random.random() * 3.0, None, self._look, run_id)
            if self._world.knobs.at_hand == 0:
                for _ in range(SHOWN):
                    self._world.clock.later(random.random() * 8.0, None, self._show, workflow_id)
            if random.random() < self._world.knobs.retry:
                self._world.clock.later(random.random() * 10.0, None, self._retry, run_id)

        self._ask(lambda ticket: ev.SubmitRun(ticket, run_id, request), submitted)

    def _cancel(self, run_id: bytes) -> None:
        self._ask(lambda ticket: ev.CancelRun(ticket, run_id), lambda _: self._world.watch.acked("cancel", run_id))

    def _retry(self, earlier_id: bytes) -> None:
        """Run again what is over, with its results, as the API does it: it reads the journal and asks the core."""
        history = self._world.watch.history
        number = history.numbers.get(earlier_id)
        if number is None or history.runs[number].sealed is None or self._world.amnesia:
            return
        self._runs += 1
        run, run_id, reused = history.runs[number], raw(2000 + self._runs), history.results_of(number)
        if len(reused) == len(run.tasks):
            reused = reused[: len(reused) // 2] if self._random.random() < 0.5 else ()
        made = history.made_in(number)
        key = run.submitted.workflow_id, run.submitted.version

        def retry(ticket: int) -> ev.RetryRun:
            # Read for each request, as the API does: a core counts the runs of a graph that it was given.
            graph = load_graph(*key, history.bodies[key])
            return ev.RetryRun(ticket, run_id, run.submitted, run.last_seq, graph, reused, made=made)

        self._ask(retry, lambda _: self._world.watch.acked("run", run_id))

    def _show(self, workflow_id: bytes) -> None:
        """See that a workflow is what its author made of it, whether or not it was put away meanwhile."""
        ops = self._authored[workflow_id]
        tasks = [op.task.task_id for op in ops]
        edges = {(each.source.split(".")[0], op.task.task_id) for op in ops for each in op.task.inputs.values()}

        def shown(snapshot: Any) -> None:
            if self._world.forgetful:
                return  # the power went after it was asked
            body = snapshot.body()
            assert [task.task_id for task in body.tasks] == tasks, f"other tasks than were authored: {body}"
            assert edges <= set(body.edges), f"fewer edges than were authored: {body}"

        if not self._world.forgetful:  # else the workflow may be gone with the power
            self._ask(lambda ticket: ev.DescribeWorkflow(ticket, workflow_id), shown)

    def _look(self, run_id: bytes) -> None:
        def seen(body: Any) -> None:
            self._world.watch.read(run_id, body.last_seq)

        if self._world.amnesia:
            return  # the run may be gone with the power
        self._ask(lambda ticket: ev.DescribeRun(ticket, run_id), seen)
