"""File descriptors of a head: as many as the system allows, and no flood of words when there are none left.

When they run out, new connections wait in the kernel's queue and are taken up when others close; existing ones go on.
The journal's readers are opened at the start for that reason.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import math
import resource
from typing import Any, Final

__all__ = ["raise_limit", "tell_rarely"]

log = logging.getLogger(__name__)

EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE)
TELL_EVERY: Final = 10.0


def raise_limit() -> None:
    """Allow this process all the descriptors that the system lets it have: each node and stream is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def tell_rarely(loop: asyncio.AbstractEventLoop) -> None:
    """Let the loop log that descriptors ran out every ten seconds, not for every connection that waits."""
    last = -math.inf

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        nonlocal last
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in EXHAUSTED:
            loop.default_exception_handler(context)
        elif loop.time() - last >= TELL_EVERY:
            last = loop.time()
            log.error("no file descriptors are left: new connections wait", extra={"reason": error.strerror})

    loop.set_exception_handler(handle)
