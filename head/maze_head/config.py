"""The settings of one head, checked. Data only: reading flags, variables and files is cli.py's and maze._daemon's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from maze_head.errors import Misconfigured
from maze_head.journal import POWER, PROCESS
from maze_head.sockets import is_loopback, resolve
from maze_protocol import limits

__all__ = ["HeadConfig"]


@dataclass(frozen=True, slots=True)
class HeadConfig:
    """What a head needs to know before it starts. Port 0 means any free one."""

    state_dir: Path
    connection_file: Path
    host: str = "127.0.0.1"
    port: int = 8000
    http_fd: int | None = None
    """An inherited socket that listens: HTTP is served there, and not at `port`."""
    node_port: int = 8001
    blob_port: int = 8002
    event_port: int = 8003
    advertise: str | None = None
    durability: str = PROCESS
    ballast: int = 64
    """MiB kept in advance for the day when the disk is full; 0 for none."""
    keep_runs: int = 10_000
    keep_days: float = 30.0
    keep_bytes: int = 0
    """How much is kept of what is over; 0: no limit."""
    insecure: bool = False
    """Let nodes of other machines connect without CURVE."""
    curve: bool = False
    """Encrypt and authenticate what nodes and subscribers say, on this machine, too."""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    """Speak TLS on the HTTP port, with both of them."""
    allow_host: tuple[str, ...] = ()
    """Names by which browsers and programs may call this head, besides those that it knows."""
    allow_origin: tuple[str, ...] = ()
    """Origins whose pages may call this head, besides its own."""
    no_token: bool = False
    """Answer everybody, instead of those who show a token."""
    open_seed_routes: bool = False
    """Answer everybody on the original's routes."""
    embedded: bool = False
    exit_with_stdin: bool = False
    heartbeat: float = limits.HEARTBEAT
    suspect_after: float = limits.SUSPECT_AFTER
    lost_after: float = limits.LOST_AFTER
    recovery_grace: float = limits.LOST_AFTER
    """How long a restarted head waits for nodes that held work; `lost_after` if that is longer."""
    priority_step: float = 600.0
    """How many seconds of waiting one step of a run's priority is worth."""
    reserve_after: float = 30.0
    """A task that has waited so many seconds has room kept for it."""
    order: str = "fcfs"
    """In which order ready tasks start (orders.py)."""
    max_pending_tasks: int = 5_000_000
    """Submissions beyond it are answered 429."""

    def __post_init__(self) -> None:
        """Refuse what can never work.

        Raises:
            Misconfigured: unknown durability, half of a pair for TLS, one port given twice, or times that make a
                healthy node suspect.
        """
        if self.durability not in (PROCESS, POWER):
            raise Misconfigured(f"durability must be {PROCESS} or {POWER}, not {self.durability!r}")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise Misconfigured("TLS takes a certificate and its key", remedy="give both --tls-cert and --tls-key")
        ports = [port for port in (self.port, self.node_port, self.blob_port, self.event_port) if port]
        if len(set(ports)) != len(ports):
            raise Misconfigured(f"the four ports must differ, got {', '.join(map(str, ports))}")
        if not 0 < 2 * self.heartbeat <= self.suspect_after <= self.lost_after:
            raise Misconfigured(
                f"--heartbeat {self.heartbeat:g} --suspect-after {self.suspect_after:g} --lost-after "
                f"{self.lost_after:g}: a node could not be told from a dead one",
                remedy="make suspect-after at least two heartbeats, and lost-after no less than suspect-after",
            )

    def uses_curve(self, address: str) -> bool:
        """Tell whether connections to an address are authenticated."""
        return self.curve or not (is_loopback(address) or self.insecure)

    def bind_address(self) -> str:
        """Return the numeric address to bind.

        Raises:
            Misconfigured: no such host, or one that others can reach without what protects it.
        """
        address = resolve(self.host)
        if is_loopback(address):
            return address
        for flag, given in (("--no-token", self.no_token), ("--open-seed-routes", self.open_seed_routes)):
            if given:
                raise Misconfigured(
                    f"{flag} answers everybody, and --host {self.host} can be reached from other machines",
                    remedy=f"leave {flag} out, or stay on 127.0.0.1",
                )
        return address
