"""What stops a head, in typed form. cli.py turns each into one line on stderr and its exit code.

HeadError                    code, exit_code; the message says what, `remedy` says what to do
+-- Misconfigured            2   an option that can never work (non-loopback without a token, bad durability)
+-- PortBusy                 2   somebody listens there already
+-- StateDirUnusable         2   not creatable, not writable, or on a network file system
+-- KeysUnusable             2   a key file that cannot be made, read or trusted, or a libzmq with known holes
+-- TokensUnusable           2   a token file that is empty, damaged or open to others
+-- AlreadyRunning           3   another head holds the state directory; `pid` names it
+-- JournalUnusable          78  corrupt, foreign or newer than this head: restarting changes nothing
+-- JournalFailed            75  writing failed for too long: restart and recover from what is committed
`-- DoorkeeperLost           70  the thread that authenticates connections has ended: nobody new could join

Exit codes: 2 usage, 70 a bug of ours (EX_SOFTWARE), 75 try again (EX_TEMPFAIL), 78 configuration (EX_CONFIG).
"""

from __future__ import annotations

from typing import ClassVar, Final

__all__ = [
    "EXIT_BUG", "AlreadyRunning", "DoorkeeperLost", "HeadError", "JournalFailed", "JournalUnusable", "KeysUnusable",
    "Misconfigured", "PortBusy", "StateDirUnusable", "TokensUnusable",
]  # fmt: skip

EXIT_BUG: Final = 70


class HeadError(Exception):
    """The head cannot start or go on."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        self.message = message
        self.remedy = remedy
        super().__init__(f"{message}; {remedy}" if remedy else message)


class Misconfigured(HeadError):
    """Settings that can never work."""

    exit_code = 2


class PortBusy(HeadError):
    """A port that somebody else listens on."""

    exit_code = 2


class StateDirUnusable(HeadError):
    """A state directory that cannot be made, written or trusted."""

    exit_code = 2


class KeysUnusable(HeadError):
    """Keys, or a library of cryptography, that cannot be trusted."""

    exit_code = 2


class TokensUnusable(HeadError):
    """A token file that cannot be read or trusted; nothing is served without."""

    exit_code = 2


class AlreadyRunning(HeadError):
    """Another head holds the state directory."""

    exit_code = 3

    def __init__(self, path: str, pid: int | None) -> None:
        self.pid = pid
        holder = f"a head with pid {pid}" if pid else "another head"
        super().__init__(
            f"state directory {path} is in use by {holder}", remedy="stop it, or give this one another --state-dir"
        )


class JournalUnusable(HeadError):
    """A journal that this head must not open: corrupt, foreign or newer."""

    exit_code = 78


class JournalFailed(HeadError):
    """Commits failed for longer than the head may wait; everything acknowledged is committed."""

    exit_code = 75


class DoorkeeperLost(HeadError):
    """The thread that says who may connect has ended by a bug."""

    exit_code = EXIT_BUG
