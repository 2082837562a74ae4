"""Keys as texts, compared with ZeroMQ's own encoding."""

from __future__ import annotations

import os

import pytest
import zmq
from zmq.utils import z85

from maze_protocol.keys import encode_key, is_key


def test_a_key_is_told_as_zeromq_would() -> None:
    for raw in (bytes(32), b"\xff" * 32, *(os.urandom(32) for _ in range(50))):
        assert encode_key(raw) == z85.encode(raw).decode()
        assert is_key(encode_key(raw))
    assert is_key(zmq.curve_keypair()[0].decode())


@pytest.mark.parametrize("text", ["", "0" * 39, "0" * 41, "0" * 39 + "~", "#" * 40, "0" * 39 + "é", b"0" * 40, None, 7])
def test_what_is_no_key(text: object) -> None:
    assert not is_key(text)
