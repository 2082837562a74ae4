"""Who owns the processes of `MaClient.local()`; tests/integration/test_sdk_process.py shows that they really run."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest

from maze import _local
from maze._daemon import embedded
from maze._daemon.errors import DaemonError
from maze._graph import AddTask
from maze._local import LocalCluster
from maze._shared import state_of, unsent
from maze.errors import LocalClusterError
from support.drafts import vertex

URL = "http://127.0.0.1:9"


class FakeCluster:
    """Records what is asked of it."""

    failure: Exception | None = None
    made: list[FakeCluster]

    def __init__(self, **settings: Any) -> None:
        self.settings, self.calls, self.url = settings, ["made"], URL
        self.token_file = None
        self.head: Any = SimpleNamespace(stdin=io.BytesIO())
        self.nodes: list[Any] = [SimpleNamespace(stdin=io.BytesIO())]
        self.made.append(self)

    def start(self) -> None:
        self.calls.append("start")

    def wait_nodes(self) -> None:
        if self.failure is not None:
            raise self.failure

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> list[FakeCluster]:
    made: list[FakeCluster] = []
    monkeypatch.setattr(FakeCluster, "made", made, raising=False)
    monkeypatch.setattr(embedded, "EmbeddedCluster", FakeCluster)
    return made


def test_it_ends_once_and_forgets_edits_that_nobody_will_get(fake: list[FakeCluster]) -> None:
    cluster = LocalCluster(cpus=2)
    state_of(URL, "w").record(AddTask(vertex("a")))
    cluster.close()
    cluster.close()
    assert fake[0].settings["node_flags"] == ["--cpus=2"]
    assert fake[0].calls == ["made", "start", "close"]
    assert unsent(URL) == []


def test_it_ends_with_the_process(fake: list[FakeCluster]) -> None:
    cluster = LocalCluster()
    _local._close_all()
    assert fake[0].calls[-1] == "close"
    assert cluster.url == URL


@pytest.mark.parametrize("failure", [DaemonError("port taken"), KeyboardInterrupt()])
def test_a_failed_start_leaves_nothing(
    fake: list[FakeCluster], monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    monkeypatch.setattr(FakeCluster, "failure", failure)
    with pytest.raises(KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else LocalClusterError):
        LocalCluster()
    assert fake[0].calls[-1] == "close"


def test_a_forked_child_lets_go_without_ending_anything(fake: list[FakeCluster]) -> None:
    cluster = LocalCluster()
    _local._disown_all()
    assert fake[0].head.stdin.closed
    assert fake[0].nodes[0].stdin.closed
    cluster.close()
    cluster.disown()
    assert "close" not in fake[0].calls


@pytest.mark.parametrize("modules", [["numpy", "xml.dom"], "numpy,xml.dom"])
def test_its_node_is_told_what_workers_start_with(fake: list[FakeCluster], modules: Any) -> None:
    LocalCluster(preload=modules).close()
    assert fake[0].settings["node_flags"] == ["--preload=numpy,xml.dom"]
