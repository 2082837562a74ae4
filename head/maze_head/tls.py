"""TLS of the HTTP port: from two files to a context, or an error that says what is wrong with them.

TLS 1.2 is the least that is spoken; everything else is as Python and OpenSSL have it by default.
"""

from __future__ import annotations

import os
import ssl
import stat
from pathlib import Path

from maze_head.errors import Misconfigured

__all__ = ["server_context"]


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    """Return the context of a server that shows this certificate.

    Args:
        cert: PEM, the server's own certificate first.
        key: PEM, without a passphrase, and not readable by everybody.

    Raises:
        Misconfigured: a file is missing, open to everybody, or not what it should be.
    """
    _check_private(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key, password=_no_passphrase)
    except (ssl.SSLError, ValueError) as error:
        raise Misconfigured(
            f"--tls-cert {cert} and --tls-key {key} are no pair of a certificate and its key",
            remedy="give PEM files that belong together, the key without a passphrase",
        ) from error
    except OSError as error:
        raise Misconfigured(f"--tls-cert {cert} cannot be read: {error.strerror}") from error
    return context


def _check_private(key: Path) -> None:
    try:
        mode = os.stat(key).st_mode
    except OSError as error:
        raise Misconfigured(f"--tls-key {key} cannot be read: {error.strerror}") from error
    # Often of a group of servers, so a group may read it.
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise Misconfigured(f"--tls-key {key} is open to others", remedy=f"chmod 600 {key}")


def _no_passphrase() -> str:
    """Refuse to ask the terminal: nobody sits there."""
    raise ValueError("the key has a passphrase")
