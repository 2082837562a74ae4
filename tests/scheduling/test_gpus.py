"""Four devices shared by memory, by fraction and as a whole: never over-committed, and hardly ever idle.

The set can be packed without a gap: in each round one device whole, one in two halves by memory, one in two halves by
memory and fraction, one in four quarters, all for equally long. So its optimum is exactly the number of rounds times
that long: the claims need so much room. The tasks come in a random order, and the head knows nothing of any of this.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from maze import MaClient
from scheduling.scale import promised, sized
from scheduling.work import Record, records, sleep_and_tell
from support.cluster import start_cluster, wait_until

GPUS, MEMORY = 4, 24_000
ROUNDS = sized(2, 16)
SECONDS = sized(0.3, 1.5)
ROUND = (
    {"gpu": 1, "gpu_mem": 20_000},
    *[{"gpu_mem": 12_000}] * 2,
    *[{"gpu": 0.5, "gpu_mem": 12_000}] * 2,
    *[{"gpu_mem": 6_000}] * 4,
)
"""Fills four devices."""
LONG = 200.0


@pytest.mark.timeout(300)
def test_no_device_is_over_committed_and_the_makespan_is_near_its_optimum(
    tmp_path: Path, figures: dict[str, Any]
) -> None:
    claims = [claim for _ in range(ROUNDS) for claim in ROUND]
    random.Random(4).shuffle(claims)
    flags = "--cpus=32", "--workers=64", f"--gpus={GPUS}", f"--gpu-mem={MEMORY}"
    with start_cluster(node_args=flags) as cluster, MaClient(cluster.url) as client:
        workflow = client.create_workflow("gpus")
        for number, claim in enumerate(claims):
            inputs = {"folder": str(tmp_path), "name": f"{number:04}", "seconds": SECONDS}
            workflow.add_task(sleep_and_tell, inputs, resources={"cpu": 0.25, **claim})
        run_id = workflow.run()
        wait_until(lambda: cluster.get(f"/api/v1/runs/{run_id}")["sealed"], "its end", LONG)
        run = cluster.get(f"/api/v1/runs/{run_id}")
    told = records(tmp_path)
    assert len(told) == len(claims)
    check_devices(told, claims)
    optimum, makespan = ROUNDS * SECONDS, run["ended_at"] - run["submitted_at"]
    figures |= {"tasks": len(claims), "optimum_s": optimum, "makespan_s": round(makespan, 3)}
    promised("makespan_to_optimum", makespan / optimum, 1.10, figures)


def check_devices(told: dict[str, Record], claims: list[dict[str, float]]) -> None:
    """Assert that each task saw what it claimed, and that nobody's claims ever met on a device beyond what it has."""
    spans: dict[str, list[tuple[float, float, dict[str, float]]]] = {}
    for number, claim in enumerate(claims):
        record = told[f"{number:04}"]
        assert record.visible in {str(index) for index in range(GPUS)}, f"{claim} saw {record.visible!r}"
        spans.setdefault(record.visible, []).append((record.start, record.end, claim))
    assert len(spans) == GPUS, "a device was never used"
    for index, mine in spans.items():
        for together in _together(mine):
            assert sum(map(_memory, together)) <= MEMORY, f"memory of device {index} over-committed: {together}"
            assert sum(claim.get("gpu", 0) for claim in together) <= 1, f"device {index} over-committed: {together}"
            whole = [claim for claim in together if claim.get("gpu") == 1]
            assert not whole or len(together) == 1, f"device {index} is whole and shared: {together}"


def _memory(claim: dict[str, float]) -> float:
    return MEMORY if claim.get("gpu") == 1 else claim["gpu_mem"]


def _together(spans: list[tuple[float, float, dict[str, float]]]) -> Iterator[list[dict[str, float]]]:
    """Return who was there between any two moments at which something changed."""
    moments = sorted({moment for start, end, _ in spans for moment in (start, end)})
    for begin, end in pairwise(moments):
        yield [claim for start, stop, claim in spans if start <= begin and end <= stop]
