"""Between the draft's words and the bodies of the HTTP API. No I/O, no decisions."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

import msgspec

from maze import _graph
from maze._burst import Burst
from maze._draft import Batch
from maze_protocol import http
from maze_protocol.alike import is_model
from maze_protocol.graph import format_reference, parse_reference
from maze_protocol.policy import NO_POLICY, Policy
from maze_protocol.terms import NO_TERMS, Terms, make_terms
from maze_protocol.values import MSGPACK

__all__ = ["edit_request", "vertices"]

_PYTHON: Final = (sys.version_info[0], sys.version_info[1])


def edit_request(batch: Batch, edit_id: str, *, alike: bool = False) -> http.EditRequest:
    """Return the request that sends a batch; the head refuses it unless it is at the batch's revision.

    Args:
        batch: what to send.
        edit_id: by which the head knows the request again.
        alike: the head knows `add_alike`: what tasks have in common is said once.
    """
    with Burst():
        ops = _alike(batch.ops) if alike else [_op(op) for op in batch.ops]
    return http.EditRequest(
        ops=ops,
        codes=[http.CodeBody(code.digest, code.kind, _PYTHON, code.body, code.name) for code in batch.codes],
        base_revision=batch.revision,
        edit_id=edit_id,
    )


def vertices(body: http.WorkflowBody) -> list[_graph.Vertex]:
    """Return the tasks of a workflow that came from the head."""
    return [_vertex(task) for task in body.tasks]


def _op(op: _graph.Op) -> http.Op:
    match op:
        case _graph.AddTask(task):
            return http.AddTask(_task(task))
        case _graph.SaveTask(task):
            return http.SaveTask(_task(task))
        case _graph.DelTask(task_id):
            return http.DelTask(task_id)
        case _graph.AddEdge(source, target):
            return http.AddEdge(source, target)
        case _graph.DelEdge(source, target):
            return http.DelEdge(source, target)


def _alike(ops: Sequence[_graph.Op]) -> list[http.Op]:
    """Return the bodies of operations; a task that is like the last one of its function names that one."""
    models: dict[object, _Model] = {}
    written: list[http.Op] = []
    for op in ops:
        if type(op) is not _graph.AddTask:
            written.append(_op(op))
            continue
        task = op.task
        model = models.get(task.definition.code)
        if model is None or not _agree(task, model.task):
            models[task.definition.code] = _Model(len(written), task)
        elif model.serves:
            name = "" if task.name == model.task.name else task.name
            written.append(http.AddAlike(model.number, task.task_id, _inputs(task), name))
            continue
        written.append(http.AddTask(_task(task)))
    return written


class _Model:
    """A task that others of its request may be like."""

    def __init__(self, number: int, task: _graph.Vertex) -> None:
        self.number = number
        self.task = task

    @cached_property
    def serves(self) -> bool:
        """Tell whether it says little enough for that."""
        return is_model(_task(self.task))


def _agree(one: _graph.Vertex, other: _graph.Vertex) -> bool:
    """Tell whether two tasks of one function differ in nothing but id, name and inputs."""
    same = one.definition is other.definition or one.definition == other.definition
    return same and one.same_node_as == other.same_node_as


def _task(task: _graph.Vertex) -> http.TaskBody:
    said = task.definition
    code, strict = _code(said.code)
    body = http.TaskBody(
        task.task_id,
        task.name,
        said.func_name,
        code,
        _inputs(task),
        list(said.outputs),
        said.data_types,
        said.resources,
        strict,
        same_node_as=task.same_node_as,
        keep=said.keep,
        sandbox=said.sandbox,
    )
    # Most tasks of a graph of many thousands have neither.
    if said.policy == NO_POLICY and said.terms == NO_TERMS:
        return body
    return msgspec.structs.replace(body, **_policy_fields(said.policy), **_terms_fields(said.terms))


def _code(code: _graph.Code | str | None) -> tuple[str, bool]:
    """Return the hash of a function, and whether outputs are checked: source text of the original's flow never was."""
    if isinstance(code, _graph.Code):
        return code.digest, code.kind != "source"
    return code or "", True


def _policy_fields(policy: Policy) -> dict[str, Any]:
    return {**policy._asdict(), "retry_on": list(policy.retry_on)}


def _terms_fields(terms: Terms) -> dict[str, Any]:
    labels = {"require": dict(terms.require), "prefer": dict(terms.prefer)}
    return {**labels, "limits": dict(terms.limits), "apart": terms.apart, "nodes": terms.nodes}


def _inputs(task: _graph.Vertex) -> dict[str, http.InputBody]:
    return {name: _input(spec) for name, spec in task.inputs.items()}


def _input(spec: _graph.Input) -> http.InputBody:
    if isinstance(spec, bytes):
        return http.InputBody(encoded=http.EncodedValue(MSGPACK, spec))
    if spec.data is not None and not spec.refs:
        return http.InputBody(encoded=http.EncodedValue(spec.codec, spec.data))
    refs = [format_reference(task_id, key) for task_id, key in spec.refs]
    if spec.literal is not None:
        value = http.UploadedValue(spec.codec, spec.literal.digest, spec.literal.size)
        return http.InputBody(upload=value, refs=refs)
    if spec.data is None:
        return http.InputBody(source=refs[0])
    return http.InputBody(encoded=http.EncodedValue(spec.codec, spec.data), refs=refs)


def _vertex(task: http.TaskBody) -> _graph.Vertex:
    definition = _graph.Definition(
        task.func_name,
        task.code or None,
        tuple(task.outputs),
        data_types=task.data_types,
        resources=task.resources,
        policy=Policy(
            task.retries, task.retry_backoff, tuple(task.retry_on), task.timeout, task.idle_timeout, task.at_most_once
        ),
        terms=make_terms(task.require, task.prefer, task.limits, task.apart, task.nodes),
        keep=task.keep,
        sandbox=task.sandbox,
    )
    inputs: dict[str, _graph.Input] = {name: _spec(body) for name, body in task.inputs.items()}
    return _graph.Vertex(task.task_id, task.name, definition, inputs, task.same_node_as)


def _spec(body: http.InputBody) -> _graph.InputSpec:
    texts = [body.source] if isinstance(body.source, str) else body.refs
    return _graph.InputSpec(refs=tuple(parse_reference(text) for text in texts))
