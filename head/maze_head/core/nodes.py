"""What the head knows of one node: one life (incarnation) of one agent process, its link, its room, its leases.

Data only; membership.py moves it. The state that people see is computed, never stored, so it cannot contradict the
facts: left > lost > suspect > draining > quarantined > ready.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

from maze_head.core.leases import Grant, Lease
from maze_head.core.ledger import Ledger
from maze_protocol.liveness import Liveness, NodeLiveness
from maze_protocol.messages import Hello, NodeLoad
from maze_protocol.resources import Claim

if TYPE_CHECKING:
    from maze_head.core.reservation import Reservation

__all__ = ["Health", "Node"]


class Health:
    """What speaks against a node (quarantine.py); survives its process."""

    __slots__ = ("aside_until", "crashed", "fork_failures", "on_trial", "returns", "sentences")

    def __init__(self) -> None:
        self.crashed: dict[tuple[int, int], None] = {}
        """Different tasks (run number, task number) in a row under which its workers died."""
        self.fork_failures = 0
        self.returns: deque[float] = deque(maxlen=64)
        self.aside_until = 0.0
        self.on_trial = False
        self.sentences = 0


class Node:
    """One incarnation of a node."""

    __slots__ = (
        "accused", "codes", "company", "draining", "gone", "grants", "guests", "health", "heard_at", "hello", "id",
        "joined_at", "leases", "leaves_at", "ledger", "link", "liveness", "load", "quarantined", "reservation",
        "secret", "serial", "session", "solo", "suspected",
    )  # fmt: skip

    def __init__(self, hello: Hello, serial: int, joined_at: float) -> None:
        self.id = hello.node_id
        self.hello = hello
        self.serial = serial
        """Order of joining; breaks ties in placement."""
        self.joined_at = joined_at
        self.link: bytes | None = None
        self.session = 0
        self.secret = b""
        """Of the session: by it tickets for what this node holds are made."""
        self.ledger = Ledger(hello.capacity)
        self.leases: dict[int, Lease] = {}
        self.grants: dict[int, Grant] = {}
        """What those leases hold here."""
        self.guests: dict[int, tuple[Lease, Claim]] = {}
        """Leases that other nodes hold, and that have a part of this one, too."""
        self.solo = 0
        """The lease that has this node to itself, or 0."""
        self.company: dict[tuple[int, str], int] = {}
        """How many attempts are here that keep apart from others, by run and word."""
        self.reservation: Reservation | None = None
        """For whom it is kept."""
        self.codes: dict[bytes, None] = {}
        """Function bodies sent in this session."""
        self.liveness = NodeLiveness(0.0)
        self.heard_at = 0.0
        self.suspected = False
        self.draining = False
        self.quarantined = False
        self.health = Health()
        self.gone = ""
        """`lost` or `left`, once it is no longer a member."""
        self.load = NodeLoad()
        self.accused = False
        """It has told how a lease of another node ended, in this session."""
        self.leaves_at: float | None = None
        """Monotonic time at which it has to go (the end of a batch job), if it has told."""

    def held(self) -> Iterator[tuple[Lease, Claim]]:
        """Go through what holds a part of this node: the last lease of each grant, and the claim."""
        for grant in self.grants.values():
            yield next(reversed(grant.leases.values())), grant.claim
        yield from self.guests.values()

    @property
    def identity(self) -> tuple[str, int]:
        """Return what names this life of the node."""
        return self.id, self.hello.incarnation

    @property
    def state(self) -> str:
        """Return the word that people see."""
        if self.gone:
            return self.gone
        if self.suspected:
            return Liveness.SUSPECT.value
        if self.draining:
            return "draining"
        return "quarantined" if self.quarantined else "ready"

    @property
    def takes_work(self) -> bool:
        """Tell whether new leases may go here."""
        return self.link is not None and not (self.gone or self.suspected or self.draining or self.quarantined)

    @property
    def python(self) -> tuple[int, int]:
        """Return the minor version of Python that its workers run."""
        return self.hello.python[0], self.hello.python[1]

    def runs_python(self, wanted: tuple[int, int]) -> bool:
        """Tell whether code for that Python version may run here."""
        return wanted in ((0, 0), self.python)
