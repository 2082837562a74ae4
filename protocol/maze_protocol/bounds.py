"""Field types that carry their own limits, so that msgspec refuses a lie while it decodes, at no extra pass.

Rules
* Only types of *received* fields live here; the run log is our own writing and is read back without bounds.
* msgspec checks `max_length` against the claimed length before it makes the first element, and lets no NaN through
  a comparison, so bounded floats are finite.
* What else msgspec guards (truncation, ext types, depth of fields nobody knows) is listed in docs/wire.md §6.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeVar

from msgspec import Meta

from maze_protocol.limits import MAX_ARRAY

__all__ = ["Amount", "Clock", "Count", "Many", "Seconds", "Texts", "Token"]

_T = TypeVar("_T")
_SIGNED_64: Final = (1 << 63) - 1

Many = Annotated[tuple[_T, ...], Meta(max_length=MAX_ARRAY)]
"""A list of up to 65,536 things."""
Texts = Annotated[dict[str, str], Meta(max_length=MAX_ARRAY)]
Token = Annotated[int, Meta(ge=0)]
"""Any unsigned 64-bit number that is only compared: leases, sessions, incarnations, sequence numbers."""
Count = Annotated[int, Meta(ge=0, le=_SIGNED_64)]
"""A number that is stored or added up."""
Amount = Annotated[int, Meta(ge=0, le=10**12)]
"""Milli-CPUs, milli-GPUs, MiB: beyond any machine, and sums of 65,536 of them still fit 64 bits."""
Clock = Annotated[float, Meta(ge=-1e12, le=1e12)]
"""A reading of somebody's clock in seconds; finite."""
Seconds = Annotated[float, Meta(ge=0.0, le=1e9)]
"""A duration; finite."""
