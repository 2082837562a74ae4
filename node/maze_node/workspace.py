"""The working directory of an attempt that has to do with files: made when it is needed, gone with the attempt.

An attempt gets one if an input of it is a file, or if it declares an output of type `file` or `file:image`. All others
pay nothing, and run where the node was started. workdirs.py tells where it is, and who removes it if the worker cannot.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from maze._values.file import File
from maze_node.errors import NotOurs, TaskFault
from maze_node.frames import TaskFrame
from maze_node.workdirs import make

__all__ = ["Workspace"]

FILE_TYPES: Final = frozenset(("file", "file:image"))


class Workspace:
    """The files of one attempt."""

    __slots__ = ("_declared", "_frame", "_made")

    def __init__(self, frame: TaskFrame) -> None:
        self._frame = frame
        self._made: Path | None = None
        self._declared: list[str] = []
        for declared in frame.outputs:
            if declared.data_type in FILE_TYPES:
                self._declared.append(declared.key)
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

    def given(self, outputs: dict[str, Any], warnings: list[str]) -> dict[str, Any]:
        """Return the outputs with a File for each path of an existing file, and warn of declared ones that are none."""
        files = {key: _declared_file(key, outputs.get(key), warnings) for key in self._declared}
        for key, value in outputs.items():
            if isinstance(value, Path) and key not in files:
                files[key] = _as_file(value)
        return outputs | files if files else outputs

    def remove(self) -> None:
        """Remove the working directory with all that is in it."""
        if self._made is not None:
            import shutil

            shutil.rmtree(self._made, ignore_errors=True)

    def _enter(self) -> Path:
        if self._made is None:
            try:
                self._made = make(os.getppid(), os.getpid(), self._frame.lease)
            except (OSError, NotOurs) as error:
                raise TaskFault("no_room", "NoRoom", f"no working directory for files: {error}") from error
            os.chdir(self._made)
        return self._made


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
