"""`maze-node join`: a machine becomes a node of a head elsewhere, once and for all.

The node makes a key pair and sends the public half, with the token that allows one node to join. The head's own key is
known from the join token: an answer that names another one is not from that head, and nothing is kept.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Final

from maze._daemon.asking import ask
from maze._daemon.config import node_dir
from maze._daemon.errors import HeadRefused, SecretUnusable
from maze._daemon.secret_files import create_secret
from maze_node.errors import JoinRefused
from maze_node.identity import JOINED, Joined, own_pair
from maze_protocol.enrolment import JoinToken

__all__ = ["join"]

UNAUTHORIZED: Final = 401


def join(told: JoinToken, name: str | None, directory: Path | None) -> Joined:
    """Have this machine authorised as a node.

    Args:
        told: what the join token says.
        name: of the node; the host's own if there is none.
        directory: where its key is kept, and where it has joined.

    What it joined before is forgotten, once this has succeeded; its key stays.

    Raises:
        JoinRefused: the token is no good any more, or another head answers.
        HeadRefused: the name is taken, for example.
        HeadUnreachable: nobody answers.
        SecretUnusable: the directory cannot be used.
    """
    home = directory or node_dir()
    pair = own_pair(home)
    body = {"node_id": name or socket.gethostname(), "key": pair.public}
    try:
        answer = ask(told.url, told.token, "POST", "/node-keys", body)
    except HeadRefused as refused:
        if refused.status != UNAUTHORIZED:
            raise
        raise JoinRefused("this token was used before, or revoked: have another one made") from refused
    if answer.get("head_key") != told.head_key:
        raise JoinRefused(f"the head that answers at {told.url} is not the one that made this token: its key differs")
    joined = Joined(str(answer.get("endpoint", "")), told.head_key, str(answer.get("node_id", "")), told.url)
    _keep(home / JOINED, joined)
    return joined


def _keep(file: Path, joined: Joined) -> None:
    fresh = file.with_suffix(".new")
    try:
        fresh.unlink(missing_ok=True)
        create_secret(fresh, json.dumps(joined._asdict()))
        os.replace(fresh, file)
    except OSError as error:
        raise SecretUnusable(file, f"cannot be written ({error.strerror})", "give a writable --node-dir") from error
