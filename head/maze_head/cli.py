"""The command `maze-head`. Flags come from maze._daemon.options; anything heavy is imported when the head starts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from maze._daemon.options import DaemonCommand, common_options, head_options, run_command, version_option

__all__ = ["command", "main"]

EXAMPLES: Final = """
Examples:
  maze-head                                       on this machine only, ports 8000 to 8003
  maze-head --port 0 --node-port 0 --blob-port 0 --event-port 0
                                                  any free ports; the connection file tells which
  maze-head --durability power                    acknowledged work survives a power cut, too
  maze-head --host 10.0.0.5 --insecure            other machines may join; only in a trusted network

It prints one line, MAZE-READY {json}, when it serves. SIGTERM stops it; nodes keep their tasks.
Exit codes: 0 stopped, 2 usage or port in use, 3 state directory in use, 70 bug, 75 disk, 78 damaged journal.
"""


class _Refusal(click.ClickException):
    """A HeadError on its way to the terminal: one line, its own exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance


@click.command(cls=DaemonCommand, section="head", epilog=EXAMPLES)
@head_options
@common_options
@version_option("maze-head")
def command(**settings: Any) -> int:
    """Run the head of a cluster: it keeps workflows and runs, and gives tasks to nodes."""
    from maze._daemon.logging import setup_logging
    from maze_head.errors import HeadError

    with _no_certificates():
        from maze_head.app import run

    setup_logging(settings.pop("log_level"), settings.pop("log_format"), file=settings.pop("log_file"))
    try:
        return run(_config(settings))
    except HeadError as error:
        raise _Refusal(str(error), error.exit_code) from error


@contextmanager
def _no_certificates() -> Iterator[None]:
    """Keep aiohttp from reading the machine's certificates at import: a sixth of our start, for no TLS client."""
    before = os.environ.get("SSL_CERT_FILE")
    os.environ["SSL_CERT_FILE"] = os.devnull
    try:
        yield
    finally:
        if before is None:
            del os.environ["SSL_CERT_FILE"]
        else:
            os.environ["SSL_CERT_FILE"] = before


def _config(settings: dict[str, Any]) -> Any:
    from maze._daemon.config import state_dir
    from maze_head.config import HeadConfig

    home: Path = settings.pop("state_dir") or state_dir()
    file: Path = settings.pop("connection_file") or home / "connection.json"
    return HeadConfig(state_dir=home, connection_file=file, **settings)


def main() -> None:
    """Run the command line and leave the process."""
    run_command(command, program="maze-head")
