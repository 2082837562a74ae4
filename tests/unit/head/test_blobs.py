"""The blob port: it knows no object and says so."""

from __future__ import annotations

import asyncio

import zmq

from maze_head.blobs import BlobPort
from maze_head.sockets import bind, open_socket
from maze_protocol.messages import Fetch, Heartbeat, Unknown
from support.zmq_peers import Peer, zmq_context


def test_a_fetch_is_answered_and_everything_else_dropped() -> None:
    async def check() -> None:
        async with zmq_context() as context:
            router = open_socket(context, zmq.ROUTER, 1000)
            endpoint = f"tcp://127.0.0.1:{bind(router, '127.0.0.1', 0, '--blob-port')}"
            port = BlobPort(router)
            with Peer(zmq.DEALER, endpoint) as peer:
                await peer.say_frames([b"garbage"])
                await peer.say(Heartbeat(1.0))
                await peer.say(Fetch(7, 1, 0, 0, 100))
                assert await peer.hear() == Unknown(7)
            port.tick()
            port.close()

    asyncio.run(check())
