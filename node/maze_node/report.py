"""A capacity for people and for programs (`maze-node detect`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from maze_protocol.resources import Capacity, Device

__all__ = ["describe", "lines"]


def describe(capacity: Capacity) -> dict[str, Any]:
    """Return a capacity as JSON types."""
    return {
        "cpu": capacity.cpu_milli / 1000,
        "cpu_mem": capacity.mem_mib,
        "gpus": [
            {
                "index": each.index,
                "mem": each.mem_mib,
                "uuid": each.uuid,
                "name": each.name,
                "origin": _whence(capacity, each),
            }
            for each in capacity.devices
        ],
        "workers": capacity.workers,
        "origins": dict(capacity.origins),
    }


def lines(capacity: Capacity) -> Iterator[str]:
    """Yield a capacity as lines of text."""
    origins = dict(capacity.origins)
    yield _line("CPUs", f"{capacity.cpu_milli / 1000:g}", origins["cpu"])
    yield _line("Memory", f"{capacity.mem_mib:,} MiB", origins["memory"])
    yield _line("GPUs", str(len(capacity.devices)), origins["gpu"])
    for each in capacity.devices:
        what = f"  GPU {each.index}: {each.name or 'unnamed'}, {each.mem_mib:,} MiB {each.uuid}".rstrip()
        yield f"{what} ({_whence(capacity, each)})"
    yield _line("Workers", f"at most {capacity.workers}", origins["workers"])


def _whence(capacity: Capacity, device: Device) -> str:
    """Return the origin of a device's memory: its own if others use some of it, else that of all devices."""
    origins = dict(capacity.origins)
    return origins.get(f"gpu {device.index}", origins["gpu"])


def _line(what: str, amount: str, origin: str) -> str:
    return f"{what + ':':<9}{amount:<16}({origin})"
