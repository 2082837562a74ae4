"""Field types that carry their own limits, so that msgspec refuses a lie while it decodes, at no extra pass.

Rules
* Only types of *received* fields live here; the run log is our own writing and is read back without bounds.
* A bound refuses what could hurt the receiver (a length, a duration that is NaN, a size below zero). What a number
  means is judged by the cores: a bound too many turns a small bug of one side into a refused message.
* msgspec checks `max_length` against the claimed length before it makes the first element, and no NaN passes a
  comparison, so every bounded float is finite. What else msgspec guards is listed in docs/wire.md, "Limits".
"""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

from msgspec import Meta

from maze_protocol.limits import MAX_ARRAY

__all__ = ["Amount", "Count", "Finite", "Interval", "Many", "NonNegative", "Texts", "Token"]

_T = TypeVar("_T")
_SIGNED_64: Final = (1 << 63) - 1
_LARGE: Final = 1e15

Many = Annotated[tuple[_T, ...], Meta(max_length=MAX_ARRAY)]
"""A list of up to 65,536 things."""
Texts = Annotated[dict[str, str], Meta(max_length=MAX_ARRAY)]
Token = Annotated[int, Meta(ge=0)]
"""An unsigned 64-bit number that is only compared: leases, sessions, incarnations, sequence numbers."""
Count = Annotated[int, Meta(ge=0, le=_SIGNED_64)]
"""A number that is stored, added up or used as an index."""
Amount = Annotated[int, Meta(ge=0, le=10**12)]
"""Milli-CPUs, milli-GPUs, MiB: beyond any machine, and sums of 65,536 of them still fit 64 bits."""
Finite = Annotated[float, Meta(ge=-_LARGE, le=_LARGE)]
"""A reading of somebody's clock, or a measurement."""
NonNegative = Annotated[float, Meta(ge=0.0, le=_LARGE)]
"""A duration in seconds that the receiver waits; 0 where that means none."""
Interval = Annotated[float, Meta(gt=0.0, le=_LARGE)]
"""A period in seconds."""
