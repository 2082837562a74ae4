"""What messages do not carry: values of middle size are fetched before a message is handed over, many at a time, and
large ones become references.

What is found is kept with the events, and doing it again changes nothing more: a reader that was interrupted goes on
with them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from maze_protocol.limits import INLINE_CLIENT, MIB
from maze_protocol.values import FILE

if TYPE_CHECKING:
    from maze._events import Event

__all__ = ["fill_in", "is_complete"]

AT_A_TIME: Final = 16
BYTES_AT_ONCE: Final = 64 * MIB
"""So much is fetched ahead of a reader."""
AWAY_SECONDS: Final = 15.0
"""How long a reader waits for a value whose node does not answer, before it goes on without it."""
_WITH_RESULTS: Final = ("finish_task", "task_reused")


def is_complete(events: Sequence[Event]) -> bool:
    """Tell whether all results of events are known to be there."""
    return all(event.carries_all for event in events if event.type in _WITH_RESULTS)


async def fill_in(url: str, run_id: str, events: Sequence[Event]) -> int:
    """Complete the results of events; return how many of them, from the first on, are complete now.

    Raises:
        HeadUnavailableError: the head went away and did not come back.
    """
    wanted: list[tuple[dict[str, Any], str, str]] = []
    size, count = 0, len(events)
    for number, event in enumerate(events, 1):
        if event.type in _WITH_RESULTS and not event.carries_all:
            size += _look_at(event, wanted, url, run_id)
            if size > BYTES_AT_ONCE:
                count = number
                break
    if wanted:
        gate = asyncio.Semaphore(AT_A_TIME)
        await asyncio.gather(*(_fill(gate, url, run_id, *place) for place in wanted))
    return count


def _look_at(event: Event, wanted: list[tuple[dict[str, Any], str, str]], url: str, run_id: str) -> int:
    """Decode a result and note what it lacks; return how much is to be fetched."""
    if event.result is None:
        event.result = event.returned()
    result = event.result
    lacks = [key for key, found in result.items() if isinstance(found, (list, tuple)) and len(found) != 2]
    return sum([_note(wanted, url, run_id, event.task()[1], result, key) for key in lacks]) if lacks else 0


def _note(
    wanted: list[tuple[dict[str, Any], str, str]], url: str, run_id: str, task_id: str, result: dict[str, Any], key: str
) -> int:
    """Note a value that is to be fetched, or put a reference in its place; return how much is to be fetched."""
    codec, _, size, kind = result[key]
    if size <= INLINE_CLIENT:
        wanted.append((result, task_id, key))
        return int(size)
    from maze._fetch import Place

    place = Place(url, run_id, task_id, key)
    if codec == FILE:
        from maze._remote_file import AtHead
        from maze._values.file import File

        result[key] = File.of(AtHead(place, size))
        return 0
    from maze._remote_value import RemoteValue

    result[key] = RemoteValue(place, codec, size, kind)
    return 0


async def _fill(gate: asyncio.Semaphore, url: str, run_id: str, result: dict[str, Any], task_id: str, key: str) -> None:
    from maze._fetch import Place, fetch_bytes
    from maze._results import OpaqueValue
    from maze.errors import HeadUnavailableError, RequestError, UnknownRunError, ValueExpiredError

    codec, _, size, kind = result[key]
    try:
        async with gate:
            result[key] = [codec, await fetch_bytes(Place(url, run_id, task_id, key), AWAY_SECONDS)]
    except (RequestError, UnknownRunError, ValueExpiredError, HeadUnavailableError) as error:
        if isinstance(error, HeadUnavailableError) and not isinstance(error.__cause__, RequestError):
            raise  # not the value is away, but the head
        result[key] = OpaqueValue(kind or "value", size, error.message)
