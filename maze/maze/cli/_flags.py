"""Flags that a command hands on to the daemons it starts.

Rules. What was set on the command line, or in the command's own table of a configuration file, is handed on. Daemons
read `MAZE_*` and their own tables themselves, and keep their own defaults; only embedded ones must be told, because
they are started without either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click
from click.core import ParameterSource

__all__ = ["FLAG_OR_FILE", "NODE_FLAGS", "given"]

FLAG_OR_FILE: Final = (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP)
NODE_FLAGS: Final = ("cpus", "memory", "gpus", "gpu_mem", "detect", "label", "workers", "preload", "isolation")


def given(context: click.Context, names: Sequence[str], *sources: ParameterSource) -> list[str]:
    """Return those of the named options that came from one of the sources (FLAG_OR_FILE), as a command line."""
    flags = []
    for name in names:
        if context.get_parameter_source(name) in (sources or FLAG_OR_FILE):
            flags += _flag(f"--{name.replace('_', '-')}", context.params[name])
    return flags


def _flag(flag: str, value: object) -> list[str]:
    if isinstance(value, bool):
        return [flag] if value else []
    values = value if isinstance(value, tuple) else (value,)
    return [f"{flag}={each}" for each in values]
