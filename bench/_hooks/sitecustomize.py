"""Lets hot_path.py look into daemons and workers: this folder is in their PYTHONPATH, so that they import it first.

SIGUSR2 starts a profile, a second SIGUSR2 ends it and writes it to FOLDER/PID.json. Nothing of Maze knows of it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

_running: list[Any] = []


def _toggle(_number: int, _frame: Any) -> None:
    sys.path.append(os.environ["BENCH_TOOLS"])
    from _sampling import KINDS

    sys.path.pop()
    if not _running:
        _running.append(KINDS[os.environ["BENCH_PROFILE"]]())
        _running[0].start()
        return
    found = _running.pop().stop()
    written = Path(os.environ["BENCH_FOLDER"]) / f"{os.getpid()}.json"
    written.with_suffix(".part").write_text(json.dumps(found))
    written.with_suffix(".part").rename(written)


if "BENCH_PROFILE" in os.environ:
    signal.signal(signal.SIGUSR2, _toggle)
