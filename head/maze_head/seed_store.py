"""Files that the original's front client uploads: beside the blobs, by workflow, until it says that they may go.

    <state directory>/files/<workflow, hex>/<random>/<name>

Every call may wait for the disk. Nothing outside the directory of a workflow is ever opened or removed for it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import BinaryIO, Final

__all__ = ["SeedStore"]

DIRECTORY: Final = "files"
NAME_BYTES: Final = 200


class SeedStore:
    """The uploaded files of one state directory."""

    def __init__(self, state_dir: Path) -> None:
        self._root = state_dir / DIRECTORY

    def create(self, workflow_id: bytes, name: str) -> tuple[BinaryIO, Path]:
        """Open a new file; return it with its place, whose last word is the name's.

        Raises:
            OSError: the disk does not take it.
        """
        folder = self._root / workflow_id.hex() / os.urandom(8).hex()
        folder.mkdir(mode=0o700, parents=True)
        path = folder / _plain(name)
        return path.open("xb"), path

    def open(self, workflow_id: bytes, path: str) -> BinaryIO | None:
        """Open an uploaded file of a workflow; None if that is none."""
        try:
            found = Path(path).resolve(strict=True)
            return found.open("rb") if found.is_relative_to((self._root / workflow_id.hex()).resolve()) else None
        except (OSError, ValueError):
            return None

    def remove(self, workflow_id: bytes) -> None:
        """Remove all files of a workflow."""
        shutil.rmtree(self._root / workflow_id.hex(), ignore_errors=True)


def _plain(name: str) -> str:
    word = name.replace("\\", "/").rpartition("/")[2].replace("\0", "").encode()[:NAME_BYTES].decode("utf-8", "ignore")
    return word if word not in ("", ".", "..") else "file"
