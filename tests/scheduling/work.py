"""The tasks of scheduler tests: what they were given, and when they ran, can be read from their own records.

This module stands beside the tests, where no worker could import it: its functions travel by value.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maze import task


@dataclass(frozen=True)
class Record:
    """One attempt, as its task tells."""

    name: str
    visible: str
    """CUDA_VISIBLE_DEVICES."""
    start: float
    end: float


@task(inputs=["folder", "name", "seconds"], outputs=["name"])
def sleep_and_tell(params: dict[str, Any]) -> dict[str, Any]:
    """Sleep, and leave a record of it; `name` is the name of the file."""
    import json
    import os
    import time
    from pathlib import Path

    start = time.monotonic()
    time.sleep(params["seconds"])
    told = [params["name"], os.environ.get("CUDA_VISIBLE_DEVICES", ""), start, time.monotonic()]
    Path(params["folder"], params["name"]).write_text(json.dumps(told))
    return {"name": params["name"]}


@task(inputs=["seconds"], outputs=["seconds"])
def sleep(params: dict[str, Any]) -> dict[str, Any]:
    """Sleep."""
    import time

    time.sleep(params["seconds"])
    return {"seconds": params["seconds"]}


def records(folder: Path) -> dict[str, Record]:
    """Return what the tasks told, by name."""
    told = [Record(*json.loads(path.read_text())) for path in folder.iterdir()]
    return {record.name: record for record in told}
