"""What lies behind each task of a graph, for disciplines: computed once per graph, when one first asks.

Rules
* Tasks that a discipline cannot tell apart form a group, so that the million tasks of a map are one: `of` holds the
  group of each task, four bytes of it, and everything else is kept per group.
* Counting descendants exactly takes a bit per pair of tasks. It is done for connected parts of up to EXACT tasks.
  Beyond that a count is bounded from above: by the sum over the successors (each with all that lies behind it), and by
  the number of tasks of the part that are nearer to a sink. That is right for trees, and for layers that depend on all
  of the layer before; it is too high where many paths meet again. Such bounds are rounded down to four binary digits,
  which keeps the groups few.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Generic, NamedTuple, TypeVar

from maze_head.core.graph import Graph
from maze_head.core.observed import kind_of

__all__ = ["EXACT", "Groups", "Standing", "Stretch", "standings", "stretches"]

EXACT: Final = 4096
ROUNDED_BITS: Final = 4


class Standing(NamedTuple):
    """Tasks of one function with the same number of descendants."""

    code: bytes
    kind: str
    descendants: int


class Stretch(NamedTuple):
    """Tasks of one function that are followed by tasks of the same groups."""

    code: bytes
    kind: str
    after: tuple[int, ...]
    """The groups that follow; their numbers are smaller than that of this one."""


Member = TypeVar("Member", Standing, Stretch)


@dataclass(frozen=True, slots=True)
class Groups(Generic[Member]):
    """The tasks of a graph, divided."""

    of: array[int]
    members: list[Member]


def standings(graph: Graph) -> Groups[Standing]:
    """Return the tasks of a graph by function and number of descendants."""
    if graph.standings is None:
        numbers: dict[Standing, int] = {}
        counts, kinds = _descendants(graph), _kinds(graph)
        of = array("I", (
            numbers.setdefault(Standing(graph.function(task), kinds[graph.shape_of[task]], count), len(numbers))
            for task, count in enumerate(counts)
        ))  # fmt: skip
        graph.standings = Groups(of, list(numbers))
    return graph.standings


def stretches(graph: Graph) -> Groups[Stretch]:
    """Return the tasks of a graph by function and what follows, whatever the function takes."""
    if graph.stretches is None:
        numbers: dict[Stretch, int] = {}
        of, kinds = array("I", bytes(4 * len(graph))), _kinds(graph)
        for task in reversed(_sorted(graph)):
            after = tuple(sorted(dict.fromkeys([of[there] for there in graph.after(task)])))
            stretch = Stretch(graph.function(task), kinds[graph.shape_of[task]], after)
            of[task] = numbers.setdefault(stretch, len(numbers))
        graph.stretches = Groups(of, list(numbers))
    return graph.stretches


def _kinds(graph: Graph) -> list[str]:
    return [kind_of(shape.request) for shape in graph.shapes]


def _sorted(graph: Graph) -> list[int]:
    """Return the tasks in an order in which each comes after all that it waits for."""
    order, missing = list(graph.roots), array("I", graph.missing)
    for task in order:
        for there in graph.after(task):
            missing[there] -= 1
            if not missing[there]:
                order.append(there)
    return order


def _descendants(graph: Graph) -> array[int]:
    counts = array("I", bytes(4 * len(graph)))
    for part in _parts(graph, _sorted(graph)):
        (_count if len(part) <= EXACT else _bound)(graph, part, counts)
    return counts


def _parts(graph: Graph, order: list[int]) -> list[list[int]]:
    """Return the connected parts of a graph, each in the given order; tasks without edges are left out."""
    if len(order) <= EXACT:
        return [order]
    root = array("I", range(len(order)))
    for task in order:
        for there in graph.after(task):
            root[_find(root, there)] = _find(root, task)
    parts: dict[int, list[int]] = {}
    for task in order:
        if graph.missing[task] or graph.after(task):
            parts.setdefault(_find(root, task), []).append(task)
    return list(parts.values())


def _find(root: array[int], task: int) -> int:
    while root[task] != task:
        root[task] = root[root[task]]
        task = root[task]
    return task


def _count(graph: Graph, part: list[int], counts: array[int]) -> None:
    behind: dict[int, int] = {}
    """Per task, itself and its descendants as bits."""
    # From the sinks on, which so have the low bits: most of these numbers are short.
    for bit, task in enumerate(reversed(part)):
        bits = 0
        for there in graph.after(task):
            bits |= behind[there]
        counts[task] = bits.bit_count()
        behind[task] = bits | 1 << bit


def _bound(graph: Graph, part: list[int], counts: array[int]) -> None:
    heights = dict.fromkeys(part, 0)
    at = [0] * len(part)
    for task in reversed(part):
        heights[task] = max([heights[there] + 1 for there in graph.after(task)], default=0)
        at[heights[task]] += 1
    nearer = list(accumulate(at, initial=0))
    bounds = dict.fromkeys(part, 0)
    for task in reversed(part):
        total = sum([bounds[there] + 1 for there in graph.after(task)])
        bounds[task] = min(total, nearer[heights[task]])
        counts[task] = _rounded(bounds[task])


def _rounded(count: int) -> int:
    spare = max(0, count.bit_length() - ROUNDED_BITS)
    return count >> spare << spare
