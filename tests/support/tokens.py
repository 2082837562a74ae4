"""Tokens for tests: fixed ones for servers in this process, and those of real heads, read as any program would."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maze._daemon.access import bearer
from maze._daemon.secret_files import read_secret
from maze_head.tokens import ADMIN, NODE_JOIN, READ, SUBMIT, Token, TokenBook, digest_of

TEXTS = {scope: f"{scope}-token-of-a-test-server" for scope in (READ, SUBMIT, ADMIN, NODE_JOIN)}
"""By scope."""
SHOWN = bearer(TEXTS[ADMIN])
"""The header that a server of a test wants."""
LINE = f"Authorization: {SHOWN['Authorization']}\r\n"
"""The same, as it travels."""


def book() -> TokenBook:
    """Return one token of each scope."""
    return TokenBook([Token(digest_of(text), scope, scope) for scope, text in TEXTS.items()])


def shown(ready: Mapping[str, Any]) -> dict[str, str]:
    """Return the header that a head wants, from its READY line; nothing if it wants none."""
    return bearer(read_secret(Path(ready["token_file"]))) if ready.get("token_file") else {}
