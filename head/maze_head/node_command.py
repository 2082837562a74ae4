"""`maze-head node`: the nodes of other machines that may connect, while their head runs.

The commands ask the head over HTTP with the token of its own user, so that what they change counts at once and is in
the journal before they end.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import click

from maze._daemon.options import DaemonCommand, DaemonGroup, option
from maze_head.token_command import refusing, state_dir_option

__all__ = ["join_token", "node", "own_head"]

EXAMPLES: Final = """
Examples:
  maze-head token create --scope node-join      a token for `maze-node join` on another machine
  maze-head node list                           who may connect
  maze-head node revoke gpu-7                   it is lost at once, and may not come back
  maze-head node authorise gpu-7 KEY            without a token: KEY is what that node said when it was refused

Nodes that the head's own user starts on its machine need none of this.
"""
_json = option("--json", "as_json", is_flag=True, help="Print JSON.", allow_from_autoenv=False)


@click.group(cls=DaemonGroup, epilog=EXAMPLES)
def node() -> None:
    """List, revoke and authorise nodes of other machines."""


@node.command("list", cls=DaemonCommand)
@state_dir_option
@_json
def list_all(state_dir: Path | None, as_json: bool) -> None:
    """List the nodes that are authorised, and their keys."""
    found = _ask(state_dir, "GET", "/node-keys")
    if as_json:
        click.echo(json.dumps(found))
        return
    for each in found["nodes"]:
        click.echo(f"{each['key']}  {each['node_id']}")


@node.command(cls=DaemonCommand)
@click.argument("name")
@state_dir_option
def revoke(name: str, state_dir: Path | None) -> None:
    """Revoke the key of a node: it is lost at once, with what it runs, and may not come back."""
    from urllib.parse import quote

    gone = _ask(state_dir, "DELETE", f"/node-keys/{quote(name, safe='')}")
    click.echo(f"revoked {gone['key']} of {gone['node_id']}")


@node.command(cls=DaemonCommand)
@click.argument("name")
@click.argument("key")
@state_dir_option
def authorise(name: str, key: str, state_dir: Path | None) -> None:
    """Authorise a node by its public key, without a token."""
    made = _ask(state_dir, "POST", "/node-keys", {"node_id": name, "key": key})
    click.echo(f"{made['node_id']} may connect to {made['endpoint']}; the key of the head is {made['head_key']}")


def join_token(state_dir: Path | None, token: str) -> str:
    """Return what a machine needs to join, with a token that allows one to.

    Raises:
        Misconfigured: no head runs there, or it authenticates nobody.
    """
    from maze_protocol.enrolment import JoinToken, pack_join_token

    info = own_head(state_dir)
    return pack_join_token(JoinToken(info.url, info.head_key, token))


def own_head(state_dir: Path | None) -> Any:
    """Return where the head of a state directory answers, and by which key it is known.

    Raises:
        Misconfigured: no head runs there, or it authenticates nobody.
    """
    from maze._daemon.connection import default_path, read_connection
    from maze_head.errors import Misconfigured

    named = "MAZE_CONNECTION_FILE" in os.environ
    file = default_path() if named or state_dir is None else state_dir / "connection.json"
    info = read_connection(file)
    if info is None:
        raise Misconfigured(f"no head runs that {file} tells of", remedy="start it first, or give its --state-dir")
    if not info.head_key:
        raise Misconfigured(f"the head at {info.url} does not authenticate nodes", remedy="start it with --curve")
    return info


def _ask(state_dir: Path | None, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    from maze._daemon.access import access_by
    from maze._daemon.asking import ask
    from maze._daemon.errors import DaemonError

    with refusing():
        info = own_head(state_dir)
    try:
        token = access_by(info.url, Path(info.token_file)).token if info.token_file else ""
        return ask(info.url, token, method, path, body)
    except DaemonError as error:
        raise click.ClickException(str(error)) from error
