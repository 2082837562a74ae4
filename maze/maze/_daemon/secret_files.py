"""Files that hold one secret: made private, whole and once, and read only while nobody else can read them.

Rules. Nothing here writes over a secret, follows a link to it, or falls back to anything: a file that cannot be used
is an error that says what to do. No secret is ever part of a message. Tokens of heads are kept this way, and keys.
"""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from maze._daemon.errors import SecretUnusable

__all__ = ["TOKEN_BYTES", "create_secret", "make_own_token", "private_directory", "read_secret"]

TOKEN_BYTES: Final = 32

MAX_BYTES: Final = 1 << 20
READING: Final = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK"))
FOR_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def private_directory(path: Path) -> None:
    """Make a directory of mode 0700, or make sure that the one that is there is private and ours.

    Raises:
        SecretUnusable: others can look into it, or it cannot be made.
    """
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        status = os.lstat(path)
    except OSError as error:
        raise SecretUnusable(path, f"cannot be made ({error.strerror})", "give a writable directory") from error
    if not stat.S_ISDIR(status.st_mode):
        raise SecretUnusable(path, "is no directory", "remove it")
    _check_owner(path, status, "chmod 700")


def make_own_token(state_dir: Path) -> Path:
    """Make a head's own token in its state directory, unless it has one; return the file.

    Raises:
        SecretUnusable: it cannot be written, or others could read it.
    """
    directory = state_dir / "auth"
    private_directory(directory)
    file = directory / "token"
    if not os.path.lexists(file):
        create_secret(file, secrets.token_urlsafe(TOKEN_BYTES))
    return file


def create_secret(path: Path, text: str) -> bool:
    """Put a new file with this text in place, in one step; False if one is there already.

    Raises:
        SecretUnusable: it cannot be written.
    """
    # Written under another name first: whoever finds the file finds all of it, also after a power cut in between.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with suppress(FileNotFoundError):
            temporary.unlink()
        _write(temporary, text)
        try:
            os.link(temporary, path, follow_symlinks=False)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
    except OSError as error:
        raise SecretUnusable(path, f"cannot be written ({error.strerror})", "give a writable directory") from error
    return True


def read_secret(path: Path) -> str:
    """Return what a secret file holds, without white space around it.

    Raises:
        SecretUnusable: it is absent or empty, or not ours alone.
    """
    try:
        handle = os.open(path, READING)
    except OSError as error:
        raise SecretUnusable(path, f"cannot be read ({error.strerror})", "make it readable for its owner") from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise SecretUnusable(path, "is no file", "name a file")
        _check_owner(path, status, "chmod 600")
        text = os.read(handle, MAX_BYTES).decode("utf-8", "replace").strip()
    finally:
        os.close(handle)
    if not text:
        raise SecretUnusable(path, "is empty", "remove it, or put the secret in")
    return text


def _write(path: Path, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(handle)


def _check_owner(path: Path, status: os.stat_result, remedy: str) -> None:
    if not hasattr(os, "geteuid"):
        return  # Windows, where only the client runs: no such modes
    if status.st_uid != os.geteuid():
        raise SecretUnusable(path, "belongs to another user", "let each user have their own")
    if status.st_mode & FOR_OTHERS:
        raise SecretUnusable(
            path, f"is open to other users (mode {stat.S_IMODE(status.st_mode):o})", f"{remedy} {path}"
        )
