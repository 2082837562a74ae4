"""For how long what a node has to say may wait: never for nothing, and never past enough."""

from __future__ import annotations

import pytest

from maze_node.core.patience import ENOUGH, FLUSH_LATER, FLUSH_SOON, LONG_QUEUE, patience


@pytest.mark.parametrize(
    ("running", "queued", "unsent", "seconds"),
    [
        (0, 0, 0, 0.0),
        (1, 0, 0, 0.0),
        (0, 9, 0, 0.0),
        (1, 1, 0, FLUSH_SOON),
        (2, 2 * LONG_QUEUE - 1, 0, FLUSH_SOON),
        (2, 2 * LONG_QUEUE, 0, FLUSH_LATER),
        (2, 2 * LONG_QUEUE, ENOUGH - 1, FLUSH_LATER),
        (2, 2 * LONG_QUEUE, ENOUGH, 0.0),
    ],
)
def test_the_longer_the_queues_the_longer_it_waits(running: int, queued: int, unsent: int, seconds: float) -> None:
    assert patience(running, queued, unsent) == seconds
