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
  maze-head --host 10.0.0.5                       other machines may join, with a token (docs/security.md)
  maze-head token create --scope submit --name anna
                                                  a token for somebody else; also: list, revoke
  maze-head node revoke gpu-7                     a node may not come back; also: list, authorise

It prints one line, MAZE-READY {json}, when it serves. SIGTERM stops it; nodes keep their tasks.
Exit codes: 0 stopped, 2 usage or port in use, 3 state directory in use, 70 bug, 75 disk, 78 damaged journal.
"""


class HeadCommand(DaemonCommand):
    """The daemon, with `token` or `node` as a first word: a group would not let the daemon's flags stand alone."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> click.Context:
        """Hand `token …` and `node …` to their own commands."""
        if args[:1] == ["token"]:
            from maze_head.token_command import token

            return token.make_context(f"{info_name} token", args[1:], *rest, **extra)
        if args[:1] == ["node"]:
            from maze_head.node_command import node

            return node.make_context(f"{info_name} node", args[1:], *rest, **extra)
        return super().make_context(info_name, args, *rest, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that the context was made for."""
        return ctx.command.invoke(ctx) if ctx.command is not self else super().invoke(ctx)


@click.command(cls=HeadCommand, section="head", epilog=EXAMPLES)
@head_options
@common_options
@version_option("maze-head")
def command(**settings: Any) -> int:
    """Run the head of a cluster: it keeps workflows and runs, and gives tasks to nodes."""
    from maze._daemon.logging import setup_logging
    from maze_head.token_command import refusing

    with _no_certificates():
        from maze_head.app import run

    setup_logging(settings.pop("log_level"), settings.pop("log_format"), file=settings.pop("log_file"))
    with refusing():
        return int(run(_config(settings)))


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
