"""Only a libzmq without the known holes, and with CURVE, is used."""

from __future__ import annotations

import pytest
import zmq

from maze._daemon.curve import library_problem


def test_the_library_of_this_machine_is_good() -> None:
    assert library_problem() == ""


def test_an_old_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zmq, "zmq_version_info", lambda: (4, 3, 2))
    assert library_problem() == "libzmq 4.3.2 has known holes; install a pyzmq with libzmq 4.3.4 or newer"


def test_a_library_without_curve_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zmq, "has", lambda _: False)
    assert "without CURVE" in library_problem()
