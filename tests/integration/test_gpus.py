"""Real GPUs. Skipped where none is; where one is, these are run, and their facts printed, by

python -m pytest -m gpu tests/integration/test_gpus.py
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from maze import MaClient, task
from maze_node.capacity import Surveyor
from maze_node.config import Settings
from maze_node.gpu_use import Family, own_part, process_memory
from maze_node.nvml import MIB, Nvml, load_nvml
from support import cuda
from support.cluster import Cluster, clean_environment, start_cluster, wait_until

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(load_nvml() is None, reason="no NVIDIA driver here"),
]

PROGRAM = cuda.__file__
TAKEN = 4096
Tell = Callable[..., None]


@task(inputs=["program", "mib", "until"], outputs=["seen"], resources={"gpu_mem": 8192})
def hold(params: dict[str, Any]) -> dict[str, Any]:
    """Let a child take memory of the device until a file exists; return what it saw."""
    import json
    import os
    import pathlib
    import subprocess
    import sys
    import time

    command = [sys.executable, params["program"], str(params["mib"])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        seen = json.loads(process.stdout.readline())  # type: ignore[union-attr]
        while params["until"] and not pathlib.Path(params["until"]).exists():
            time.sleep(0.05)
        process.stdin.close()  # type: ignore[union-attr]
    return {"seen": {**seen, "visible": os.environ.get("CUDA_VISIBLE_DEVICES")}}


@pytest.fixture(scope="module")
def nvml() -> Nvml:
    library = load_nvml()
    assert library is not None
    library.nvmlInit()
    return library


@pytest.fixture(scope="module")
def gpu_cluster() -> Iterator[Cluster]:
    with start_cluster(node_args=("--cpus=4", "--memory=8000")) as cluster:
        yield cluster


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Tell:
    """Print a fact past the capture."""

    def say(**facts: object) -> None:
        with capsys.disabled():
            print("\n  FACT " + json.dumps(facts, default=str), end="", flush=True)

    return say


@contextmanager
def stranger(mib: int, index: int = 0) -> Iterator[int]:
    """Another program that has memory of a device; yields its pid."""
    env = {**os.environ, "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": str(index)}
    command = [sys.executable, PROGRAM, str(mib)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert json.loads(process.stdout.readline())["devices"], "the program sees its device"
        yield process.pid
        process.stdin.close()


def detect(*flags: str, **environ: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "maze_node", "detect", "--json", *flags]
    env = clean_environment(**environ)
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, env=env)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def first_gpu(cluster: Cluster) -> dict[str, Any]:
    gpu: dict[str, Any] = cluster.get("/api/v1/nodes")["nodes"][0]["gpus"][0]
    return gpu


def run(cluster: Cluster, *, until: str = "", mib: int = 0, **resources: float) -> dict[str, Any]:
    """Run `hold` once and return what it saw."""
    with MaClient(cluster.url) as client:
        workflow = client.create_workflow()
        options = {"resources": resources} if resources else {}
        made = workflow.add_task(hold, {"program": PROGRAM, "mib": mib, "until": until}, **options)
        run_id = workflow.run()
        workflow.get_results(run_id, verbose=False)
        found = workflow.get_task_result(run_id, made.task_id)
        assert found["status"] == "success", found
        seen: dict[str, Any] = found["result"]["seen"]
        return seen


def test_detect_finds_every_device_with_its_memory(nvml: Nvml, tell: Tell) -> None:
    found = detect()
    tell(gpus=found["gpus"], origins=found["origins"], cpu=found["cpu"], cpu_mem=found["cpu_mem"])
    assert len(found["gpus"]) >= nvml.nvmlDeviceGetCount() > 0
    for gpu in found["gpus"]:
        assert gpu["uuid"]
        assert gpu["mem"] > 1000
    if found["gpus"][0]["uuid"].startswith("GPU-"):
        memory = nvml.nvmlDeviceGetMemoryInfo(nvml.nvmlDeviceGetHandleByIndex(0))
        tell(total=memory.total // MIB, free=memory.free // MIB, used=memory.used // MIB)
        assert abs(found["gpus"][0]["mem"] - memory.free // MIB) <= 1024, "what is free, nothing of ours being there"


def test_the_mask_names_devices_by_index_uuid_and_prefix() -> None:
    uuid = detect()["gpus"][0]["uuid"]
    for mask in ("0", uuid, uuid[:12]):
        assert detect(CUDA_VISIBLE_DEVICES=mask)["gpus"][0]["uuid"] == uuid
    assert detect(CUDA_VISIBLE_DEVICES="")["gpus"] == []
    assert detect("--gpus=0")["gpus"] == []


def test_flags_declare_devices_beside_real_ones() -> None:
    real = detect()["gpus"]
    found = detect(f"--gpus={len(real) + 2}", "--gpu-mem=5000")["gpus"]
    assert [gpu["mem"] for gpu in found] == [5000] * (len(real) + 2)
    assert [gpu["uuid"] for gpu in found] == [*(gpu["uuid"] for gpu in real), "", ""]


def test_a_task_sees_exactly_its_device(gpu_cluster: Cluster, tell: Tell) -> None:
    gpu = first_gpu(gpu_cluster)
    shared = run(gpu_cluster)
    whole = run(gpu_cluster, gpu=1, gpu_mem=0)
    none = run(gpu_cluster, gpu=0, gpu_mem=0)
    tell(shared=shared, whole=whole, none=none, gpu=gpu)
    for seen in (shared, whole):
        assert seen["devices"] == [gpu["uuid"]]
        assert seen["visible"] in (str(gpu["index"]), gpu["uuid"])
    assert none == {"devices": [], "visible": ""}


def test_what_others_take_is_not_offered_until_they_are_gone(gpu_cluster: Cluster, tell: Tell) -> None:
    before = first_gpu(gpu_cluster)["mem"]
    began = time.monotonic()
    with stranger(TAKEN):
        low = wait_until(
            lambda: (mem := first_gpu(gpu_cluster)["mem"]) <= before - TAKEN * 0.9 and mem, "less memory on offer", 30
        )
        shrank = time.monotonic() - began
        origins = gpu_cluster.get("/api/v1/nodes")["nodes"][0]["origins"]
    began = time.monotonic()
    after = wait_until(lambda: (mem := first_gpu(gpu_cluster)["mem"]) >= before - 256 and mem, "all of it again", 30)
    tell(before=before, with_stranger=low, after=after, seconds=(shrank, time.monotonic() - began), origins=origins)
    assert "in use by others" in origins[f"gpu {first_gpu(gpu_cluster)['index']}"]
    assert "capacity changed" in gpu_cluster.nodes[0].tail()


def test_what_our_own_task_takes_stays_on_offer(gpu_cluster: Cluster, tmp_path: Path, tell: Tell) -> None:
    before = first_gpu(gpu_cluster)["mem"]
    until = tmp_path / "enough"
    with MaClient(gpu_cluster.url) as client:
        workflow = client.create_workflow()
        workflow.add_task(hold, {"program": PROGRAM, "mib": TAKEN, "until": str(until)})
        run_id = workflow.run()
        free = wait_until(lambda: (mem := _free(gpu_cluster)) <= before - TAKEN * 0.9 and mem, "the task's memory", 60)
        seen = []
        for _ in range(20):  # five surveys, and more heartbeats
            seen.append(first_gpu(gpu_cluster)["mem"])
            time.sleep(0.25)
        until.touch()
        assert workflow.get_results(run_id, verbose=False)
    tell(before=before, free_with_task=free, offered_with_task=sorted(set(seen)))
    assert min(seen) >= before - 256


def _free(cluster: Cluster) -> int:
    free: int = cluster.get("/api/v1/nodes")["nodes"][0]["load"]["gpu_free_mib"][0]
    return free


def test_nvml_tells_whose_memory_it_is(nvml: Nvml, tell: Tell) -> None:
    handle = nvml.nvmlDeviceGetHandleByIndex(0)
    family = Family()
    with stranger(TAKEN) as pid:
        used = process_memory(nvml, handle)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        in_use = (memory.total - memory.free) // MIB
        own = own_part(used, in_use, family)
        tell(pid=pid, processes=used, own=own, used=in_use)
        if own is None:
            pytest.skip(f"NVML attributes nothing to processes that are seen from here: it lists {used}")
        assert own >= TAKEN, "it is our child"
        assert own <= in_use
        strange = own_part(used, in_use, Family(root=pid + 1_000_000))
        assert strange in (0, None), "it is not another's"


def test_a_survey_is_cheap_enough_for_every_heartbeat(tell: Tell) -> None:
    surveyor = Surveyor(Settings())
    times = []
    for _ in range(30):
        began = time.perf_counter()
        surveyor.survey()
        times.append((time.perf_counter() - began) * 1000)
    tell(first_ms=times[0], p50_ms=statistics.median(times[1:]), max_ms=max(times[1:]))
    assert statistics.median(times[1:]) < 500
