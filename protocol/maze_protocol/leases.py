"""Lease tokens: the fence around every attempt. A token is (epoch, counter) in one unsigned 64-bit number.

The epoch grows with every start of a head and is on disk before the first lease is made, so a token is never used
twice and a later one always compares greater. Tokens compare only within one cluster_id.
"""

from __future__ import annotations

from typing import Final

__all__ = ["counter_of", "epoch_of", "make_lease"]

_BITS: Final = 32
_MASK: Final = (1 << _BITS) - 1


def make_lease(epoch: int, counter: int) -> int:
    """Return the token of the counter-th lease of an epoch.

    Raises:
        ValueError: a part does not fit 32 bits (four thousand million leases in one life of a head).
    """
    if not (0 < epoch <= _MASK and 0 < counter <= _MASK):
        raise ValueError(f"lease token out of range: epoch {epoch}, counter {counter}")
    return epoch << _BITS | counter


def epoch_of(lease: int) -> int:
    """Return the epoch of a token."""
    return lease >> _BITS


def counter_of(lease: int) -> int:
    """Return the counter of a token."""
    return lease & _MASK
