"""Rules of workflow graphs: cycles, depth, order, references. Pure, generic in the key, standard library only.

The SDK's draft and the head's validation use the same functions, so both refuse the same graphs with the same
words. Iterative throughout: a chain of 100,000 tasks must not meet the recursion limit.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

__all__ = [
    "OUTPUT_MARK", "depth", "find_cycle", "find_path", "format_reference", "parse_reference", "topological_order",
]  # fmt: skip

Key = TypeVar("Key", bound=Hashable)
OUTPUT_MARK: Final = ".output."


def parse_reference(text: str) -> tuple[str, str]:
    """Split `{task_id}.output.{key}` at its first mark; keys may contain dots.

    Raises:
        ValueError: the mark, the id or the key is missing.
    """
    task_id, mark, key = text.partition(OUTPUT_MARK)
    if not (task_id and mark and key):
        raise ValueError(f"not a reference: {text[:120]!r} (expected 'TASK_ID.output.KEY')")
    return task_id, key


def format_reference(task_id: str, key: str) -> str:
    """Return the server's text for an output of a task."""
    return f"{task_id}{OUTPUT_MARK}{key}"


def find_path(successors: Mapping[Key, Iterable[Key]], start: Key, goal: Key) -> list[Key] | None:
    """Return the tasks on some path from `start` to `goal`, both included, or None.

    An edge `source -> target` closes a cycle exactly if a path leads from `target` to `source`.
    """
    came_from: dict[Key, Key | None] = {start: None}
    stack = [start]
    while stack:
        here = stack.pop()
        if here == goal:
            return _walk_back(came_from, goal)
        for there in successors.get(here, ()):
            if there not in came_from:
                came_from[there] = here
                stack.append(there)
    return None


def _walk_back(came_from: Mapping[Key, Key | None], goal: Key) -> list[Key]:
    path = [goal]
    while (before := came_from[path[-1]]) is not None:
        path.append(before)
    return path[::-1]


def topological_order(nodes: Sequence[Key], successors: Mapping[Key, Iterable[Key]]) -> list[Key]:
    """Return the nodes so that every edge points forward; nodes on cycles are missing from it (Kahn 1962)."""
    missing = dict.fromkeys(nodes, 0)
    for node in nodes:
        for there in successors.get(node, ()):
            missing[there] += 1
    order = [node for node in nodes if missing[node] == 0]
    for node in order:
        for there in successors.get(node, ()):
            missing[there] -= 1
            if missing[there] == 0:
                order.append(there)
    return order


def find_cycle(nodes: Sequence[Key], successors: Mapping[Key, Iterable[Key]]) -> list[Key] | None:
    """Return a cycle as `[a, b, a]`, or None for a directed acyclic graph."""
    placed = set(topological_order(nodes, successors))
    left = [node for node in nodes if node not in placed]
    if not left:
        return None
    rest = {node: [there for there in successors.get(node, ()) if there not in placed] for node in left}
    for node in left:
        for there in rest[node]:
            path = find_path(rest, there, node)
            if path is not None:
                return [node, *path]
    raise AssertionError("nodes outside the topological order without a cycle")


def depth(nodes: Sequence[Key], successors: Mapping[Key, Iterable[Key]]) -> int:
    """Return the number of tasks on the longest path; 0 for an empty graph."""
    level = dict.fromkeys(nodes, 1)
    for node in topological_order(nodes, successors):
        for there in successors.get(node, ()):
            level[there] = max(level[there], level[node] + 1)
    return max(level.values(), default=0)
