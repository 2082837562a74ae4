"""Settings that can never work are refused before anything is touched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from maze_head.config import HeadConfig
from maze_head.errors import Misconfigured


def config(**given: Any) -> HeadConfig:
    return HeadConfig(state_dir=Path("/s"), connection_file=Path("/s/c"), **given)


def test_defaults_are_loopback_and_the_four_ports_of_the_documentation() -> None:
    made = config()
    assert made.bind_address() == "127.0.0.1"
    assert (made.port, made.node_port, made.blob_port, made.event_port) == (8000, 8001, 8002, 8003)
    assert made.durability == "process"


def test_an_unknown_durability_is_refused() -> None:
    with pytest.raises(Misconfigured, match="'hope'"):
        config(durability="hope")


def test_one_port_may_not_be_given_twice_but_zero_may() -> None:
    with pytest.raises(Misconfigured, match="must differ"):
        config(port=9000, event_port=9000)
    config(port=0, node_port=0, blob_port=0, event_port=0)


@pytest.mark.parametrize(
    "times", [{"heartbeat": 0.0}, {"heartbeat": 2.0}, {"suspect_after": 11.0}, {"lost_after": 2.0}]
)
def test_times_that_would_take_a_healthy_node_for_dead_are_refused(times: dict[str, float]) -> None:
    with pytest.raises(Misconfigured, match="told from a dead one"):
        config(**times)
    config(heartbeat=0.2, suspect_after=0.6, lost_after=2.0)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::"])
def test_an_address_that_others_reach_has_curve_unless_that_is_typed_away(host: str) -> None:
    assert config(host=host).bind_address() == host
    assert config(host=host).uses_curve(host)
    assert not config(host=host, insecure=True).uses_curve(host)
    assert config(host=host, insecure=True, curve=True).uses_curve(host)


def test_on_this_machine_curve_is_there_if_wished() -> None:
    assert not config().uses_curve("127.0.0.1")
    assert config(curve=True).uses_curve("127.0.0.1")


@pytest.mark.parametrize(("host", "address"), [("localhost", "127.0.0.1"), ("::1", "::1"), ("127.0.0.2", "127.0.0.2")])
def test_loopback_names_are_resolved(host: str, address: str) -> None:
    assert config(host=host).bind_address() == address
