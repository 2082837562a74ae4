"""What a node says of itself in HELLO, and by which address others reach it."""

from __future__ import annotations

import os
import socket
import sys

from maze._version import __version__
from maze_node.config import Settings
from maze_node.core.agent import Agent
from maze_node.core.events import Instant
from maze_node.identity import HeadAddress
from maze_protocol.limits import PROTOCOL_MAJOR, PROTOCOL_MINOR
from maze_protocol.messages import Hello

__all__ = ["address_towards", "make_hello"]


def make_hello(
    agent: Agent, settings: Settings, identity: tuple[str, int], head: HeadAddress, peer_endpoint: str, now: Instant
) -> Hello:
    """Return the introduction for a connection that is being made; the agent takes it as said.

    Args:
        agent: knows what is offered and what is held.
        settings: of this node.
        identity: (node id, incarnation).
        head: how it is reached.
        peer_endpoint: where others may fetch objects; empty: nowhere.
        now: the time.
    """
    cluster_id, epoch = agent.cluster
    capacity, remaining = agent.introduce(now)
    return Hello(
        PROTOCOL_MAJOR,
        PROTOCOL_MAJOR,
        PROTOCOL_MINOR,
        *identity,
        capacity,
        sys.version_info[:3],
        __version__,
        hostname=socket.gethostname(),
        address=settings.advertise or address_towards(head.endpoint),
        last_session=agent.last_session,
        cluster_id=cluster_id,
        epoch=epoch,
        inventory=agent.inventory(),
        labels=settings.labels,
        peer_endpoint=peer_endpoint,
        peer_key=head.pair.public if head.pair else "",
        pid=os.getpid(),
        platform=" ".join((os.uname().sysname, os.uname().release, os.uname().machine)),
        remaining=remaining,
    )


def address_towards(endpoint: str) -> str:
    """Return the local address that packets to the head leave from; nothing is sent."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(address)
            return str(probe.getsockname()[0])
    except (OSError, ValueError):
        return socket.gethostname()
