"""The rules of editing a workflow: what each operation may do, and in which words it is refused.

All or none: the first refusal takes the whole edit back and names the operation by its index. Nothing here emits
effects; commands.py journals what was kept. The rules are those of docs/semantics.md, 'Graph'.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from itertools import islice
from typing import Final

from maze_head.core.alike import Models, Series
from maze_head.core.contents import MANUAL, REFERENCE, Contents
from maze_head.core.errors import Conflict, NotFound, Rejected
from maze_head.core.specs import CodeOf, spec_of, task_id_of
from maze_head.core.tasks import InputSpec, TaskSpec, pack
from maze_head.core.workflows import Edit, Workflow
from maze_protocol.graph import find_path
from maze_protocol.http import AddAlike, AddEdge, AddTask, DelEdge, DelTask, Op, SaveTask
from maze_protocol.ids import TASK, format_id, short_id

__all__ = ["UnknownTask", "apply_ops", "check_base"]

NAMED_AT_MOST: Final = 5
"""How many tasks a message lists before it says 'and N more'."""
SEARCHED_AT_MOST: Final = 10_000
"""How many tasks are looked through for a guess at what an author meant."""


class UnknownTask(NotFound):
    """No such task in the workflow that is edited; `task_id` may be another one's."""

    def __init__(self, task_id: bytes, hint: str, field: str) -> None:
        message = f"no task {format_id(task_id, TASK)} in this workflow"
        super().__init__("unknown_task", message, hint=hint, field=field)
        self.task_id = task_id


def check_base(workflow: Workflow, base_revision: int | None) -> None:
    """Refuse an edit whose author saw another revision."""
    if base_revision is not None and base_revision != workflow.revision:
        message = f"the workflow is at revision {workflow.revision}, the edit was made for {base_revision}"
        raise Conflict("edit_conflict", message, hint="fetch the workflow and apply the change again")


def apply_ops(edit: Edit, ops: Sequence[Op], code_of: CodeOf) -> None:
    """Apply operations in order.

    Raises:
        Rejected: an operation is refused; `op` and `field` say which. The edit is to be taken back.
    """
    models, index, looked = Models(ops, code_of), 0, 0
    while index < len(ops):
        op = ops[index]
        if index >= looked and isinstance(op, AddAlike):
            looked, series = models.series(index, op)
            if series is not None and _add_series(edit, series):
                index = looked
                continue
        try:
            if isinstance(op, AddAlike):
                _add_task(edit, models.spec(index, op))
            else:
                _apply(edit, op, code_of)
        except Rejected as error:
            _say_where(error, index, op)
            raise
        index += 1


def _add_series(edit: Edit, series: Series) -> bool:
    """Add the tasks of a series in one go; do nothing and return False if one of them may be there already."""
    task_ids = series.task_ids
    if len(set(task_ids)) < len(task_ids) or not edit.contents.tasks.keys().isdisjoint(task_ids):
        return False
    edit.add_alike(series.model, task_ids, series.packed)
    return True


def _say_where(error: Rejected, index: int, op: Op) -> None:
    inner = ".task" if isinstance(op, AddTask | SaveTask) else ""
    error.op = index
    error.field = f"$.ops[{index}]{inner}" + (f".{error.field}" if error.field else "")


def _apply(edit: Edit, op: AddTask | SaveTask | DelTask | AddEdge | DelEdge, code_of: CodeOf) -> None:
    if isinstance(op, AddTask):
        _add_task(edit, spec_of(op.task, code_of))
    elif isinstance(op, SaveTask):
        _save_task(edit, spec_of(op.task, code_of))
    elif isinstance(op, DelTask):
        _del_task(edit, _existing(edit.contents, op.task_id, "task_id"))
    else:
        source = _existing(edit.contents, op.source, "source")
        target = _existing(edit.contents, op.target, "target")
        if isinstance(op, AddEdge):
            _add_edge(edit, source, target)
        else:
            _del_edge(edit, op, source, target)


def _add_task(edit: Edit, spec: TaskSpec) -> None:
    existing = edit.contents.tasks.get(spec.task_id)
    if existing is None:
        _put(edit, spec)
    elif existing != pack(spec):
        task_id = format_id(spec.task_id, TASK)
        raise Conflict("task_exists", f"another task has the id {task_id}", field="task_id")


def _save_task(edit: Edit, spec: TaskSpec) -> None:
    before = edit.contents.tasks.get(spec.task_id)
    if before is None:
        raise _unknown(edit.contents, spec.task_id, "task_id")
    if before != pack(spec):
        _check_consumers(edit.contents, spec)
        _put(edit, spec)


def _put(edit: Edit, spec: TaskSpec) -> None:
    for entry in spec.inputs:
        for source, key in entry.refs:
            _check_reference(edit, spec, source, key, entry.name)
    if spec.same_node_as:
        _check_source(edit, spec, spec.same_node_as, "same_node_as")
    culprit = edit.put(spec)
    if culprit is not None:
        raise _cycle(edit.contents, culprit, spec.task_id)


def _check_reference(edit: Edit, spec: TaskSpec, source: bytes, key: str, name: str) -> None:
    producer = _check_source(edit, spec, source, "inputs.", name)
    if producer.strict_outputs and producer.code and not _declares(producer, key):
        raise _unknown_output(producer, key, f"inputs.{name}")


def _check_source(edit: Edit, spec: TaskSpec, source: bytes, field: str, name: str = "") -> TaskSpec:
    """Return another task that this one names."""
    if source == spec.task_id:
        raise _cycle(edit.contents, source, source, field + name)
    found = edit.spec(source)
    if found is None:
        raise _unknown(edit.contents, source, field + name)
    return found


def _declares(producer: TaskSpec, key: str) -> bool:
    # In words, since `any` of a generator takes three times as long.
    for declared in producer.outputs:  # noqa: SIM110
        if declared.key == key:
            return True
    return False


def _unknown_output(producer: TaskSpec, key: str, field: str) -> NotFound:
    known = [declared.key for declared in producer.outputs]
    close = difflib.get_close_matches(key, known, 1)
    hint = f"did you mean {close[0]!r}?" if close else f"declared are: {', '.join(known) or 'none'}"
    message = f"task {_label(producer)} has no output {key[:80]!r}"
    return NotFound("unknown_output", message, hint=hint, field=field)


def _check_consumers(contents: Contents, spec: TaskSpec) -> None:
    """Refuse a new definition that lacks an output which another task already references."""
    if not spec.strict_outputs or not spec.code:
        return
    for target in contents.after.get(spec.task_id, ()):
        consumer = contents.spec(target)
        for entry in consumer.inputs if consumer else ():
            for source, key in entry.refs:
                if source == spec.task_id and not _declares(spec, key):
                    message = f"input {entry.name!r} of task {_name(contents, target)} references output {key[:80]!r}"
                    raise Conflict("task_referenced", f"{message}, which the new definition lacks", field="outputs")


def _del_task(edit: Edit, task_id: bytes) -> None:
    contents = edit.contents
    users = [there for there in contents.after.get(task_id, ()) if contents.edge(task_id, there) & REFERENCE]
    if users:
        message = f"task {_name(contents, task_id)} is referenced by {_names(contents, users)}"
        raise Conflict("task_referenced", message, hint="delete or change those tasks first", field="task_id")
    edit.remove(task_id)


def _add_edge(edit: Edit, source: bytes, target: bytes) -> None:
    if edit.contents.edge(source, target) & MANUAL:
        return
    if not edit.join(source, target):
        raise _cycle(edit.contents, source, target)


def _del_edge(edit: Edit, op: DelEdge, source: bytes, target: bytes) -> None:
    contents = edit.contents
    makers = contents.edge(source, target)
    if makers & REFERENCE:
        raise _referenced_edge(contents, source, target)
    if not makers:
        raise NotFound("unknown_edge", f"no edge from {op.source} to {op.target}")
    edit.part(source, target)


def _referenced_edge(contents: Contents, source: bytes, target: bytes) -> Conflict:
    names = [entry.name for entry in _inputs_from(contents, target, source)]
    if not names:
        message = f"task {_name(contents, target)} is to run on the node of {_name(contents, source)}"
        return Conflict("edge_referenced", message, hint="change its same_node_as instead")
    message = f"the edge carries input {', '.join(map(repr, names))} of task {_name(contents, target)}"
    return Conflict("edge_referenced", message, hint="change that input instead")


def _inputs_from(contents: Contents, target: bytes, source: bytes) -> list[InputSpec]:
    spec = contents.spec(target)
    return [entry for entry in spec.inputs if any(ref[0] == source for ref in entry.refs)] if spec else []


def _existing(contents: Contents, text: str, field: str) -> bytes:
    task_id = task_id_of(text, field)
    if contents.tasks.get(task_id) is None:
        raise _unknown(contents, task_id, field)
    return task_id


def _unknown(contents: Contents, task_id: bytes, field: str) -> UnknownTask:
    text = format_id(task_id, TASK)
    known = [format_id(task_id, TASK) for task_id in islice(contents.tasks, SEARCHED_AT_MOST)]
    alike = [other for other in known if short_id(other) == short_id(text)] or difflib.get_close_matches(
        text, known[:100], 1, 0.8
    )
    hint = f"did you mean {alike[0]}?" if alike else ""
    return UnknownTask(task_id, hint, field)


def _cycle(contents: Contents, source: bytes, target: bytes, field: str = "") -> Conflict:
    path = find_path(contents.after, target, source) or [source]
    named = [_name(contents, task_id) for task_id in [source, *path]]
    if len(named) > 2 * NAMED_AT_MOST:
        left_out = len(named) - 2 * NAMED_AT_MOST
        named = [*named[:NAMED_AT_MOST], f"… {left_out} more …", *named[-NAMED_AT_MOST:]]
    return Conflict("cycle", f"this would close a cycle: {' -> '.join(named)}", field=field)


def _names(contents: Contents, task_ids: list[bytes]) -> str:
    named = ", ".join(_name(contents, task_id) for task_id in task_ids[:NAMED_AT_MOST])
    more = len(task_ids) - NAMED_AT_MOST
    return f"{named} and {more} more" if more > 0 else named


def _name(contents: Contents, task_id: bytes) -> str:
    spec = contents.spec(task_id)
    return _label(spec) if spec else short_id(format_id(task_id, TASK))


def _label(spec: TaskSpec) -> str:
    return f"{spec.name} ({short_id(format_id(spec.task_id, TASK))})"
