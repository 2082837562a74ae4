"""What the SDK asks of a head and makes of the answers; the connection is a fake."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from maze import _remote
from maze._decorator import task
from maze._draft import Batch
from maze._graph import AddEdge, AddTask, DelTask, InputSpec, Literal
from maze._run_options import RunOptions
from maze._shared import WorkflowState, discard_edits, unsent
from maze.errors import (
    ConflictError,
    CycleError,
    EmptyWorkflowError,
    ForeignTaskError,
    GraphError,
    HeadUnavailableError,
    InvalidTaskError,
    RequestError,
    UnknownRunError,
    UnknownTaskError,
    UnknownWorkflowError,
)
from maze_protocol import cluster, http
from maze_protocol.waiting import NamedTask, RunExplanation, WaitingGroup
from support.drafts import task_of, vertex
from support.fake_head import FakeConnection, refused, workflow_body

A, B = http.TaskBody("a", "a", "f", "hash", {}, ["y"]), http.TaskBody("b", "b", "f", "hash", {}, ["y"])


@pytest.fixture
def state() -> WorkflowState:
    made = WorkflowState("http://127.0.0.1:9", "w")
    made.draft.load((), (), 0)
    yield made  # type: ignore[misc]  # a generator fixture
    discard_edits(made.url)


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeConnection]:
    def install(**answers: Any) -> FakeConnection:
        made = FakeConnection(**answers)
        monkeypatch.setattr(_remote, "connection", lambda url: made)
        return made

    return install


def accept(body: http.EditRequest) -> http.EditResponse:
    assert body.base_revision is not None
    return http.EditResponse("w", body.base_revision + 1)


def script(*answers: Any) -> Callable[[Any], Any]:
    """Answer one after the other."""
    queue = list(answers)

    def answer(body: Any) -> Any:
        step = queue.pop(0)
        return step(body) if callable(step) else step

    return answer


def run_body(**changes: Any) -> http.RunBody:
    told = {"run_id": "r", "workflow_id": "w", "revision": 1, "status": "running", "tasks": 1, "finished": 0}
    told |= {"failed": 0, "skipped": 0, "running": 0, "submitted_at": 0.0, "ended_at": None, "last_seq": 1}
    return http.RunBody(**{**told, "sealed": False, **changes})


def test_many_edits_are_few_requests(state: WorkflowState, head: Callable[..., FakeConnection]) -> None:
    connection = head(post_edits=accept)
    for number in range(10_000):
        state.record(AddTask(vertex(f"t{number}")))
    asyncio.run(_remote.flush(state))
    assert {where for _, where, _ in connection.asked} == {"/api/v1/workflows/w/edits"}
    sent = [(len(body.ops), body.base_revision) for _, _, body in connection.asked]
    assert sent == [(_remote.PART_OPS, revision) for revision in range(10)]
    assert (state.draft.dirty, state.draft.revision, unsent()) == (False, 10, [])


class SlowConnection(FakeConnection):
    """Answers after some steps of the loop."""

    async def request(self, method: str, where: str, reply: Any, body: Any = None, **query: str) -> Any:
        for _ in range(20):
            await asyncio.sleep(0)
        return await super().request(method, where, reply, body, **query)


def test_the_next_part_is_written_while_the_head_takes_in_the_last(
    state: WorkflowState, monkeypatch: pytest.MonkeyPatch
) -> None:
    story: list[str] = []
    write = _remote.edit_request

    def written(batch: Batch, *args: Any, **kwargs: Any) -> http.EditRequest:
        story.append(f"write {batch.ops[0].task.name}" if batch.ops else "nothing left")  # type: ignore[union-attr]
        return write(batch, *args, **kwargs)

    def taken(body: http.EditRequest) -> Any:
        story.append(f"take {body.ops[0].task.name} at {body.base_revision}")  # type: ignore[union-attr]
        return answers.pop(0) if answers else accept(body)

    answers: list[Any] = [http.EditResponse("w", 1), refused("edit_conflict")]
    connection = SlowConnection(post_edits=taken, get_workflows=lambda _: workflow_body(A, revision=7))
    monkeypatch.setattr(_remote, "connection", lambda url: connection)
    monkeypatch.setattr(_remote, "edit_request", written)
    monkeypatch.setattr(_remote, "PART_OPS", 1)
    for name in "tuv":
        state.record(AddTask(vertex(name)))
    asyncio.run(_remote.flush(state))
    assert story == [
        "write t", "write u", "take t at 0", "write v", "take u at 1",
        "write u", "write v", "take u at 7", "nothing left", "take v at 8",
    ]  # fmt: skip
    assert (state.draft.dirty, state.draft.revision, unsent()) == (False, 9, [])


def test_a_part_that_is_written_and_never_sent_is_written_again(
    state: WorkflowState, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = SlowConnection(post_edits=script(HeadUnavailableError("gone"), accept, accept))
    monkeypatch.setattr(_remote, "connection", lambda url: connection)
    monkeypatch.setattr(_remote, "PART_OPS", 1)
    for name in "tu":
        state.record(AddTask(vertex(name)))
    with pytest.raises(HeadUnavailableError):
        asyncio.run(_remote.flush(state))
    state.flush_lock = None  # each asyncio.run is another loop; in the product there is one
    asyncio.run(_remote.flush(state))
    assert [body.ops[0].task.name for _, _, body in connection.asked] == ["t", "t", "u"]
    assert not state.draft.dirty


@pytest.mark.parametrize("minor", [0, 1])
def test_what_tasks_have_in_common_is_said_once_to_heads_that_know_how(
    state: WorkflowState, head: Callable[..., FakeConnection], minor: int
) -> None:
    connection = head(post_edits=accept)
    connection.api_minor = minor
    for number in range(3):
        state.record(AddTask(vertex(f"t{number}")))
    asyncio.run(_remote.flush(state))
    ((_, _, body),) = connection.asked
    assert [type(op) for op in body.ops] == [http.AddTask, *([http.AddAlike if minor else http.AddTask] * 2)]


def test_to_an_older_head_in_the_place_of_the_one_that_was_asked_tasks_are_sent_in_full(
    state: WorkflowState, head: Callable[..., FakeConnection]
) -> None:
    def replaced(body: http.EditRequest) -> Exception:
        connection.api_minor = 0
        return refused("invalid_body", 422)

    connection = head(post_edits=script(replaced, accept))
    for number in range(3):
        state.record(AddTask(vertex(f"t{number}")))
    asyncio.run(_remote.flush(state))
    assert [type(op) for op in connection.asked[1][2].ops] == [http.AddTask] * 3
    assert not state.draft.dirty


def test_what_is_wrong_with_a_body_is_told(state: WorkflowState, head: Callable[..., FakeConnection]) -> None:
    head(post_edits=lambda _: refused("invalid_body", 422))
    state.record(AddTask(vertex("t")))
    with pytest.raises(RequestError):
        asyncio.run(_remote.flush(state))


def test_nothing_to_send_is_no_request(state: WorkflowState, head: Callable[..., FakeConnection]) -> None:
    connection = head()
    asyncio.run(_remote.flush(state))
    assert connection.asked == []


def test_a_conflict_is_applied_again_on_top(state: WorkflowState, head: Callable[..., FakeConnection]) -> None:
    connection = head(
        post_edits=script(refused("edit_conflict"), accept), get_workflows=lambda _: workflow_body(A, revision=7)
    )
    state.record(AddTask(vertex("t")))
    asyncio.run(_remote.flush(state))
    first, _, second = (body for _, _, body in connection.asked)
    assert (first.base_revision, second.base_revision) == (0, 7)
    assert first.edit_id != second.edit_id
    assert (list(state.draft.graph.tasks), state.draft.revision) == (["a", "t"], 8)


def test_edits_that_no_longer_apply_are_named(state: WorkflowState, head: Callable[..., FakeConnection]) -> None:
    state.draft.rebase([vertex("a"), vertex("b")], [], 1)
    state.record(AddEdge("a", "b"))
    state.record(AddTask(vertex("t")))
    head(post_edits=script(refused("edit_conflict"), accept), get_workflows=lambda _: workflow_body(A, revision=2))
    with pytest.raises(ConflictError, match=r"add_edge 'a' .* -> 'b' .*not in the workflow any more") as caught:
        asyncio.run(_remote.flush(state))
    assert len(caught.value.refused) == 1
    asyncio.run(_remote.flush(state))
    assert list(state.draft.graph.tasks) == ["a", "t"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("cycle", CycleError),
        ("unknown_output", KeyError),
        ("unknown_task", UnknownTaskError),
        ("foreign_task", ForeignTaskError),
        ("task_referenced", GraphError),
        ("invalid_task", RequestError),
    ],
)
def test_a_refused_operation_is_named_and_the_rest_stays(
    state: WorkflowState, head: Callable[..., FakeConnection], code: str, kind: type[Exception]
) -> None:
    state.record(AddTask(vertex("t")))
    state.record(AddTask(vertex("u")))
    head(
        post_edits=script(refused(code, op=1, message="because"), accept),
        get_workflows=lambda _: workflow_body(revision=0),
    )
    with pytest.raises(kind, match=r"add_task 'u' .* was refused: because"):
        asyncio.run(_remote.flush(state))
    assert list(state.draft.graph.tasks) == ["t"]
    asyncio.run(_remote.flush(state))
    assert not state.draft.dirty


def test_without_an_answer_edits_are_sent_again(state: WorkflowState, head: Callable[..., FakeConnection]) -> None:
    state.record(AddTask(vertex("t")))
    head(post_edits=script(HeadUnavailableError("gone"), accept))
    with pytest.raises(HeadUnavailableError):
        asyncio.run(_remote.flush(state))
    assert state.draft.dirty
    state.flush_lock = None  # each asyncio.run is another loop; in the product there is one
    asyncio.run(_remote.flush(state))
    assert not state.draft.dirty


def test_a_workflow_that_is_not_there_is_told(state: WorkflowState, head: Callable[..., FakeConnection]) -> None:
    head(post_edits=lambda _: refused("workflow_not_found", 404), get_workflows=lambda _: refused("bad_id", 400))
    state.record(AddTask(vertex("t")))
    with pytest.raises(UnknownWorkflowError, match="no workflow 'w'"):
        asyncio.run(_remote.flush(state))
    with pytest.raises(UnknownWorkflowError):
        asyncio.run(_remote.load(WorkflowState("u", "w")))


def test_what_was_removed_is_told_as_removed(state: WorkflowState, head: Callable[..., FakeConnection]) -> None:
    removed = refused("workflow_removed", 410, message="workflow_1 was removed")
    head(post_edits=lambda _: removed, get_runs=lambda _: refused("run_expired", 410, message="run_1 was removed"))
    state.record(AddTask(vertex("t")))
    with pytest.raises(UnknownWorkflowError, match="workflow_1 was removed"):
        asyncio.run(_remote.flush(state))
    with pytest.raises(UnknownRunError, match="run_1 was removed") as caught:
        asyncio.run(_remote.own_run(state, "run_1"))
    assert caught.value.code == "run_expired"


def test_a_workflow_made_elsewhere_is_fetched_once(head: Callable[..., FakeConnection]) -> None:
    connection = head(get_workflows=lambda _: workflow_body(A, B, revision=5, manual=(("a", "b"),)))
    state = WorkflowState("u", "w")
    asyncio.run(_remote.load(state))
    asyncio.run(_remote.load(state))
    assert len(connection.asked) == 1
    assert (list(state.draft.graph.edges), state.draft.revision) == ([("a", "b")], 5)


def test_get_tasks_takes_over_what_others_changed(state: WorkflowState, head: Callable[..., FakeConnection]) -> None:
    head(get_workflows=lambda _: workflow_body(A, B, revision=5))
    assert asyncio.run(_remote.tasks(state)) == [{"id": "a", "name": "a"}, {"id": "b", "name": "b"}]
    assert list(state.draft.graph.tasks) == ["a", "b"]


def test_a_function_is_pickled_once_and_named_if_it_cannot_be(state: WorkflowState) -> None:
    lock = threading.Lock()

    @task(inputs=["x"], outputs=["y"])
    def good(params: dict[str, Any]) -> dict[str, Any]:
        return {"y": params["x"]}

    @task(inputs=["x"], outputs=["y"])
    def bad(params: dict[str, Any]) -> dict[str, Any]:
        return {"y": lock}

    code = state.draft.code_of(good)
    state.record(AddTask(task_of("a", "fine", code=code, outputs=("y",))))
    _remote.pickle_functions(state)
    body = code.body
    assert body
    assert len(code.digest) == 32
    state.record(AddTask(task_of("b", "wrong", code=state.draft.code_of(bad), outputs=("y",))))
    state.record(AddTask(vertex("c", "b")))
    with pytest.raises(InvalidTaskError, match=r"'wrong' cannot be sent .*'c' \(c\).*lock"):
        _remote.pickle_functions(state)
    assert list(state.draft.graph.tasks) == ["a"]
    _remote.pickle_functions(state)
    assert code.body is body


def test_a_function_that_is_too_large_is_told(state: WorkflowState) -> None:
    large = b"x" * (9 * 1024 * 1024)

    @task(inputs=[], outputs=["y"])
    def heavy(params: dict[str, Any]) -> dict[str, Any]:
        return {"y": len(large)}

    state.record(AddTask(task_of("a", "heavy one", code=state.draft.code_of(heavy))))
    with pytest.raises(InvalidTaskError, match=r"'heavy one' cannot be sent: .*at most 8,388,608"):
        _remote.pickle_functions(state)
    assert not state.draft.dirty


def test_a_run_is_remembered_as_ones_own(state: WorkflowState, head: Callable[..., FakeConnection]) -> None:
    def run(body: http.RunRequest) -> http.RunBody:
        assert (body.workflow_id, body.fail_fast, body.priority) == ("w", True, 3)
        return run_body(run_id=body.run_id)

    connection = head(post_runs=run)
    run_id = asyncio.run(
        _remote.submit(state, _remote.run_request(state, RunOptions(fail_fast=True, priority=3)))
    ).run_id
    assert run_id.startswith("run_")
    asyncio.run(_remote.own_run(state, run_id))
    assert len(connection.asked) == 1


@pytest.mark.parametrize(
    ("code", "kind"), [("empty_workflow", EmptyWorkflowError), ("workflow_not_found", UnknownWorkflowError)]
)
def test_a_refused_run_is_told(
    state: WorkflowState, head: Callable[..., FakeConnection], code: str, kind: type[Exception]
) -> None:
    head(post_runs=lambda _: refused(code))
    with pytest.raises(kind):
        asyncio.run(_remote.submit(state, _remote.run_request(state, RunOptions())))


def test_runs_are_checked_for_whose_they_are(state: WorkflowState, head: Callable[..., FakeConnection]) -> None:
    head(
        get_runs=script(
            run_body(), run_body(workflow_id="other"), refused("run_not_found", 404), refused("bad_id", 400)
        )
    )
    asyncio.run(_remote.own_run(state, "r"))
    for told in ("belongs to workflow other", "knows no run", "knows no run"):
        with pytest.raises(UnknownRunError, match=told):
            asyncio.run(_remote.own_run(state, "r2"))
    with pytest.raises(ValueError, match="int"):
        asyncio.run(_remote.own_run(state, 3))  # type: ignore[arg-type]  # what a user might pass


def test_a_missing_node_is_told_with_its_command(head: Callable[..., FakeConnection]) -> None:
    connection = head(get_runs=script(run_body(), run_body(ready_nodes=1), run_body(sealed=True)))

    async def probe() -> Any:
        return type("Info", (), {"endpoints": {"node": "tcp://127.0.0.1:8001"}})

    connection.probe = probe  # type: ignore[attr-defined]  # the one thing that is not a request
    assert asyncio.run(_remote.missing_node("u", "r")) == "maze-node --head tcp://127.0.0.1:8001"
    assert asyncio.run(_remote.missing_node("u", "r")) == ""
    assert asyncio.run(_remote.missing_node("u", "r")) == ""


def test_why_tasks_wait_is_asked_for_and_nothing_if_the_head_cannot_tell(head: Callable[..., FakeConnection]) -> None:
    groups = [WaitingGroup("infeasible", "too large", 1, [NamedTask("a", "a")])]
    connection = head(get_runs=script(RunExplanation("r", groups), refused("run_expired", 410)))
    assert asyncio.run(_remote.waiting_tasks("u", "r")) == groups
    assert asyncio.run(_remote.waiting_tasks("u", "r")) == []
    assert [where for _, where, _ in connection.asked] == ["/api/v1/runs/r/explain"] * 2


def test_lists_are_plain_dictionaries(head: Callable[..., FakeConnection]) -> None:
    head(
        get_runs=script(http.RunList([run_body()], "7"), http.RunList([run_body(run_id="r2")])),
        get_workflows=lambda _: http.WorkflowList([http.WorkflowSummary("w", "", 1, 2, 0.0)]),
        get_nodes=lambda _: cluster.NodeList([]),
    )
    assert [run["run_id"] for run in asyncio.run(_remote.list_runs("u"))] == ["r", "r2"]
    assert asyncio.run(_remote.list_workflows("u"))[0]["tasks"] == 2
    assert asyncio.run(_remote.list_nodes("u")) == []


def test_a_workflow_that_never_settles_is_given_up(state: WorkflowState, head: Callable[..., FakeConnection]) -> None:
    head(post_edits=lambda _: refused("edit_conflict"), get_workflows=lambda _: workflow_body(revision=1))
    state.record(AddTask(vertex("t")))
    with pytest.raises(ConflictError, match="faster"):
        asyncio.run(_remote.flush(state))


def test_a_deletion_is_sent_like_any_edit(state: WorkflowState, head: Callable[..., FakeConnection]) -> None:
    state.draft.rebase([vertex("a")], [], 1)
    connection = head(post_edits=accept)
    state.record(DelTask("a"))
    asyncio.run(_remote.flush(state))
    assert connection.asked[0][2].ops == [http.DelTask("a")]


def test_large_literals_are_brought_before_the_tasks_that_name_them(
    state: WorkflowState, head: Callable[..., FakeConnection], monkeypatch: pytest.MonkeyPatch
) -> None:
    brought: list[int] = []

    async def bring(url: str, literals: list[Literal]) -> None:
        assert not known.asked
        brought.extend(literal.size for literal in literals)
        for literal in literals:
            literal.digest, literal.sent = "ab" * 32, True

    monkeypatch.setattr(_remote, "bring", bring)
    known = head(post_edits=accept)
    literal = Literal(2**21, b"x")
    for name in ("a", "b"):
        inputs = {"x": InputSpec((), 0, None, literal), "y": InputSpec((), 0, b"\x01")}
        state.record(AddTask(task_of(name, name, code="hash", inputs=inputs, outputs=("y",))))
    asyncio.run(_remote.flush(state))
    assert brought == [2**21]
    body = known.asked[0][2]
    first, second = body.ops
    assert first.task.inputs == second.inputs
    assert second.inputs["x"] == http.InputBody(upload=http.UploadedValue(0, "ab" * 32, 2**21))
