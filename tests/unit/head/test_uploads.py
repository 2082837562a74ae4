"""When uploads are swept, and which."""

from __future__ import annotations

import asyncio
import os
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from maze_head.blobdir import BlobDirectory
from maze_head.core.events import ListUploads
from maze_head.uploads import EVERY, KEPT, UploadSweep
from support.api_double import ScriptedDriver, asynchronous


def upload(blobs: BlobDirectory, data: bytes, age: float) -> bytes:
    hash_ = blake2b(data, digest_size=32).digest()
    one = blobs.begin_upload(hash_, len(data))
    one.write(data)
    os.utime(one.finish(), (1e9 - age, 1e9 - age))
    return hash_


def left(blobs: BlobDirectory, *hashes: bytes) -> list[bool]:
    return [blobs.open_upload(hash_) is not None for hash_ in hashes]


def sweeping(test: Any) -> Any:
    """Run a test with a sweep over a directory of its own."""

    def run(tmp_path: Path) -> None:
        @asynchronous
        async def check() -> None:
            driver: Any = ScriptedDriver()
            blobs = BlobDirectory(tmp_path)
            blobs.prepare(())
            sweep = UploadSweep(driver, blobs)
            await test(sweep, driver, blobs)
            await sweep.close()

        check()

    run.__name__ = test.__name__
    return run


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@sweeping
async def test_what_no_workflow_has_goes_after_a_day(sweep: UploadSweep, driver: Any, blobs: BlobDirectory) -> None:
    old, needed, young = upload(blobs, b"a", KEPT + 1), upload(blobs, b"b", KEPT + 1), upload(blobs, b"c", KEPT - 1)
    driver.answers[ListUploads] = frozenset({needed})
    await sweep.sweep(1e9)
    assert left(blobs, old, needed, young) == [False, True, True]


@sweeping
async def test_once_an_hour(sweep: UploadSweep, driver: Any, blobs: BlobDirectory) -> None:
    driver.answers[ListUploads] = frozenset()
    for wall in (1e9, 1e9 + 1, 1e9 + EVERY - 1, 1e9 + EVERY):
        sweep.tick(wall)
        while sweep._running is not None and not sweep._running.done():
            await asyncio.sleep(0)
    assert len(driver.asked) == 2


@sweeping
async def test_a_disk_that_refuses_is_no_reason_to_stop(sweep: UploadSweep, driver: Any, blobs: BlobDirectory) -> None:
    driver.answers[ListUploads] = frozenset()
    (blobs._values).rmdir()
    await sweep.sweep(1e9)
