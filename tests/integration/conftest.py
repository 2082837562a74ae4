"""One head and one node for the tests that change nothing about them; `MAZE_URL` does not reach these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.cluster import Cluster, start_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A head and a node with 4 CPUs, shared by all tests that take it."""
    with start_cluster() as running:
        yield running
