"""Everything the HTTP API may touch, given to it by app.py. Nothing else of the head is imported for its state.

The API holds no facts: it asks the core through the driver, reads committed logs through the hub, and pulls
captured output from nodes. Each port below is the part of a shell that handlers use; tests give doubles.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from maze_head.blobfile import Upload
from maze_head.core.effects import ObjectPlace
from maze_head.core.events import Command
from maze_head.facts import KeptLog, RunPlace
from maze_head.tokens import TokenFinding
from maze_protocol.cluster import InfoBody
from maze_protocol.events import Segment
from maze_protocol.messages import LogChunk
from maze_protocol.values import OutputValue

__all__ = ["Asking", "BlobBringing", "BlobKeeping", "LogPulling", "RunReading", "SeedKeeping", "Services"]


class Asking(Protocol):
    """The driver, as the API sees it."""

    @property
    def running(self) -> bool:
        """Tell whether turns are being made and committed; false while recovering."""

    async def ask(self, make: Callable[[int], Command]) -> Any:
        """Hand the core the command made for a fresh ticket; return the reply after its commit.

        Raises:
            Rejected: the core refused it.
        """

    def post(self, make: Callable[[int], Command]) -> asyncio.Future[Any]:
        """Do as `ask` does; what is returned may be done already.

        Raises:
            Rejected: the head is stopping.
        """


class RunReading(Protocol):
    """The hub, as the API sees it: committed facts only."""

    async def find(self, run_id: bytes) -> RunPlace | None:
        """Look up a run; None if the head does not know it."""

    async def read(self, run_no: int, after_seq: int) -> list[Segment]:
        """Return committed segments holding events after `after_seq`, oldest first; maybe not all at once.

        The first one may also hold earlier events. An empty list means that nothing more is committed.
        """

    def ended(self, run_no: int, after_seq: int) -> bool:
        """Tell whether no event after `after_seq` will ever be committed."""

    async def wait(self, run_no: int, after_seq: int, timeout: float) -> bool:  # noqa: ASYNC109 -- the hub's own wait
        """Return True once events after `after_seq` are committed, False after `timeout` seconds or at the end."""

    def peek_outputs(self, run_no: int, task_no: int) -> tuple[OutputValue, ...] | None:
        """Return what `outputs` would if it is in memory, else None."""

    async def outputs(self, run_no: int, task_no: int) -> tuple[OutputValue, ...]:
        """Return the accepted outputs of a finished task with all bodies inline."""

    async def graph(self, workflow_id: bytes, version: int) -> bytes:
        """Return a graph version as the core encoded it (core/graph.py decodes)."""

    async def kept_log(self, run_no: int, task_no: int, attempt: int, stream: int) -> KeptLog | None:
        """Return the kept tail of stream 1 (stdout) or 2 (stderr), or None if there is none."""


class LogPulling(Protocol):
    """The transport, as the API sees it."""

    async def pull(self, link: bytes, lease: int, stream: int, offset: int, limit: int) -> LogChunk | None:
        """Ask a node for captured output; None if the link went away or did not answer in time."""


class BlobKeeping(Protocol):
    """The blob directory, as the API sees it; every method may wait for the disk."""

    def open_output(self, run_no: int, task_no: int, output: int) -> BinaryIO | None:
        """Open an output that is an object; None if it is not here."""

    def touch_upload(self, hash_: bytes) -> int | None:
        """Return the size of an upload, which then stays for a day at least; None if it is not here."""

    def paused_offset(self, hash_: bytes) -> int | None:
        """Return how much is there of an upload whose client has gone; None if nothing is."""

    def begin_upload(self, hash_: bytes, size: int) -> Upload:
        """Begin an upload, or go on with one that was paused.

        Raises:
            BlobError: the disk does not take it.
        """


class SeedKeeping(Protocol):
    """Uploaded files of the original's front client, as the API sees them; every method may wait for the disk."""

    def create(self, workflow_id: bytes, name: str) -> tuple[BinaryIO, Path]:
        """Open a new file."""

    def open(self, workflow_id: bytes, path: str) -> BinaryIO | None:
        """Open one that was uploaded for this workflow; None if that is none."""

    def remove(self, workflow_id: bytes) -> None:
        """Remove all of a workflow."""


class BlobBringing(Protocol):
    """The blob port, as the API sees it."""

    async def ensure_output(self, place: ObjectPlace) -> Path:
        """Return the file of an output, which is brought in from a node first if it is not here.

        Raises:
            BlobMissing: nobody has it (any more).
            BlobError: the disk does not take it.
        """


@dataclass(frozen=True)
class Services:
    """The ports, and what a head tells about itself."""

    driver: Asking
    hub: RunReading
    nodes: LogPulling
    blobs: BlobKeeping
    seed_files: SeedKeeping
    bringing: BlobBringing
    info: Callable[[], InfoBody]
    """Makes the body of /info; `nodes_ready` may be 0, the handler fills it in from the core."""
    counters: Callable[[], Mapping[str, int | float]]
    """Counters of the shells; those of the core are asked for through the driver."""
    tokens: TokenFinding | None
    """Who may ask; None if everybody may."""
    shutting_down: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the head begins to stop: open streams are closed with 1001 and readyz turns false."""
    seed_open: bool = False
    """The original's routes need no token."""
    hosts: Sequence[str] = ()
    """Host names besides the loopback ones under which this head may be addressed (`--advertise`, bind address)."""
    origins: Sequence[str] = ()
    """Of pages that may call this head besides its own (`--allow-origin`)."""
    let_read: Callable[[str, Callable[[], bool]], float] | None = None
    """Lets a key subscribe to publications while the token that was shown for it is good, and returns for how many
    seconds at most; None: without CURVE anybody may."""
