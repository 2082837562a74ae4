"""What a node lacks of what a shape asks for, in numbers and in words. For people; the scheduler never asks it.

Whether a node may take a shape is for fitness.py and the ledger to say, and this module never contradicts them: it
finds something exactly when they say no, which a property test holds it to.

The *nearest* of several nodes is the one that lacks least: by the sum of the fractions that are missing, where another
Python or a label counts as one whole; of equals, the one that joined first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from maze_head.core.graph import Shape
from maze_head.core.ledger import Ledger
from maze_head.core.nodes import Node
from maze_protocol.resources import Request

__all__ = ["LABEL", "Lack", "lacks", "lacks_now", "least", "lists"]

LABEL = "label:"


class Lack(NamedTuple):
    """One thing that a node lacks."""

    what: str
    """cpu, cpu_mem, gpu, gpu_mem, workers, python, sandbox, seconds, company, or label:NAME."""
    asked: float | str
    has: float | str
    text: str
    """What it has, and what is asked; begins where the node's name ends."""
    weight: float = 1.0
    """The fraction of what is asked that is missing."""


def lacks(node: Node, shape: Shape, now: float) -> list[Lack]:
    """Return what a node would lack even if it were idle."""
    return [*_traits(node, shape), *_time(node, shape, now), *_amounts(Ledger(node.ledger.capacity), shape.request, "")]


def lacks_now(node: Node, shape: Shape, now: float) -> list[Lack]:
    """Return what a node lacks at this moment."""
    ledger = node.ledger
    return [
        *_traits(node, shape),
        *_time(node, shape, now),
        *_company(node, shape),
        *_amounts(ledger, shape.request, " free"),
    ]


def least(found: Iterable[tuple[Node, list[Lack]]]) -> tuple[Node, list[Lack]]:
    """Return the node that lacks least, with what that is; there must be one."""
    return min(found, key=lambda pair: (sum(lack.weight for lack in pair[1]), pair[0].serial))


def lists(found: list[Lack]) -> dict[str, tuple[float | str, float | str]]:
    """Return what is missing for programs: what is asked, and what is had."""
    return {lack.what: (lack.asked, lack.has) for lack in found}


def _traits(node: Node, shape: Shape) -> list[Lack]:
    found = []
    if not node.runs_python(shape.python):
        asked, has = _version(shape.python), _version(node.python)
        found.append(Lack("python", asked, has, f"runs Python {has}, its code needs {asked}"))
    if shape.sandbox and not node.hello.sandbox:
        found.append(Lack("sandbox", 1, 0, "is of a version of Maze that knows no sandbox"))
    for key, value in shape.terms.require:
        label = node.hello.labels.get(key)
        if label is None or value not in ("", label):
            had = "has no label {key}" if label is None else f"has {key}={label}"
            asked = f"{key}={value}" if value else f"label {key}"
            found.append(Lack(LABEL + key, value, label or "", f"{had.format(key=key)}, it asks for {asked}"))
    return found


def _version(python: tuple[int, int]) -> str:
    return f"{python[0]}.{python[1]}"


def _time(node: Node, shape: Shape, now: float) -> list[Lack]:
    if node.leaves_at is None or now + shape.seconds <= node.leaves_at:
        return []
    left = max(0.0, node.leaves_at - now)
    if not shape.seconds:
        return [Lack("seconds", 0.0, 0.0, "is about to leave")]
    text = f"leaves in {left:.0f} s, it may take {shape.seconds:g} s"
    return [Lack("seconds", shape.seconds, left, text, 1 - left / shape.seconds)]


def _company(node: Node, shape: Shape) -> list[Lack]:
    attempts = node.ledger.attempts
    if node.solo:
        return [Lack("company", 0, attempts, "runs a task that has to be alone")]
    if not shape.terms.alone or not attempts:
        return []
    return [Lack("company", 0, attempts, f"is not empty ({attempts} running), it has to be alone")]


def _amounts(ledger: Ledger, request: Request, free: str) -> list[Lack]:
    found = []
    if ledger.attempts >= ledger.capacity.workers:
        found.append(Lack("workers", 1, 0, f"runs as many tasks as it may ({ledger.attempts})"))
    if request.cpu_milli > ledger.cpu_free:
        asked, has = request.cpu_milli / 1000, ledger.cpu_free / 1000
        found.append(_short("cpu", asked, has, f"has {_count(has, 'CPU')}{free}, it asks for {asked:g}"))
    if request.mem_mib > ledger.mem_free:
        mem, asked_mem = ledger.mem_free, request.mem_mib
        found.append(_short("cpu_mem", asked_mem, mem, f"has {mem} MiB of memory{free}, it asks for {asked_mem}"))
    return [*found, *_devices(ledger, request, free)] if request.wants_gpu else found


def _short(what: str, asked: float, has: float, text: str) -> Lack:
    # A capacity that shrank under what runs leaves less than nothing, which even who asks for nothing does not get.
    return Lack(what, asked, has, text, (asked - max(has, 0)) / asked if asked else 1.0)


def _count(amount: float, what: str) -> str:
    return f"{amount:g} {what}" if amount == 1 else f"{amount:g} {what}s"


def _devices(ledger: Ledger, request: Request, free: str) -> list[Lack]:
    """Return what is missing of devices, or of memory on as many of them as are asked for."""
    if request.gpu_share:
        return _share(ledger, request, free)
    count = request.whole_devices
    room = sorted((device.mem for device in ledger.devices.values() if device.untouched), reverse=True)
    if len(room) < count:
        text = f"has {_count(len(room), 'GPU')}{free}, it asks for {count}"
        return [_short("gpu", count, len(room), text)]
    return _memory(request, room[count - 1], count, free)


def _share(ledger: Ledger, request: Request, free: str) -> list[Lack]:
    part = max(request.gpu_milli, 1)
    most = max((device.free_milli for device in ledger.devices.values()), default=0)
    if most < part:
        had = f"at most {most / 1000:g} of a GPU" if most else "no GPU"
        asked = f"{request.gpu_milli / 1000:g} of one" if request.gpu_milli else "a share of one"
        text = f"has {had}{free}, it asks for {asked}"
        return [_short("gpu", request.gpu_milli / 1000 or 1.0, most / 1000, text)]
    return _memory(request, max(d.free_mem for d in ledger.devices.values() if d.free_milli >= part), 1, free)


def _memory(request: Request, has: int, count: int, free: str) -> list[Lack]:
    asked = request.gpu_mem_mib
    if asked <= has:
        return []
    text = f"has {_count(count, 'GPU')} with {has} MiB{free}, it asks for {asked} on each"
    return [_short("gpu_mem", asked, has, text)]
