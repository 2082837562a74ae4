"""Certificate and key of the HTTP port: what is refused, and with which words."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from maze_head.config import HeadConfig
from maze_head.errors import Misconfigured
from maze_head.tls import server_context
from support.tls import CERT, write_pair

LOCKED = """-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjzgXWXHVhGTgICCAAw
-----END ENCRYPTED PRIVATE KEY-----
"""


def test_less_than_tls_1_2_is_not_spoken(tmp_path: Path) -> None:
    context = server_context(*write_pair(tmp_path))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_group_of_servers_may_read_the_key(tmp_path: Path) -> None:
    cert, key = write_pair(tmp_path)
    key.chmod(0o640)
    server_context(cert, key)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o660])
def test_a_key_that_is_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    cert, key = write_pair(tmp_path)
    key.chmod(mode)
    with pytest.raises(Misconfigured, match=r"open to others.*chmod 600"):
        server_context(cert, key)


@pytest.mark.parametrize("text", ["", "no PEM", CERT, LOCKED], ids=["empty", "text", "certificate", "passphrase"])
def test_what_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    cert, key = write_pair(tmp_path)
    key.write_text(text)
    with pytest.raises(Misconfigured, match="no pair"):
        server_context(cert, key)


def test_absent_files_are_named(tmp_path: Path) -> None:
    cert, key = write_pair(tmp_path)
    with pytest.raises(Misconfigured, match=r"--tls-cert .*absent"):
        server_context(tmp_path / "absent", key)
    with pytest.raises(Misconfigured, match=r"--tls-key .*absent"):
        server_context(cert, tmp_path / "absent")


def test_half_of_a_pair_is_a_mistake(tmp_path: Path) -> None:
    for half in ({"tls_cert": tmp_path}, {"tls_key": tmp_path}):
        with pytest.raises(Misconfigured, match="both --tls-cert and --tls-key"):
            HeadConfig(tmp_path, tmp_path, **half)
