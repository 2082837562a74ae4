"""Files from a client through tasks and back, over real processes; nothing of them stays on the node."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maze import File, MaClient, task
from support.cluster import start_cluster, wait_until


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def client(work_dir: Path) -> Iterator[MaClient]:
    with start_cluster(node_args=("--cpus=4", f"--spool-dir={work_dir}")) as cluster, MaClient(cluster.url) as client:
        yield client


@task(inputs=["text", "tree"], outputs=["report", "tree", "found"], data_types={"report": "file"})
def look(params):
    from pathlib import Path

    text, tree = params["text"], params["tree"]
    found = [Path("in.txt").read_text(), text.name, text.size, text.sha256, text.path == Path("in.txt").absolute()]
    os.makedirs("made/deep")
    (Path("made") / "deep" / "a").write_text((tree.path / "deep" / "a").read_text() * 2)
    Path("report.txt").write_text("all well")
    from maze import File

    return {"report": "report.txt", "tree": File("made"), "found": found}


@task(inputs=["files", "tree"], outputs=["out"])
def join(params):
    import pathlib

    joined = pathlib.Path("joined")
    joined.write_text("".join(file.path.read_text() for file in params["files"]) + str(len(params["tree"].sha256)))
    return {"out": joined}


def test_files_go_in_through_and_out(client: MaClient, tmp_path: Path, work_dir: Path) -> None:
    (tmp_path / "tree" / "deep").mkdir(parents=True)
    (tmp_path / "tree" / "deep" / "a").write_text("A")
    (tmp_path / "in.txt").write_text("hello")
    text = File(tmp_path / "in.txt")
    workflow = client.create_workflow()
    first = workflow.add_task(look, inputs={"text": text, "tree": File(tmp_path / "tree")})
    (tmp_path / "in.txt").write_text("changed later")
    files = [first.outputs["report"], first.outputs["report"]]
    last = workflow.add_task(join, inputs={"files": files, "tree": first.outputs["tree"]})
    results = workflow.show_results(workflow.run(), output_dir=str(tmp_path / "out"))["task_results"]
    assert results[first.task_id]["found"] == ["hello", "in.txt", 5, _sha256(b"hello"), True]
    assert results[last.task_id]["out"].read_bytes() == b"all wellall well64"
    saved = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*"))
    assert saved == ["joined", "made", "made/deep", "made/deep/a", "report.txt"]
    assert (tmp_path / "out" / "made" / "deep" / "a").read_text() == "AA"
    assert results[first.task_id]["report"].path == tmp_path / "out" / "report.txt"
    wait_until(lambda: not [*work_dir.glob("maze-work-*/*")], "removed directories")


def test_what_a_killed_worker_left_is_removed(client: MaClient, tmp_path: Path, work_dir: Path) -> None:
    (tmp_path / "in.txt").write_text("hello")
    workflow = client.create_workflow()
    workflow.add_task(die, inputs={"file": File(tmp_path / "in.txt")}, retries=0)
    assert workflow.show_results(workflow.run())["has_exception"]
    wait_until(lambda: not [*work_dir.glob("maze-work-*/*")], "removed directories")


@task(inputs=["file"], outputs=["out"])
def die(params: dict[str, Any]) -> None:
    import signal

    assert os.listdir() == ["in.txt"]
    os.kill(os.getpid(), signal.SIGKILL)


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()
