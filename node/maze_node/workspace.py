"""The working directory of an attempt that has to do with files: made when it is needed, gone with the attempt.

An attempt gets one if an input of it is a file, or if it declares an output of type `file` or `file:image`. All others
pay nothing, and run where the node was started. workdirs.py tells where it is, and who removes it if the worker cannot.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maze._values.file import File
from maze_node.errors import NotOurs, TaskFault
from maze_node.workdirs import make

__all__ = ["Workspace"]


class Workspace:
    """The files of one attempt."""

    __slots__ = ("_lease", "declared", "made", "warnings")

    def __init__(self, declared: Sequence[str], lease: int) -> None:
        self._lease = lease
        self.made: Path | None = None
        """The directory, if one was needed."""
        self.declared = declared
        """Outputs that are to be files."""
        self.warnings: list[str] = []
        """Of the attempt, about what it returned."""

    def open(self) -> None:
        """Make the directory: an output is to be a file.

        Raises:
            TaskFault: there is no room for it.
        """
        self._enter()

    def received(self, value: Any) -> Any:
        """Put a file that came as an input into the working directory; return any value as it is.

        Raises:
            TaskFault: there is no room for it.
        """
        if type(value) is File:
            directory = self._enter()
            try:
                value.place(directory)
            except OSError as error:
                message = f"no room for {value.name!r} ({value.size:,} bytes): {error.strerror or error}"
                raise TaskFault("no_room", "NoRoom", message) from error
        return value

    def given(self, outputs: dict[str, Any]) -> dict[str, Any]:
        """Return the outputs with a File for each path of an existing file, and warn of declared ones that are none."""
        files = {key: _declared_file(key, outputs.get(key), self.warnings) for key in self.declared}
        for key, value in outputs.items():
            if isinstance(value, Path) and key not in files:
                files[key] = _as_file(value)
        return outputs | files if files else outputs

    def remove(self) -> None:
        """Remove the working directory with all that is in it."""
        if self.made is not None:
            import shutil

            shutil.rmtree(self.made, ignore_errors=True)

    def _enter(self) -> Path:
        if self.made is None:
            try:
                self.made = make(os.getppid(), os.getpid(), self._lease)
            except (OSError, NotOurs) as error:
                raise TaskFault("no_room", "NoRoom", f"no working directory for files: {error}") from error
            os.chdir(self.made)
        return self.made


def _as_file(value: Path) -> Any:
    """Return a File of a path that names a file; any other path is a value like others."""
    return File(value) if value.is_file() else value


def _declared_file(key: str, value: Any, warnings: list[str]) -> Any:
    """Return a File of a path; as with `any`, whatever else was returned passes."""
    if not isinstance(value, (str, Path)):
        return value
    if os.path.exists(value):
        return File(value)
    warnings.append(f"output {key!r} is declared as a file, and nothing is at {value!r:.200}: it stays a text")
    return value
