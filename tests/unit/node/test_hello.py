"""How a node introduces itself."""

from __future__ import annotations

import os
import socket

from maze._daemon.curve import ClientSide
from maze._daemon.keys import KeyPair
from maze_node.config import Settings
from maze_node.core.agent import Agent
from maze_node.core.events import Instant
from maze_node.core.offer import Use
from maze_node.core.stay import Stay
from maze_node.hello import address_towards, make_hello
from maze_node.identity import HeadAddress
from maze_protocol.resources import Capacity, Device

CAPACITY = Capacity(1000, 0, (Device(0, 80_000, "GPU-a"),))


def test_it_tells_what_is_offered_for_how_long_and_by_whom() -> None:
    agent = Agent(CAPACITY, uses=(Use("GPU-a", 50_000, 0),), stay=Stay.of(100.0, 3600.0, 30.0, 0.0))
    settings = Settings(labels={"zone": "a"}, advertise="host.example")
    head = HeadAddress("tcp://127.0.0.1:1")
    hello = make_hello(agent, settings, ("n1", 7), head, "tcp://127.0.0.1:5", Instant(200.0, 0.0))
    assert (hello.node_id, hello.incarnation, hello.pid, hello.labels) == ("n1", 7, os.getpid(), {"zone": "a"})
    assert hello.capacity.devices == (Device(0, 50_000, "GPU-a"),)
    assert hello.peer_endpoint == "tcp://127.0.0.1:5"
    assert (hello.remaining, hello.address) == (3494.0, "host.example")
    assert (hello.inventory, hello.last_session, hello.cluster_id) == ((), 0, b"")
    assert hello.peer_key == ""


def test_it_tells_the_key_by_which_it_is_known() -> None:
    pair = KeyPair.make()
    head = HeadAddress("tcp://127.0.0.1:1", ClientSide(pair, KeyPair.make().public))
    hello = make_hello(Agent(CAPACITY), Settings(), ("n1", 7), head, "", Instant(0.0, 0.0))
    assert hello.peer_key == pair.public


def test_the_address_is_that_of_the_way_to_the_head() -> None:
    assert address_towards("tcp://127.0.0.1:8001") == "127.0.0.1"
    assert address_towards("nonsense") == socket.gethostname()
