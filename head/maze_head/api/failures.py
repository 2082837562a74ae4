"""How often somebody asked without a good token, by address. Pure: the clock is the caller's.

A token cannot be guessed; this bounds what guessing costs the head, and what it writes into logs. Each address may fail
BURST times at once and then PER_SECOND times a second. Good tokens are never counted, so whoever has one is served
beside a guesser of the same address. Of a host that has many IPv6 addresses the network counts. At most ADDRESSES are
remembered, those that failed last.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Final, NamedTuple

__all__ = ["ADDRESSES", "BURST", "PER_SECOND", "Failures", "Verdict"]

BURST: Final = 200
PER_SECOND: Final = 2.0
ADDRESSES: Final = 4096
NETWORK: Final = 64
TELL_SECONDS: Final = 60.0


class Verdict(NamedTuple):
    """What a failure means."""

    too_many: bool
    tell: bool
    """It is worth a line in the log: once a minute for each address that fails too often."""


class Failures:
    """A leaky bucket per address."""

    def __init__(self) -> None:
        self._levels: OrderedDict[str, tuple[float, float, float]] = OrderedDict()
        """How full, when that was so, and when it was told of; the one that failed last at the end."""

    def __len__(self) -> int:
        return len(self._levels)

    def count(self, address: str, now: float) -> Verdict:
        """Count a failure; tell whether this address has failed too often."""
        name = _network(address)
        level, then, told = self._levels.pop(name, (0.0, now, now - TELL_SECONDS))
        level = min(BURST, max(0.0, level - (now - then) * PER_SECOND)) + 1.0
        verdict = Verdict(level > BURST, level > BURST and now - told >= TELL_SECONDS)
        self._levels[name] = level, now, now if verdict.tell else told
        if len(self._levels) > ADDRESSES:
            self._levels.popitem(last=False)
        return verdict


def _network(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((int(parsed) >> NETWORK << NETWORK, NETWORK)))
