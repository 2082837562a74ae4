"""The table of routes: the router and /openapi.json are both made from it, so neither can know more than the other.

A handler takes a Call and returns a body (or a finished response where it streams). Reading the request, encoding
the answer and counting happen here, once for all.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from maze_head.api import (
    events,
    keys,
    limits,
    logs,
    meta,
    multiplex,
    nodes,
    outputs,
    runs,
    seed_files,
    seed_routes,
    uploads,
    workflows,
)
from maze_head.api.access import OPEN
from maze_head.api.bodies import json_response, load, read_body, respond
from maze_head.api.call import Call, Shared
from maze_head.api.errors import seed_refusal
from maze_head.api.expect import go_on_later
from maze_head.api.idempotency import keyed
from maze_head.api.schemas import Counters, EdgeBody, EdgeList, EventPage, Health, NewTask, TaskList
from maze_head.api.seed_forms import (
    AddTaskForm,
    Detail,
    Done,
    EdgeForm,
    FileMade,
    RunMade,
    SaveTaskForm,
    TaskForm,
    TaskMade,
    TaskRows,
    WorkflowForm,
    WorkflowMade,
)
from maze_head.core.errors import Rejected
from maze_head.tokens import ADMIN, NODE_JOIN, READ, SUBMIT
from maze_protocol.cluster import (
    InfoBody,
    LimitBody,
    LimitList,
    LimitRequest,
    NodeBody,
    NodeList,
    ProjectBody,
    ProjectList,
    ProjectRequest,
)
from maze_protocol.enrolment import EventKeyBody, EventKeyRequest, NodeKeyBody, NodeKeyList, NodeKeyRequest
from maze_protocol.http import (
    EditRequest,
    EditResponse,
    RetryRequest,
    RunBody,
    RunList,
    RunRequest,
    RunTaskBody,
    RunTaskList,
    TaskBody,
    UploadBody,
    WorkflowBody,
    WorkflowList,
    WorkflowRequest,
    WorkflowSummary,
)
from maze_protocol.streams import End, Events, Log, Submit, Submitted, Subscribe, Unsubscribe
from maze_protocol.waiting import Demand, Explanation, RunExplanation

__all__ = ["OPENAPI_PATH", "ROUTES", "Query", "Route", "endpoint", "scopes"]

Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True)
class Query:
    """A query parameter, for the description."""

    name: str
    summary: str
    kind: type = int


@dataclass(frozen=True)
class Route:
    """One operation of the API. `response` is a struct, `str` for text, `bytes` for any content, or None for none.

    A `request` of `bytes` is read by the handler itself, as it comes.
    """

    method: str
    path: str
    scope: str
    """What the token must allow; OPEN if none is needed."""
    handler: Handler
    request: type[Any] | None
    response: type | None
    summary: str
    status: int = 200
    query: tuple[Query, ...] = ()
    messages: tuple[tuple[type, ...], tuple[type, ...]] = ((), ())
    """Of a WebSocket with a language of its own: what the client says, and what the head does."""
    seed: bool = False
    """A route of the original's wire: JSON whatever the headers say, and the original's body for failures."""


API = "/api/v1"
OPENAPI_PATH: Final = "/openapi.json"
WORKFLOW: Final = f"{API}/workflows/{{workflow_id}}"
RUN: Final = f"{API}/runs/{{run_id}}"
OUTPUT: Final = f"{RUN}/tasks/{{task_id}}/outputs/{{key}}"
VALUE: Final = f"{API}/values/{{hash}}"
_PAGING: Final = (
    Query("limit", "at most so many (1 to 1000)"),
    Query("before", "runs before this cursor (`next` of the page before)"),
    Query("workflow_id", "only runs of this workflow", str),
)
_FILE: Final = (Query("file_path", "what upload_file, or the result of a task, said", str),)
_EVENTS: Final = (
    Query("after", "events after this number (0: from the first)"),
    Query("format", "of a WebSocket: json (text frames) or msgpack (binary frames)", str),
    Query("wait", "without Upgrade: wait up to so many seconds for the first event (0 to 60)"),
    Query("limit", "without Upgrade: at most so many events (1 to 1000)"),
)
_LOG: Final = (
    Query("log", "how many kinds of events the client knows: with all that the head knows, it is sent `log` messages"),
)
_OFFSET: Final = (Query("offset", "where the body begins in the value; `Content-Range` says the same"),)
_LOGS: Final = (
    Query("stream", "stdout or stderr", str),
    Query("attempt", "which attempt (0: the latest)"),
    Query("offset", "from this byte on"),
    Query("limit", "at most so many bytes (1 to 1048576)"),
    Query("follow", "1: go on until the attempt is over", str),
)


def _seed(
    method: str,
    path: str,
    handler: Handler,
    request: type[Any] | None,
    response: type | None,
    status: int = 200,
    query: tuple[Query, ...] = (),
) -> Route:
    summary = f"The original's {path.split('/')[1]}"
    scope = READ if method == "GET" else SUBMIT
    return Route(method, path, scope, handler, request, response, summary, status, query, seed=True)


def _absent(path: str, what: str, instead: str) -> Route:
    return _seed("POST", path, seed_routes.not_served(what, instead), None, Detail, 501)


SEED_ROUTES: Final[tuple[Route, ...]] = (
    _seed("POST", "/create_workflow", seed_routes.create_workflow, None, WorkflowMade),
    _seed("POST", "/add_task", seed_routes.add_task, AddTaskForm, TaskMade),
    _seed("GET", "/get_workflow_tasks/{workflow_id}", seed_routes.get_workflow_tasks, None, TaskRows),
    _seed("POST", "/save_task", seed_routes.save_task, SaveTaskForm, Done),
    _seed("POST", "/save_task_and_add_edge", seed_routes.save_task, SaveTaskForm, Done),
    _seed("POST", "/add_edge", seed_routes.add_edge, EdgeForm, Done),
    _seed("POST", "/del_edge", seed_routes.del_edge, EdgeForm, Done),
    _seed("POST", "/del_task", seed_routes.del_task, TaskForm, TaskMade),
    _seed("POST", "/run_workflow", seed_routes.run_workflow, WorkflowForm, RunMade),
    _seed("GET", "/get_workflow_res/{workflow_id}/{run_id}", seed_routes.get_workflow_res, None, None),
    _seed("POST", "/upload_file/{workflow_id}", seed_files.upload_file, bytes, FileMade),
    _seed("GET", "/download_file/{workflow_id}", seed_files.download_file, None, bytes, query=_FILE),
    _seed("POST", "/cleanup_workflow/{workflow_id}", seed_files.cleanup_workflow, None, Done),
    _absent("/add_langgraph_task", "LangGraph tasks", "add the node's function as a task of a workflow"),
    _absent("/run_langgraph_task", "LangGraph tasks", "add the node's function as a task of a workflow"),
    _absent("/get_head_ray_port", "Ray", "machines join with `maze-node --head ADDRESS`"),
    _absent("/start_worker", "Ray workers", "machines join with `maze-node --head ADDRESS`"),
    _absent("/start_llm_instance", "LLM instances", "run the model server yourself and call it from tasks"),
    _absent("/stop_llm_instance", "LLM instances", "run the model server yourself and call it from tasks"),
)
ROUTES: Final[tuple[Route, ...]] = (
    Route("GET", f"{API}/info", READ, meta.info, None, InfoBody, "Who answers, and under which promises"),
    Route("GET", f"{API}/livez", OPEN, meta.livez, None, Health, "The process serves requests"),
    Route("GET", f"{API}/readyz", OPEN, meta.readyz, None, Health, "The head takes submissions"),
    Route("GET", f"{API}/metrics", READ, meta.metrics, None, Counters, "Counters and gauges"),
    Route(
        "POST", f"{API}/workflows", SUBMIT, workflows.create, WorkflowRequest, WorkflowSummary,
        "Make a workflow", 201,
    ),
    Route("GET", f"{API}/workflows", READ, workflows.list_all, None, WorkflowList, "List workflows"),
    Route("GET", WORKFLOW, READ, workflows.describe, None, WorkflowBody, "A whole workflow"),
    Route("DELETE", WORKFLOW, SUBMIT, workflows.remove, None, WorkflowSummary, "Remove a workflow and its runs"),
    Route(
        "POST", f"{WORKFLOW}/edits", SUBMIT, workflows.edit, EditRequest, EditResponse,
        "Apply operations, all or none",
    ),
    Route("GET", f"{WORKFLOW}/tasks", READ, workflows.tasks, None, TaskList, "The tasks of a workflow"),
    Route("POST", f"{WORKFLOW}/tasks", SUBMIT, workflows.add_task, NewTask, EditResponse, "Add a task", 201),
    Route("GET", f"{WORKFLOW}/tasks/{{task_id}}", READ, workflows.get_task, None, TaskBody, "One task"),
    Route("PUT", f"{WORKFLOW}/tasks/{{task_id}}", SUBMIT, workflows.put_task, NewTask, EditResponse, "Redefine a task"),
    Route(
        "DELETE", f"{WORKFLOW}/tasks/{{task_id}}", SUBMIT, workflows.delete_task, None, EditResponse,
        "Delete a task",
    ),
    Route("GET", f"{WORKFLOW}/edges", READ, workflows.edges, None, EdgeList, "The edges of a workflow"),
    Route("POST", f"{WORKFLOW}/edges", SUBMIT, workflows.add_edge, EdgeBody, EditResponse, "Add an edge"),
    Route(
        "DELETE", f"{WORKFLOW}/edges/{{source}}/{{target}}", SUBMIT, workflows.delete_edge, None, EditResponse,
        "Delete an edge",
    ),
    Route("POST", f"{API}/runs", SUBMIT, runs.submit, RunRequest, RunBody, "Run a workflow", 201),
    Route("GET", f"{API}/runs", READ, runs.list_all, None, RunList, "List runs, newest first", query=_PAGING),
    Route("GET", RUN, READ, runs.describe, None, RunBody, "One run, summarised"),
    Route(
        "DELETE", RUN, SUBMIT, runs.cancel, None, RunBody, "Stop a run", 202,
        (Query("reason", "shown in the log of the run", str),),
    ),
    Route("DELETE", f"{RUN}/record", SUBMIT, runs.remove, None, RunBody, "Remove what is kept of a run that is over"),
    Route(
        "POST", f"{RUN}/retry", SUBMIT, runs.retry, RetryRequest, RunBody,
        "Run the graph of an earlier run again", 201,
    ),
    Route(
        "GET", f"{RUN}/explain", READ, runs.explain_all, None, RunExplanation,
        "Why tasks have not started, by reason",
    ),
    Route("GET", f"{RUN}/tasks", READ, runs.tasks, None, RunTaskList, "The tasks of a run"),
    Route("GET", f"{RUN}/tasks/{{task_id}}", READ, runs.task, None, RunTaskBody, "One task of a run"),
    Route(
        "GET", f"{RUN}/tasks/{{task_id}}/explain", READ, runs.explain, None, Explanation,
        "Why a task has not started",
    ),
    Route("GET", f"{RUN}/tasks/{{task_id}}/logs", READ, logs.logs, None, str, "What a task printed", query=_LOGS),
    Route("GET", OUTPUT, READ, outputs.output, None, bytes, "What a task returned under a name, encoded"),
    Route("HEAD", OUTPUT, READ, outputs.output, None, None, "How large an output is, and of what kind"),
    Route(
        "GET", f"{RUN}/events", READ, events.events, None, EventPage,
        "The log of a run, or its stream", query=_EVENTS,
    ),
    Route(
        "GET", f"{API}/events", READ, multiplex.all_events, None, None,
        "Many runs and their logs over one WebSocket", 101,
        query=_LOG, messages=((Submit, Subscribe, Unsubscribe), (Submitted, Events, Log, End)),
    ),
    Route("PUT", VALUE, SUBMIT, uploads.put, bytes, UploadBody, "Bring a value by its content", 201, _OFFSET),
    Route("HEAD", VALUE, READ, uploads.look, None, None, "How much of an uploaded value is there"),
    Route("GET", f"{API}/nodes", READ, nodes.list_all, None, NodeList, "List nodes"),
    Route("GET", f"{API}/nodes/{{node_id}}", READ, nodes.describe, None, NodeBody, "One node"),
    Route("GET", f"{API}/node-keys", READ, keys.list_all, None, NodeKeyList, "List the nodes that are authorised"),
    Route(
        "POST", f"{API}/node-keys", NODE_JOIN, keys.join, NodeKeyRequest, NodeKeyBody,
        "Authorise a node that joins", 201,
    ),
    Route("DELETE", f"{API}/node-keys/{{node_id}}", ADMIN, keys.revoke, None, NodeKeyBody, "Revoke a node's key"),
    Route("POST", f"{API}/event-keys", READ, keys.read, EventKeyRequest, EventKeyBody, "Let a key subscribe", 201),
    Route(
        "GET", f"{API}/limits", READ, limits.list_all, None, LimitList,
        "Limits and projects, and what is held of them",
    ),
    Route("PUT", f"{API}/limits/{{name}}", ADMIN, limits.put, LimitRequest, LimitBody, "Set or change a limit"),
    Route("DELETE", f"{API}/limits/{{name}}", ADMIN, limits.remove, None, LimitBody, "Remove a limit"),
    Route("GET", f"{API}/projects", READ, limits.list_projects, None, ProjectList, "Projects and what they hold"),
    Route(
        "PUT", f"{API}/projects/{{name}}", ADMIN, limits.put_project, ProjectRequest, ProjectBody,
        "Set weight and cap of a project",
    ),
    Route(
        "DELETE", f"{API}/projects/{{name}}", ADMIN, limits.remove_project, None, ProjectBody,
        "Let a project be like any other",
    ),
    Route("GET", f"{API}/cluster/demand", READ, nodes.demand, None, Demand, "What waits for nodes, by shape"),
    *SEED_ROUTES,
)  # fmt: skip


def scopes(routes: Iterable[Route], *, seed_open: bool) -> dict[tuple[str, str], str]:
    """Return what each route needs, by method and path; with `seed_open` those of the original need nothing."""
    needed = {(route.method, route.path): OPEN if route.seed and seed_open else route.scope for route in routes}
    return needed | {("GET", OPENAPI_PATH): READ}


def endpoint(route: Route, shared: Shared) -> web.RouteDef:
    """Make the aiohttp handler of a route."""

    async def answer(request: web.Request, body: object) -> Any:
        key = await keyed(request)
        if key is None:
            return await route.handler(shared.call(request, body))
        shared.repeats.check(key)
        answered = await route.handler(shared.call(request, body, key))
        shared.repeats.keep(key)
        return answered

    async def handle(request: web.Request) -> web.StreamResponse:
        body = None if route.request in (None, bytes) else await read_body(request, route.request)
        answered = await answer(request, body)
        return answered if isinstance(answered, web.StreamResponse) else respond(request, answered, route.status)

    async def handle_seed(request: web.Request) -> web.StreamResponse:
        try:
            body = None if route.request in (None, bytes) else await load(request, route.request, msgpack=False)
            answered = await answer(request, body)
        except Rejected as error:
            return seed_refusal(error)
        return answered if isinstance(answered, web.StreamResponse) else json_response(answered)

    options: dict[str, Any] = {"expect_handler": go_on_later} | ({"allow_head": False} if route.method == "GET" else {})
    return web.RouteDef(route.method, route.path, handle_seed if route.seed else handle, options)
