"""Errors of the shared command code.

    DaemonError
    ├── ConfigError(ValueError)   a configuration file is wrong; the message names file, key and the nearest known key
    ├── HeadRefused               a head answered a request of a daemon's command with a refusal; has its code
    ├── HeadUnreachable           nobody answers at a URL, or no Maze head
    ├── SecretUnusable            a token or key file that is absent, empty or open to others; never its content
    └── NotReady                  a process that we started did not get ready; carries its exit status

Rules. Fields carry the data, the message is built from them. The commands map these to exit codes, once.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["ConfigError", "DaemonError", "SecretUnusable", "NotReady"]


class DaemonError(Exception):
    """Anything the shared command code raises."""


class ConfigError(DaemonError, ValueError):
    """A configuration file that cannot be used."""


class SecretUnusable(DaemonError):
    """A file that should hold a secret, and cannot be used."""

    def __init__(self, path: Path, trouble: str, remedy: str) -> None:
        self.path = path
        self.trouble = trouble
        self.remedy = remedy
        super().__init__(f"{path} {trouble}; {remedy}")


class HeadUnreachable(DaemonError):
    """Nobody answers, or somebody who is no Maze head."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(f"no Maze head answers at {url} ({reason})")


class HeadRefused(DaemonError):
    """A head refused what a command asked for."""

    def __init__(self, status: int, code: str, message: str, hint: str) -> None:
        self.status = status
        self.code = code
        super().__init__(f"{message}; {hint}" if hint else message)


class NotReady(DaemonError):
    """A child process ended, or stayed silent, before its READY line."""

    def __init__(self, command: str, status: int | None, seconds: float) -> None:
        self.command = command
        self.status = status
        """The exit status if it ended; None if it stayed silent."""
        self.seconds = seconds
        how = f"was not ready within {seconds:g} s" if status is None else f"ended with exit code {status}"
        super().__init__(f"{command} {how}")
