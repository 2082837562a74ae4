"""The tasks of _functions.py as Maze has them, and some that only Maze is asked to run."""

from __future__ import annotations

import time
from typing import Any

import _functions as plain

from maze import task


@task(inputs=["x"], outputs=["x"])
def identity(params: dict[str, Any]) -> dict[str, Any]:
    """Return the input."""
    return {"x": params["x"]}


@task(inputs=["x"], outputs=["x"])
def increment(params: dict[str, Any]) -> dict[str, Any]:
    """Return the next number."""
    return {"x": params["x"] + 1}


@task(inputs=["x"], outputs=["x"])
def spin(params: dict[str, Any]) -> dict[str, Any]:
    """Keep a CPU busy for a millisecond."""
    return {"x": plain.spin(params["x"])}


@task(inputs=["values"], outputs=["x"])
def total(params: dict[str, Any]) -> dict[str, Any]:
    """Return the sum."""
    return {"x": sum(params["values"])}


@task(inputs=["rows"], outputs=["x"])
def array_of(params: dict[str, Any]) -> dict[str, Any]:
    """Return a float64 array."""
    return {"x": plain.array_of(params["rows"])}


@task(inputs=["rows"], outputs=["x"])
def bytes_of(params: dict[str, Any]) -> dict[str, Any]:
    """Return so many bytes."""
    return {"x": plain.bytes_of(params["rows"])}


@task(inputs=["x"], outputs=["x"])
def size_of(params: dict[str, Any]) -> dict[str, Any]:
    """Look at a payload."""
    return {"x": plain.size_of(params["x"])}


@task(inputs=["x"], outputs=["x", "at"])
def clocked(params: dict[str, Any]) -> dict[str, Any]:
    """Return the input, and when that was."""
    return {"x": params["x"], "at": time.time()}


@task(inputs=["x", "path"], outputs=["x"])
def stamped(params: dict[str, Any]) -> dict[str, Any]:
    """Sleep for ten milliseconds, and write down when that began and ended."""
    return {"x": plain.stamped(params["x"], params["path"])}


@task(inputs=["path"], outputs=["x"])
def wait_for(params: dict[str, Any]) -> dict[str, Any]:
    """Keep a worker until a file is there."""
    return {"x": plain.wait_for(params["path"])}


@task(inputs=["x"], outputs=["x"], resources={"gpu": 1, "gpu_mem": 1})
def never(params: dict[str, Any]) -> dict[str, Any]:
    """Wait for a GPU that no node here has."""
    return params


@task(inputs=["rows"], outputs=["x", "at"], require={"place": "n0"})
def array_here(params: dict[str, Any]) -> dict[str, Any]:
    """Return a float64 array made on the first node, and when it was ready."""
    made = plain.array_of(params["rows"])
    return {"x": made, "at": time.time()}


@task(inputs=["x"], outputs=["x", "at"], require={"place": "n1"})
def size_there(params: dict[str, Any]) -> dict[str, Any]:
    """Look at a payload on the second node, and tell when it was there."""
    at = time.time()
    return {"x": plain.size_of(params["x"]), "at": at}
