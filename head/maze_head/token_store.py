"""The tokens of a state directory: the head's own, which its user's programs find, and those that were handed out.

`auth/` (0700) holds `token`, the own one as text, made at the first start; and `tokens.json`, digests of the others,
each shown once when it was made. The commands change that file while a head runs, under a lock of theirs and in one
step; the head looks a few times per second whether it is another file now, so a revoked token is refused from then on.
A file that cannot be trusted stops a head that starts; one that runs says so and keeps what it had.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from maze._daemon.errors import SecretUnusable
from maze._daemon.secret_files import TOKEN_BYTES, create_secret, make_own_token, read_secret
from maze_head.errors import HeadError, Misconfigured, TokensUnusable
from maze_head.tokens import ADMIN, SCOPES, Token, TokenBook, digest_of

__all__ = ["OWN", "TokenStore"]

log = logging.getLogger(__name__)

OWN: Final = "own"
"""The name of the head's own token."""
NAME_LENGTH: Final = 64
MAX_TOKENS: Final = 4096

Signature = tuple[tuple[int, int, int] | None, ...]


class _Kept(msgspec.Struct, frozen=True):
    """A token in the file."""

    digest: str
    scope: str
    name: str
    created_at: float


class TokenStore:
    """The tokens of one state directory, as files and in memory."""

    def __init__(self, state_dir: Path) -> None:
        """Make the directory and the own token, if there is none, and read what is there.

        Raises:
            TokensUnusable: a file is absent, unreadable, empty or open to others.
        """
        try:
            self.own_file = make_own_token(state_dir)
        except SecretUnusable as error:
            raise TokensUnusable(f"{error.path} {error.trouble}", remedy=error.remedy) from error
        self._directory = self.own_file.parent
        self._file = self._directory / "tokens.json"
        self._seen = self._told = self._signature()
        self._tokens = self._read()
        self._book = TokenBook(self._tokens)
        self._changed = False
        self._spent: set[bytes] = set()
        """Digests of tokens that are good for one thing, and in use or used."""

    @property
    def tokens(self) -> tuple[Token, ...]:
        """Return all tokens, the own one first."""
        return self._tokens

    def find(self, text: str) -> Token | None:
        """Return the good token that this text is, or None."""
        found = self._book.find(text)
        if found is None:
            # It may have been made since the last tick.
            self._look()
            found = self._book.find(text)
        return found

    def holds(self, token: Token) -> bool:
        """Tell whether a token that was found once is still good."""
        return self._book.holds(token)

    def tick(self) -> bool:
        """Take over what the commands changed meanwhile; tell whether anything has changed since the last tick."""
        self._look()
        changed, self._changed = self._changed, False
        return changed

    def _look(self) -> None:
        seen = self._signature()
        if seen == self._seen:
            return
        try:
            self._tokens = self._read()
        except TokensUnusable as error:
            if seen != self._told:
                log.error("tokens stay as they were: %s", error)  # noqa: TRY400 -- the file's fault, not a bug
            self._told = seen
            return
        self._seen, self._changed = seen, True
        self._book = TokenBook(self._tokens)
        log.info("tokens changed", extra={"tokens": len(self._tokens)})

    def create(self, scope: str, name: str, now: float) -> tuple[Token, str]:
        """Make a token; its text is in no file and will not be seen again.

        Args:
            scope: one of SCOPES.
            name: for lists, unique; a node's or a person's, say.
            now: Unix seconds.

        Raises:
            Misconfigured: the name is taken, or none.
            TokensUnusable: the file cannot be written.
        """
        if not name.isprintable() or len(name) > NAME_LENGTH or name == OWN:
            raise Misconfigured(
                f"a token cannot be named {name[:NAME_LENGTH]!a}", remedy=f"give up to {NAME_LENGTH} characters"
            )
        text = secrets.token_urlsafe(TOKEN_BYTES)
        token = Token(digest_of(text), scope, name, now)
        with self._changing():
            if name and any(other.name == name for other in self._tokens):
                raise Misconfigured(f"there is a token named {name!a} already", remedy="revoke it, or give another")
            if len(self._tokens) > MAX_TOKENS:
                raise Misconfigured(f"there are {MAX_TOKENS} tokens already", remedy="revoke those nobody uses")
            self._write((*self._tokens, token))
        return token, text

    @contextmanager
    def spending(self, token: Token) -> Iterator[None]:
        """Use a token that is good for one thing, once: if that succeeds it is revoked.

        Raises:
            TokensUnusable: it is being used, or was.
        """
        if token.digest in self._spent or not self.holds(token):
            raise TokensUnusable("this token was used already", remedy="make another one")
        self._spent.add(token.digest)
        try:
            yield
        except BaseException:
            self._spent.discard(token.digest)
            raise
        try:
            self.revoke(token.id)
        except HeadError as error:
            # What cannot be written now is remembered until this head ends.
            log.error("a used token could not be revoked: %s", error)  # noqa: TRY400 -- the disk's fault, not a bug

    def revoke(self, which: str) -> Token:
        """Remove a token, named by its id or its name.

        Raises:
            Misconfigured: there is none, or it is the own one.
            TokensUnusable: the file cannot be written.
        """
        with self._changing():
            found = next((each for each in self._tokens[1:] if which and which in (each.id, each.name)), None)
            if found is None:
                raise Misconfigured(
                    f"there is no token {which[:NAME_LENGTH]!a} to revoke", remedy="`maze-head token list`"
                )
            self._write(tuple(each for each in self._tokens if each is not found))
        return found

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Hold the commands' lock, with what is in the file now."""
        handle = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            self._tokens = self._read()
            yield
        finally:
            os.close(handle)

    def _read(self) -> tuple[Token, ...]:
        try:
            own = Token(digest_of(read_secret(self.own_file)), ADMIN, OWN, self.own_file.stat().st_mtime)
            kept = msgspec.json.decode(read_secret(self._file), type=list[_Kept]) if self._file.exists() else []
            return (own, *map(_token, kept))
        except SecretUnusable as error:
            raise TokensUnusable(f"{error.path} {error.trouble}", remedy=error.remedy) from error
        except (msgspec.DecodeError, ValueError) as error:
            raise TokensUnusable(f"{self._file} is damaged", remedy="remove it, and make its tokens anew") from error

    def _write(self, tokens: tuple[Token, ...]) -> None:
        body = msgspec.json.encode([_kept(token) for token in tokens[1:]])
        fresh = self._file.with_suffix(".new")
        try:
            fresh.unlink(missing_ok=True)
            create_secret(fresh, body.decode())
            os.replace(fresh, self._file)
        except (SecretUnusable, OSError) as error:
            raise TokensUnusable(f"{self._file} cannot be written", remedy="give a writable --state-dir") from error
        self._tokens, self._book, self._seen = tokens, TokenBook(tokens), self._signature()
        self._changed = True

    def _signature(self) -> Signature:
        return tuple(map(_stamp, (self.own_file, self._file)))


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size


def _kept(token: Token) -> _Kept:
    return _Kept(token.digest.hex(), token.scope, token.name, token.created_at)


def _token(kept: _Kept) -> Token:
    if kept.scope not in SCOPES:
        raise ValueError("a scope that this head does not know")
    return Token(bytes.fromhex(kept.digest), kept.scope, kept.name, kept.created_at)
