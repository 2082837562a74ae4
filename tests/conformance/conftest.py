"""One head and two nodes for all conformance tests: a plain node, and one that declares a GPU it does not have."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cluster import Cluster, clean_environment, start_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster that all tests share; `MAZE_URL` names it, so that `MaClient()` finds it."""
    with start_cluster(nodes=0, head_args=["--open-seed-routes"]) as started:
        started.add_node("--name=plain", "--cpus=4", "--memory=8192", "--gpus=0", "--label=zone=a")
        started.add_node("--name=gpu", "--cpus=4", "--memory=8192", "--gpus=1", "--gpu-mem=24000", "--label=zone=b")
        yield started


@pytest.fixture
def url(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of the shared cluster, which is also where `MaClient()` goes."""
    monkeypatch.setenv("MAZE_URL", cluster.url)
    return cluster.url


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    """A client of the shared cluster."""
    from maze import MaClient

    with MaClient() as made:
        yield made


@pytest.fixture
def workflow(client: Any) -> Any:
    """An empty workflow."""
    return client.create_workflow()


@pytest.fixture
def python(url: str, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run an interpreter as a user would: `python("-c", code)`, in a folder and with an environment of its own."""

    def run(
        *arguments: str, stdin: str = "", cwd: Path = tmp_path, timeout: float = 60, **env: str
    ) -> subprocess.CompletedProcess[str]:
        settings = {"PYTHONUNBUFFERED": "1", "MAZE_URL": url, "MAZE_STATE_DIR": str(tmp_path / "no-state"), **env}
        return subprocess.run(
            [sys.executable, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            cwd=cwd,
            env=clean_environment(**settings),
        )

    return run


@pytest.fixture
def same_text() -> Callable[[str, str], None]:
    """Compare two printed texts modulo white space."""

    def compare(printed: str, expected: str) -> None:
        assert _squeezed(printed) == _squeezed(expected)

    return compare


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()
