"""What operators say about sharing: limits and projects, set, removed, shown, and read back from the cluster's log.

Rules
* What is set takes the place of what was set before, as a whole. It counts from the next pass on and stops nothing
  that runs.
* Amounts are checked here and kept in the scheduler's units; how they are kept to is in allowances.py and shares.py.
* Runs that name no project are those of the project that people know as `default`.
"""

from __future__ import annotations

import math
from typing import Any, Final

from maze_head.core import events as asked
from maze_head.core.allowances import Limit
from maze_head.core.effects import AppendCluster
from maze_head.core.errors import Conflict, Invalid, NotFound
from maze_head.core.names import named
from maze_head.core.shares import NO_RULES, Cap, Held, Rules
from maze_head.core.state import State
from maze_protocol.cluster import CapBody, LimitBody, LimitList, LimitRequest, ProjectBody, ProjectRequest
from maze_protocol.declare import MAX_AMOUNT
from maze_protocol.rates import MAX_UNITS, Rate, parse_rate

__all__ = [
    "DEFAULT", "describe_limits", "project_key", "project_name", "remove_limit", "remove_project", "restore_sharing",
    "set_limit", "set_project",
]  # fmt: skip

DEFAULT: Final = "default"
MAX_SET: Final = 10_000
"""How many limits, and how many projects, may be set."""
WEIGHTS: Final = (0.001, 1_000_000.0)


def project_key(name: str) -> str:
    """Return the project that a run names, as the scheduler knows it.

    Raises:
        Invalid: no name.
    """
    if name in ("", DEFAULT):
        return ""
    return named(name, "the project's name", "$.project")


def project_name(key: str) -> str:
    """Return the project as people know it."""
    return key or DEFAULT


def set_limit(state: State, command: asked.SetLimit) -> LimitBody:
    """Set or change a named limit."""
    name = named(command.name, "the limit's name", "")
    limit = _limit(command.request)
    _check_number(name, state.allowances.limits, "limits")
    state.allowances.set(name, limit, state.now.mono)
    rate = str(limit.rate) if limit.rate else ""
    body = {"name": name, "concurrency": limit.concurrency, "rate": rate, "time": state.now.wall}
    state.emit(AppendCluster("limit_set", body))
    return _limit_body(state, name)


def remove_limit(state: State, command: asked.RemoveLimit) -> LimitBody:
    """Let a name hold nobody back any more; return what was set."""
    name = command.name
    if name not in state.allowances.limits:
        raise NotFound("unknown_limit", f"no limit {name[:100]!a} is set")
    before = _limit_body(state, name)
    state.allowances.remove(name)
    state.emit(AppendCluster("limit_removed", {"name": name, "time": state.now.wall}))
    return before


def set_project(state: State, command: asked.SetProject) -> ProjectBody:
    """Set or change what holds for a project."""
    key = project_key(command.name)
    rules = _rules(command.request)
    _check_number(key, state.shares.rules, "projects")
    state.shares.set(key, rules)
    body = {"name": key, "weight": rules.weight, "cap": rules.cap._asdict(), "time": state.now.wall}
    state.emit(AppendCluster("project_set", body))
    return _project_body(state, key)


def remove_project(state: State, command: asked.RemoveProject) -> ProjectBody:
    """Let a project be like any other again; return what was set."""
    key = "" if command.name == DEFAULT else command.name
    if key not in state.shares.rules:
        raise NotFound("unknown_project", f"nothing is set for project {command.name[:100]!a}")
    before = _project_body(state, key)
    state.shares.remove(key)
    state.emit(AppendCluster("project_removed", {"name": key, "time": state.now.wall}))
    return before


def restore_sharing(state: State, kind: str, body: dict[str, Any]) -> None:
    """Take in a fact of the cluster's log, if it is one of these."""
    if kind == "limit_set":
        rate = parse_rate(body["rate"]) if body["rate"] else None
        state.allowances.set(body["name"], Limit(body["concurrency"], rate), state.now.mono)
    elif kind == "limit_removed":
        state.allowances.remove(body["name"])
    elif kind == "project_set":
        state.shares.set(body["name"], Rules(body["weight"], Cap(**body["cap"])))
    elif kind == "project_removed":
        state.shares.remove(body["name"])


def describe_limits(state: State) -> LimitList:
    """Return all limits and projects that are set or in use, by name."""
    limits = sorted({**state.allowances.limits, **state.allowances.held})
    projects = sorted({**state.shares.rules, **state.shares.held}, key=project_name)
    return LimitList([_limit_body(state, name) for name in limits], [_project_body(state, key) for key in projects])


def _limit_body(state: State, name: str) -> LimitBody:
    allowances = state.allowances
    limit = allowances.limits.get(name, Limit())
    rate = str(limit.rate) if limit.rate else None
    return LimitBody(
        name, limit.concurrency, rate, allowances.held.get(name, 0), allowances.pause(name, state.now.mono)
    )


def _project_body(state: State, key: str) -> ProjectBody:
    shares = state.shares
    rules, held = shares.rules.get(key, NO_RULES), shares.held.get(key, Held())
    return ProjectBody(
        name=project_name(key),
        weight=rules.weight,
        cap=_cap_body(rules.cap),
        share=shares.share(key),
        tasks=held.attempts,
        cpu=held.cpu_milli / 1000,
        cpu_mem=held.mem_mib,
        gpu=shares.gpu_milli(held) / 1000,
        gpu_mem=held.gpu_mem_mib,
    )


def _cap_body(cap: Cap) -> CapBody:
    cpu = None if cap.cpu_milli is None else cap.cpu_milli / 1000
    gpu = None if cap.gpu_milli is None else cap.gpu_milli / 1000
    return CapBody(cpu, cap.mem_mib, gpu, cap.tasks)


def _limit(request: LimitRequest) -> Limit:
    if request.concurrency is None and request.rate is None:
        message = "neither concurrency nor rate is given"
        raise Invalid("invalid_limit", message, hint="give one of them, or DELETE the limit", field="$")
    return Limit(_bounded(request.concurrency, "invalid_limit", "$.concurrency", MAX_UNITS), _rate(request.rate))


def _rate(text: str | None) -> Rate | None:
    if text is None:
        return None
    try:
        return parse_rate(text)
    except ValueError as error:
        raise Invalid("invalid_limit", str(error), field="$.rate") from error


def _rules(request: ProjectRequest) -> Rules:
    low, high = WEIGHTS
    if not low <= request.weight <= high:
        message = f"a weight of {request.weight:g}: allowed are {low:g} to {high:g}"
        raise Invalid("invalid_project", message, field="$.weight")
    cap = request.cap
    return Rules(
        request.weight,
        Cap(
            _milli(cap.cpu, "$.cap.cpu"),
            _bounded(cap.cpu_mem, "invalid_project", "$.cap.cpu_mem"),
            _milli(cap.gpu, "$.cap.gpu"),
            _bounded(cap.tasks, "invalid_project", "$.cap.tasks"),
        ),
    )


def _milli(amount: float | None, field: str) -> int | None:
    if amount is None:
        return None
    if not math.isfinite(amount) or not 0 <= amount <= MAX_AMOUNT:
        raise _out_of_range("invalid_project", amount, field, MAX_AMOUNT)
    return round(amount * 1000)


def _bounded(amount: int | None, code: str, field: str, most: int = MAX_AMOUNT) -> int | None:
    if amount is not None and not 0 <= amount <= most:
        raise _out_of_range(code, amount, field, most)
    return amount


def _out_of_range(code: str, amount: float, field: str, most: int) -> Invalid:
    return Invalid(code, f"{field.rpartition('.')[2]} of {amount:g}: allowed are 0 to {most}", field=field)


def _check_number(name: str, there: dict[str, Any], what: str) -> None:
    if name not in there and len(there) >= MAX_SET:
        raise Conflict("too_many_set", f"{MAX_SET} {what} are set", hint="remove some that nobody needs")
