"""Where a head listens: four bound sockets, their ports, and the addresses that others are told.

A port that was left to chance is remembered in the state directory and tried first at the next start, so that nodes
and clients find a restarted head where they left it.
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import zmq

from maze._daemon.curve import ServerSide
from maze._daemon.keys import KeyPair
from maze._daemon.zap import EVENTS, NODES
from maze_head.config import HeadConfig
from maze_head.errors import Misconfigured, PortBusy
from maze_head.sockets import bind, open_socket, tcp_address, trouble
from maze_protocol.limits import MAX_CONTROL_FRAME, MIB

__all__ = ["Endpoints", "advertised_host", "listen"]

MAX_BLOB_FRAME: Final = 8 * MIB
MAX_SUBSCRIPTION: Final = 4096
HTTP_BACKLOG: Final = 1024
PORTS_FILE: Final = "ports.json"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Bound sockets. Whoever uses one closes it; `close` is for those that nobody came to use."""

    host: str
    """As others are told."""
    http: socket.socket
    node: zmq.Socket[bytes]
    blob: zmq.Socket[bytes]
    events: zmq.Socket[bytes]
    ports: dict[str, int]
    scheme: str = "http"

    @property
    def addresses(self) -> dict[str, str]:
        """Return the four addresses under the names of the connection file."""
        url = tcp_address(self.host, self.ports["url"]).replace("tcp", self.scheme, 1)
        zmq_names = ("node", "blob", "events")
        return {"url": url} | {name: tcp_address(self.host, self.ports[name]) for name in zmq_names}


def listen(
    config: HeadConfig, address: str, context: zmq.Context[zmq.Socket[bytes]], pair: KeyPair | None = None
) -> Endpoints:
    """Bind all four sockets to a numeric address, or none; those of ZeroMQ with CURVE if there is a key pair for it.

    Raises:
        PortBusy, Misconfigured: one of them cannot be bound.
    """
    wanted = {"url": config.port, "node": config.node_port, "blob": config.blob_port, "events": config.event_port}
    path = config.state_dir / PORTS_FILE
    # Who hands over a socket has chosen for this once, and nobody will look for us again.
    chosen = {name for name, port in wanted.items() if not port} if config.http_fd is None else set()
    last = _recall(path) if chosen else {}
    try:
        ports = {name: port or last.get(name, 0) for name, port in wanted.items()}
        opened = _bind_all(config, context, address, ports, pair)
    except PortBusy:
        if not last:
            raise
        opened = _bind_all(config, context, address, wanted, pair)
    if chosen:
        _remember(path, {name: opened.ports[name] for name in chosen})
    return opened


def _bind_all(
    config: HeadConfig,
    context: zmq.Context[zmq.Socket[bytes]],
    address: str,
    ports: dict[str, int],
    pair: KeyPair | None,
) -> Endpoints:
    kinds = {
        "node": (zmq.ROUTER, MAX_CONTROL_FRAME, "--node-port", NODES),
        "blob": (zmq.ROUTER, MAX_BLOB_FRAME, "--blob-port", NODES),
        "events": (zmq.XPUB, MAX_SUBSCRIPTION, "--event-port", EVENTS),
    }
    with ExitStack() as undo:
        http = _listen_http(address, ports["url"]) if config.http_fd is None else _inherit_http(config.http_fd)
        undo.callback(http.close)
        bound = {"url": int(http.getsockname()[1])}
        sockets: dict[str, zmq.Socket[bytes]] = {}
        for name, (kind, max_frame, option, domain) in kinds.items():
            sockets[name] = open_socket(context, kind, max_frame)
            undo.callback(sockets[name].close, 0)
            if pair is None:
                sockets[name].setsockopt_string(zmq.ZAP_DOMAIN, domain)
            else:
                ServerSide(pair, domain).apply(sockets[name])
            bound[name] = bind(sockets[name], address, ports[name], option)
        undo.pop_all()
    return Endpoints(
        advertised_host(config.advertise, address), http, **sockets, ports=bound,
        scheme="https" if config.tls_cert else "http",
    )  # fmt: skip


def _listen_http(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((address, port))
        opened.listen(HTTP_BACKLOG)
        opened.setblocking(False)
    except OSError as error:
        opened.close()
        raise trouble(error.errno, address, port, "--port") from error
    return opened


def _inherit_http(descriptor: int) -> socket.socket:
    try:
        inherited = socket.socket(fileno=descriptor)
    except OSError as error:
        raise Misconfigured(f"--http-fd {descriptor}: no socket is there ({error.strerror})") from error
    inherited.setblocking(False)
    inherited.set_inheritable(False)
    return inherited


def advertised_host(advertise: str | None, address: str) -> str:
    """Return the host that others are told: as given, else the bound address, else this machine's own."""
    if advertise:
        return advertise
    if address not in ("0.0.0.0", "::"):  # noqa: S104 -- compared, not bound
        return address
    return _outward_address() or socket.gethostname()


def _outward_address() -> str:
    """Return the address that packets leave from; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # TEST-NET-1: routed by the default route, and nobody's
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def _recall(path: Path) -> dict[str, int]:
    try:
        ports = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): int(port) for name, port in ports.items() if 0 < int(port) < 65_536}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _remember(path: Path, ports: dict[str, int]) -> None:
    # A convenience: a full disk is reported by the journal, not by this.
    with suppress(OSError):
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(ports), encoding="utf-8")
        os.replace(temporary, path)
