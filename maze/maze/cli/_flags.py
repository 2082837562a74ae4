"""Flags that a command hands on to the daemons it starts.

Rules. Only what was set on the command line, or in the command's own table of a configuration file, is handed on: the
daemons read `MAZE_*` and their own tables themselves, and keep their own defaults.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click
from click.core import ParameterSource

__all__ = ["CAPACITY_FLAGS", "given"]

CAPACITY_FLAGS: Final = ("cpus", "memory", "gpus", "gpu_mem", "label", "workers")


def given(context: click.Context, names: Sequence[str]) -> list[str]:
    """Return those of the named options that were set, as a command line."""
    flags = []
    for name in names:
        if context.get_parameter_source(name) in (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP):
            flags += _flag(f"--{name.replace('_', '-')}", context.params[name])
    return flags


def _flag(flag: str, value: object) -> list[str]:
    if isinstance(value, bool):
        return [flag] if value else []
    values = value if isinstance(value, tuple) else (value,)
    return [f"{flag}={each}" for each in values]
