"""Partitions between real network stacks: namespaces, a cable, routes to nowhere and packet filters. Root only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chaos.netns import HEAD, cable, why_not
from chaos.network import SCENARIOS
from chaos.scale import full_only

FILTERS = ("lose packets", "reset everything")


def need(*, filters: bool = False) -> None:
    if reason := why_not(filters=filters):
        pytest.skip(reason)


def reaches(wires: Any) -> bool:
    """Tell whether a datagram comes from the node's side to the head's within half a second."""
    listen = f"import socket; s = socket.socket(2, 2); s.bind(({HEAD!r}, 9)); s.settimeout(0.5); print(1, flush=True)"
    listen += "; s.recv(9)"
    send = f"import socket; socket.socket(2,2).sendto(b'x',({HEAD!r},9))"
    with subprocess.Popen(
        wires.command(wires.head, [sys.executable, "-c", listen]), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as listener:
        assert listener.stdout is not None
        listener.stdout.readline()
        command = wires.command(wires.node, [sys.executable, "-c", send])
        subprocess.run(command, capture_output=True, check=False)
        return listener.wait(10) == 0


def test_a_cable_can_be_cut_and_mended() -> None:
    need()
    with cable() as wires:
        assert reaches(wires)
        wires.cut(to_node=False)
        assert not reaches(wires)
        wires.heal()
        assert reaches(wires)


@full_only
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_node_beyond_a_broken_cable(figures: dict[str, Any], scenario: str) -> None:
    need(filters=scenario in FILTERS)
    with cable() as wires:
        command = [sys.executable, "-m", "chaos.network", scenario, wires.node, wires.head]
        paths = [str(Path(__file__).parents[1]), *sys.path]
        done = subprocess.run(
            wires.command(wires.head, command), capture_output=True, text=True, timeout=300, check=False,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(path for path in paths if path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]
        figures |= json.loads(done.stdout.splitlines()[-1])
