"""Binding, addresses and the pump, on real sockets."""

from __future__ import annotations

import asyncio
import errno
import socket
from itertools import pairwise

import pytest
import zmq

from maze_head.errors import Misconfigured, PortBusy
from maze_head.sockets import NOBLOCK, Pump, bind, is_loopback, open_socket, resolve, send_frames, tcp_address, trouble
from maze_protocol.limits import DRAIN_MESSAGES
from support.zmq_peers import PATIENCE, Peer, until, zmq_context


def test_a_port_in_use_is_named_with_its_remedy() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    first, second = (open_socket(context, zmq.ROUTER, 1000) for _ in range(2))
    port = bind(first, "127.0.0.1", 0, "--node-port")
    with pytest.raises(PortBusy, match=rf"port {port} on 127.0.0.1 is in use; .*--node-port") as refusal:
        bind(second, "127.0.0.1", port, "--node-port")
    assert refusal.value.exit_code == 2
    first.close()
    second.close()
    context.term()


def test_an_address_of_another_machine_is_refused() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    opened = open_socket(context, zmq.XPUB, 1000)
    with pytest.raises(Misconfigured, match=r"192\.0\.2\.1.*--host"):
        bind(opened, "192.0.2.1", 0, "--event-port")
    opened.close()
    context.term()


def test_a_port_that_needs_privileges_is_named() -> None:
    assert "above 1023" in str(trouble(errno.EACCES, "127.0.0.1", 80, "--port"))


def test_the_profile_is_set() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    opened = open_socket(context, zmq.ROUTER, 4321)
    assert opened.getsockopt(zmq.MAXMSGSIZE) == 4321
    assert opened.getsockopt(zmq.LINGER) == 0
    assert opened.getsockopt(zmq.HEARTBEAT_IVL) == 1000
    assert opened.getsockopt(zmq.HANDSHAKE_IVL) == 5000
    opened.close()
    context.term()


@pytest.mark.parametrize(
    ("host", "text"), [("127.0.0.1", "tcp://127.0.0.1:5"), ("::1", "tcp://[::1]:5"), ("a.example", "tcp://a.example:5")]
)
def test_addresses_are_printed(host: str, text: str) -> None:
    assert tcp_address(host, 5) == text


def test_names_are_resolved_to_ipv4_first() -> None:
    assert resolve("localhost") == "127.0.0.1"
    assert resolve("127.0.0.1") == "127.0.0.1"
    with pytest.raises(Misconfigured, match=r"no-such-host\.invalid"):
        resolve("no-such-host.invalid")


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("fe80::1%eth0", False),
    ],
)
def test_loopback_is_recognised(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


def test_a_burst_is_received_in_shares_and_the_loop_runs_in_between() -> None:
    async def check() -> None:
        count = 4 * DRAIN_MESSAGES
        async with zmq_context() as context:
            pull = open_socket(context, zmq.PULL, 1000)
            port = bind(pull, "127.0.0.1", 0, "x")
            rounds: list[int] = []
            taken = 0

            def take() -> bool:
                nonlocal taken
                try:
                    pull.recv(zmq.NOBLOCK)
                except zmq.Again:
                    return False
                taken += 1
                return True

            with Peer(zmq.PUSH, f"tcp://127.0.0.1:{port}") as peer:
                for number in range(count):
                    await peer.socket.send(b"%d" % number)
                pump = Pump(pull, take)

                async with asyncio.timeout(PATIENCE):
                    while taken < count:
                        rounds.append(taken)
                        await asyncio.sleep(0)
                shares = [after - before for before, after in pairwise(rounds)]
                assert max(shares) <= 2 * DRAIN_MESSAGES
            pump.check()
            pump.close()
            pump.close()
            pump.nudge()
            pull.close()

    asyncio.run(check())


def test_what_came_together_is_told_of_once_and_what_sending_brings_to_light_is_received() -> None:
    """Each send takes the descriptor's news; without the look after it the second half would wait for a tick."""

    async def check() -> None:
        async with zmq_context() as context:
            router = open_socket(context, zmq.ROUTER, 1000)
            port = bind(router, "127.0.0.1", 0, "x")
            got: list[list[bytes]] = []
            shares: list[int] = []

            def take() -> bool:
                got.append(router.recv_multipart(NOBLOCK))
                return True

            def taken() -> None:
                shares.append(len(got))
                send_frames(router, (got[-1][0], b"seen", b"%d" % len(got)))

            pump = Pump(router, take, taken)
            with Peer(zmq.DEALER, f"tcp://127.0.0.1:{port}") as peer:
                for number in range(200):
                    await peer.socket.send(b"%d" % number)
                await until(lambda: len(got) == 200)
                answers = [await peer.socket.recv_multipart() for _ in shares]
            assert [body for _, body in got] == [b"%d" % number for number in range(200)]
            assert answers == [[b"seen", b"%d" % share] for share in shares]
            assert pump.missed == 0
            pump.close()
            router.close()

    asyncio.run(check())


def test_a_missed_wake_up_is_counted_and_repaired() -> None:
    async def check() -> None:
        async with zmq_context() as context:
            pull = open_socket(context, zmq.PULL, 1000)
            port = bind(pull, "127.0.0.1", 0, "x")
            got: list[bytes] = []

            def take() -> bool:
                try:
                    got.append(pull.recv(zmq.NOBLOCK))
                except zmq.Again:
                    return False
                return True

            pump = Pump(pull, take)
            asyncio.get_running_loop().remove_reader(pull.getsockopt(zmq.FD))
            await asyncio.sleep(0)
            pump.check()  # a first look, or the message could be there at the first one and be no surprise
            with Peer(zmq.PUSH, f"tcp://127.0.0.1:{port}") as peer:
                await peer.socket.send(b"x")
                await until(lambda: pump.check() or got)
            assert pump.missed == 1
            pump.close()
            pull.close()

    asyncio.run(check())


def test_the_ports_of_http_are_free_again() -> None:
    # Guards the helper above: no test leaves a listener behind.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
