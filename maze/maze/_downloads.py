"""The files among the results of a run, put into a directory for the user; on a terminal with a bar for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from maze_protocol.shown import one_line

if TYPE_CHECKING:
    from maze._results import RunRecord
    from maze._values.file import File

__all__ = ["files_of", "save_files"]

_LARGE: Final = 1 << 20


def files_of(record: RunRecord) -> list[File]:
    """Return the files that the tasks of a run returned, in the order in which they finished."""
    from maze._values.file import File

    results = [entry.message["data"] for entry in record.entries if entry.message["type"] == "finish_task"]
    return [value for data in results for value in data["result"].values() if type(value) is File]


def save_files(files: list[File], directory: str, *, bars: bool) -> Iterator[Path]:
    """Put files into a directory, which is made if it is not there; yield where each is.

    A file of an earlier call is replaced; two of one call, and directories, get different names.

    Args:
        files: what to save. Their `path` tells where they are from then on.
        directory: where to.
        bars: whether to show how far large ones are.

    Raises:
        OSError: the directory cannot be written.
    """
    if not files:
        return
    home = Path(directory)
    home.mkdir(parents=True, exist_ok=True)
    taken: set[Path] = set()
    for file in files:
        target = _free(home, file, taken)
        taken.add(target)
        with _bar(file, shown=bars and file.size >= _LARGE):
            file.save_as(target)
        yield target


def _free(home: Path, file: File, taken: set[Path]) -> Path:
    target, number = home / file.name, 1
    while target in taken or target.is_dir() or (file.is_directory and target.exists()):
        number += 1
        target = home / f"{number}-{file.name}"
    return target


@contextmanager
def _bar(file: File, *, shown: bool) -> Iterator[None]:
    if not shown:
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(), transient=True) as progress:
        task = progress.add_task(one_line(file.name), total=file.size)
        tell: Callable[[int], Any] = lambda done: progress.update(task, completed=done)  # noqa: E731 -- a name for it
        with file.watched(tell):
            yield
