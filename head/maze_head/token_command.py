"""`maze-head token`: make, list and revoke tokens, on the state directory, while its head runs or not.

A token is printed once, alone on stdout; lists show what a token may do and never the token. One for joining is printed
with all else that a new machine must know.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from maze._daemon.options import DIRECTORY, DaemonCommand, DaemonGroup, option
from maze_head.tokens import NODE_JOIN, SCOPES, Token

__all__ = ["Refusal", "refusing", "state_dir_option", "token"]

state_dir_option = option("--state-dir", type=DIRECTORY, help="Of the head.  [default: as maze-head has it]")
_json = option("--json", "as_json", is_flag=True, help="Print JSON.", allow_from_autoenv=False)
EXAMPLES: Final = """
Examples:
  maze-head token create --scope submit --name anna     for somebody who runs workflows
  maze-head token create --scope read --name grafana    for what only looks
  maze-head token create --scope node-join              for `maze-node join`, once; the head must run
  maze-head token list
  maze-head token revoke anna

A head that runs notices within a second. Its own token is in STATE_DIR/auth/token.
"""


class Refusal(click.ClickException):
    """A HeadError on its way to the terminal: one line, its own exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance


@contextmanager
def refusing() -> Iterator[None]:
    """Turn errors of the head into what a command ends with."""
    from maze_head.errors import HeadError

    try:
        yield
    except HeadError as error:
        raise Refusal(str(error), error.exit_code) from error


@click.group(cls=DaemonGroup, epilog=EXAMPLES)
def token() -> None:
    """Make, list and revoke the tokens that a head answers to."""


@token.command(cls=DaemonCommand)
@option(
    "--scope",
    type=click.Choice(SCOPES),
    required=True,
    help="What it may do; submit: run code.",
    allow_from_autoenv=False,
)
@option("--name", default="", help="For lists and for revoking; unique.", allow_from_autoenv=False)
@state_dir_option
@_json
def create(scope: str, name: str, state_dir: Path | None, as_json: bool) -> None:
    """Make a token and print it, this once."""
    from maze_head.node_command import join_token, own_head

    with refusing():
        if scope == NODE_JOIN:
            own_head(state_dir)  # before anything is made
        made, text = _store(state_dir).create(scope, name, time.time())
        if scope == NODE_JOIN:
            text = join_token(state_dir, text)
    click.echo(json.dumps({"token": text, **_shown(made)}) if as_json else text)


@token.command("list", cls=DaemonCommand)
@state_dir_option
@_json
def list_all(state_dir: Path | None, as_json: bool) -> None:
    """List the tokens that are good; not what they are."""
    with refusing():
        tokens = _store(state_dir).tokens
    if as_json:
        click.echo(json.dumps({"tokens": [_shown(each) for each in tokens]}))
        return
    for each in tokens:
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(each.created_at))
        click.echo(f"{each.id}  {each.scope:<9}  {day}  {each.name}")


@token.command(cls=DaemonCommand)
@click.argument("which", metavar="ID|NAME")
@state_dir_option
def revoke(which: str, state_dir: Path | None) -> None:
    """Revoke a token; whoever shows it from now on is refused."""
    with refusing():
        gone = _store(state_dir).revoke(which)
    click.echo(f"revoked {gone.id} {gone.name}".rstrip())


def _store(state_dir: Path | None) -> Any:
    from maze._daemon.config import state_dir as default_state_dir
    from maze_head.statedir import prepare
    from maze_head.token_store import TokenStore

    directory = state_dir or default_state_dir()
    prepare(directory)
    return TokenStore(directory)


def _shown(each: Token) -> dict[str, Any]:
    return {"id": each.id, "name": each.name, "scope": each.scope, "created_at": each.created_at}
