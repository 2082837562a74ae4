"""Which isolation is active, by what was asked for and what works here."""

from __future__ import annotations

from pathlib import Path

import pytest

from maze_node import isolation
from maze_node.errors import UsageError
from maze_node.isolation import BWRAP, LEVELS, NONE, PROCESS, Isolation, choose

BASE = Path("/var/tmp")


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What is wrong on this machine: with boxes, with leaving the network there, and with leaving it elsewhere."""
    wrong: dict[str, object] = {"box": ("", ""), "namespaces": ""}
    monkeypatch.setattr(isolation.Plan, "trouble", lambda self: wrong["box"])
    monkeypatch.setattr(isolation, "trouble", lambda: wrong["namespaces"])
    return wrong


@pytest.mark.parametrize("level", [NONE, PROCESS])
def test_the_plain_levels_are_always_to_be_had(machine: dict[str, object], level: str) -> None:
    machine["box"] = ("bwrap is not installed", "")
    assert choose(level, BASE) == Isolation(level, cuts_network=True)
    machine["namespaces"] = "unshare: Operation not permitted"
    active = choose(level, BASE)
    assert (active.level, active.cuts_network, active.sandboxed) == (level, False, f"{level} sandbox")
    assert active.without == "no sandbox without network: unshare: Operation not permitted"


@pytest.mark.parametrize("wanted", [BWRAP, "auto"])
def test_boxes_are_used_where_they_work(machine: dict[str, object], wanted: str) -> None:
    active = choose(wanted, BASE)
    assert (active.level, active.sandboxed, active.without) == (BWRAP, "bwrap sandbox no-network", "")
    assert active.plan is not None
    assert active.plan.base == BASE
    machine["box"] = ("", "uid_map: denied")
    active = choose(wanted, BASE)
    assert (active.level, active.sandboxed) == (BWRAP, "bwrap sandbox")
    assert "uid_map: denied" in active.without


def test_where_they_do_not_work_the_best_is_less_and_says_why(machine: dict[str, object]) -> None:
    machine["box"] = ("setting up uid map: Permission denied", "")
    active = choose("auto", BASE)
    assert (active.level, active.plan) == (PROCESS, None)
    assert active.without == "no bwrap: setting up uid map: Permission denied"
    with pytest.raises(
        UsageError, match=r"does not work here: setting up uid map: Permission denied; `maze-node doctor`"
    ):
        choose(BWRAP, BASE)


def test_the_flag_knows_the_same_words() -> None:
    from maze._daemon.options import isolation_option  # click is loaded with it

    option = isolation_option(lambda: None).__click_params__[0]  # type: ignore[attr-defined]  # click's own mark
    assert tuple(option.type.choices) == LEVELS
