"""Acknowledgements go together, soon, and all of them."""

from __future__ import annotations

import asyncio

from maze_head.acks import MOST, Acks
from maze_protocol.messages import ACCEPTED, AckItem, ResultAck


class Wire:
    """Notes what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, list[int]]] = []

    def send(self, link: bytes, message: ResultAck) -> None:
        self.sent.append((link, [item.lease for item in message.items]))


def items(*leases: int) -> list[AckItem]:
    return [AckItem(lease, ACCEPTED) for lease in leases]


def test_they_gather_per_link_and_go_by_themselves() -> None:
    async def scenario() -> None:
        wire = Wire()
        acks = Acks(wire.send)
        acks.add(b"L1", items(1, 2))
        acks.add(b"L2", items(3))
        acks.add(b"L1", items(4))
        assert wire.sent == []
        async with asyncio.timeout(30):
            while not wire.sent:
                await asyncio.sleep(0)
        assert wire.sent == [(b"L1", [1, 2, 4]), (b"L2", [3])]
        acks.add(b"L1", items(5))
        acks.flush()
        assert wire.sent[2:] == [(b"L1", [5])]
        acks.flush()
        assert len(wire.sent) == 3

    asyncio.run(scenario())


def test_many_do_not_wait() -> None:
    async def scenario() -> None:
        wire = Wire()
        acks = Acks(wire.send)
        acks.add(b"L1", items(*range(MOST)))
        assert wire.sent == [(b"L1", list(range(MOST)))]

    asyncio.run(scenario())
