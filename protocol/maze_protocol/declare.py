"""What a task or a run may declare: resources, data types, names, priorities. Standard library only.

Shared by the decorator (which must not load msgspec), by the head's validation and by the original's wire.
The rules are those of the API reference, with the decisions that it leaves open (docs/semantics.md):
`cpu <= 0` becomes 1 and fractions stay; `gpu_mem > 0` with `gpu == 0` shows `gpu: 1` yet shares a device by
memory; whole GPUs above one only; negative amounts, NaN, infinities, bools and unknown keys are errors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = [
    "DATA_TYPES", "DEFAULT_RESOURCES", "BadName", "Declared", "check_name", "check_priority", "check_project",
    "normalise_resources",
]  # fmt: skip

DATA_TYPES: Final = ("str", "int", "float", "bool", "list", "dict", "any", "file", "file:image")
DEFAULT_RESOURCES: Final[Mapping[str, float]] = {"cpu": 1, "cpu_mem": 0, "gpu": 0, "gpu_mem": 0}
MAX_AMOUNT: Final = 1_000_000_000
MAX_PRIORITY: Final = 100


class BadName(ValueError):
    """A name that is empty, too long, or cannot be shown as it is."""


class Declared(NamedTuple):
    """Resources as declared: `shown` is what users see, the rest is what the scheduler counts."""

    shown: dict[str, int | float]
    cpu_milli: int
    mem_mib: int
    gpu_milli: int
    gpu_mem_mib: int
    gpu_share: bool
    """The task shares one device (by memory, and by fraction if one was given)."""


def normalise_resources(resources: Mapping[str, object] | None) -> Declared:
    """Fill in defaults and convert to integer units.

    Args:
        resources: any of `cpu` (cores), `cpu_mem` (MiB), `gpu` (devices), `gpu_mem` (MiB), or None.

    Raises:
        TypeError: a value is not a number, or `resources` is no mapping.
        ValueError: an unknown key, a negative, non-finite or absurd amount, a fraction above one GPU.
    """
    given = _checked(resources)
    cpu = given["cpu"] if given["cpu"] > 0 else 1
    gpu_mem = int(given["gpu_mem"])
    gpu = given["gpu"]
    implied = gpu_mem > 0 and gpu == 0
    if gpu > 1 and gpu != int(gpu):
        raise ValueError(f"resources['gpu'] = {gpu}: more than one GPU must be a whole number")
    shown = {"cpu": cpu, "cpu_mem": int(given["cpu_mem"]), "gpu": 1 if implied else gpu, "gpu_mem": gpu_mem}
    return Declared(
        shown=shown,
        cpu_milli=max(1, round(cpu * 1000)),
        mem_mib=int(given["cpu_mem"]),
        gpu_milli=max(1, round(gpu * 1000)) if gpu else 0,
        gpu_mem_mib=gpu_mem,
        gpu_share=implied or 0 < gpu < 1,
    )


def _checked(resources: Mapping[str, object] | None) -> dict[str, int | float]:
    given: dict[str, int | float] = dict(DEFAULT_RESOURCES)
    if resources is None:
        return given
    if not isinstance(resources, Mapping):
        raise TypeError(f"resources must be a dict, not {type(resources).__name__}")
    for key, amount in resources.items():
        if key not in given:
            raise ValueError(f"unknown resource {key!r}: allowed are {', '.join(given)}")
        given[key] = _amount(key, amount)
    return given


def _amount(key: str, amount: object) -> int | float:
    if isinstance(amount, bool) or not isinstance(amount, (int, float)):
        raise TypeError(f"resources[{key!r}] must be a number, not {type(amount).__name__}")
    if not math.isfinite(amount) or amount > MAX_AMOUNT:
        raise ValueError(f"resources[{key!r}] = {amount} is out of range")
    if amount < 0 and key != "cpu":
        raise ValueError(f"resources[{key!r}] = {amount} is negative")
    return amount


def check_name(name: str, what: str, limit: int = 256) -> str:
    """Return a display name if it is printable and short.

    Raises:
        BadName: empty, longer than `limit`, or with control characters (they would forge log lines).
    """
    if not name or len(name) > limit:
        raise BadName(f"{what} must have 1 to {limit} characters, got {len(name)}")
    if any(not character.isprintable() for character in name):
        raise BadName(f"{what} contains control characters: {name[:40]!a}")
    return name


def check_priority(priority: int) -> int:
    """Return the priority of a run.

    Raises:
        ValueError: out of range.
    """
    if not -MAX_PRIORITY <= priority <= MAX_PRIORITY:
        raise ValueError(f"priority = {priority}: allowed are {-MAX_PRIORITY} to {MAX_PRIORITY}")
    return priority


def check_project(project: str) -> str:
    """Return the name of a project; the empty one stands for all who name none.

    Raises:
        BadName: too long, or with control characters.
    """
    return check_name(project, "the name of a project") if project else project
