"""Which version of the wire two sides speak: decided by the head from HELLO, checked by the node in WELCOME.

Rules: the major version must be common to both; the minor is the lower of the two, and the side with the higher
one sends nothing that is newer. A refusal names both sides' versions, for people.
"""

from __future__ import annotations

from maze_protocol.errors import VersionMismatch
from maze_protocol.limits import PROTOCOL_MAJOR, PROTOCOL_MINOR
from maze_protocol.messages import Hello, Reject, Welcome

__all__ = ["check_welcome", "choose_version", "version_reject"]


def choose_version(hello: Hello) -> tuple[int, int]:
    """Return the (major, minor) for WELCOME.

    Raises:
        VersionMismatch: no major version in common; answer with `version_reject`.
    """
    if not hello.min_major <= PROTOCOL_MAJOR <= hello.max_major:
        raise VersionMismatch(
            "version",
            f"the node speaks protocol {_span(hello.min_major, hello.max_major)} (maze {hello.maze_version}), "
            f"the head {PROTOCOL_MAJOR}.{PROTOCOL_MINOR}",
        )
    # `hello.minor` belongs to the node's newest major; of older majors it knows the last minor there will be.
    newest = hello.max_major == PROTOCOL_MAJOR
    return PROTOCOL_MAJOR, min(PROTOCOL_MINOR, hello.minor) if newest else PROTOCOL_MINOR


def version_reject(error: VersionMismatch) -> Reject:
    """Return the answer to a node that shares no version with us."""
    return Reject("version", str(error), PROTOCOL_MAJOR, PROTOCOL_MAJOR)


def check_welcome(welcome: Welcome) -> None:
    """Check that the head chose a version that this node speaks.

    Raises:
        VersionMismatch: it did not.
    """
    if welcome.major != PROTOCOL_MAJOR or welcome.minor > PROTOCOL_MINOR:
        raise VersionMismatch(
            "version",
            f"the head chose protocol {welcome.major}.{welcome.minor}, this node speaks up to "
            f"{PROTOCOL_MAJOR}.{PROTOCOL_MINOR}",
        )


def _span(low: int, high: int) -> str:
    return str(low) if low == high else f"{low} to {high}"
