"""Tasks that share a real device are held to the memory of it that they claimed. CUDA's driver by ctypes: no torch."""

from __future__ import annotations

import pytest

from maze._daemon.guarantees import guarantees
from maze_node.device_memory import device_memory
from maze_protocol.messages import FAILED
from maze_protocol.resources import Claim, Device, DeviceClaim
from support.node_head import FakeHead, fake_head
from support.node_process import NodeProcess, node
from support.node_work import assign, assignment, code_of, outputs_of

pytestmark = pytest.mark.gpu


def take(params):
    """Take so many MiB of the first visible device, and keep them until a file is there."""
    import ctypes
    import time
    from pathlib import Path

    cuda = ctypes.CDLL("libcuda.so.1")

    def call(name, *arguments):
        status = getattr(cuda, name)(*arguments)
        if status:
            raise RuntimeError(f"{name} returned {status}")

    device, context, pointer = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
    call("cuInit", 0)
    call("cuDeviceGet", ctypes.byref(device), 0)
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    call("cuCtxSetCurrent", context)
    call("cuMemAlloc_v2", ctypes.byref(pointer), ctypes.c_size_t(params["mib"] << 20))
    end = Path(params["path"])
    while not end.exists():
        time.sleep(0.02)
    return {"out": params["mib"]}


def share(head: FakeHead, lease: int, device: Device, gpu_mem: int, **params: object) -> None:
    claim = Claim(10, 0, (DeviceClaim(device.index, 0, gpu_mem),))
    head.send(*assign(assignment(lease, code_of(take), params, claim=claim)))


def is_attributed(head: FakeHead, process: NodeProcess, device: Device) -> bool:
    try:
        return bool(head.serve(lambda: _used(process, device), 15))
    except TimeoutError:
        return False


def _used(process: NodeProcess, device: Device) -> int:
    used = device_memory(device.uuid)
    return sum(used.get(pid, 0) for pid in process.marked())


def test_who_takes_more_of_a_shared_device_than_it_claimed_is_ended(tmp_path) -> None:
    with fake_head() as head, node("--head", head.endpoint) as process:
        devices = head.wait_node().capacity.devices
        if not devices:
            pytest.skip("no GPU")
        device, end = devices[0], tmp_path / "end"
        head.send(code_of(take))
        share(head, 1, device, 2000, mib=1500, path=str(end))
        if not is_attributed(head, process, device):
            told = next(each for each in guarantees() if each.name == "claims of GPU memory")
            assert not told.holds, "nothing can be enforced here, and doctor must say so"
            pytest.skip(f"NVML does not tell whose memory it is: {told.found}")
        share(head, 2, device, 1000, mib=3000, path=str(end))
        outcome = head.wait_outcome(2, 60)
        error = outcome.error
        assert (outcome.status, error.kind, error.type_name) == (FAILED, "memory", "DeviceMemoryExceeded")
        assert error.peak_mib >= 3000
        assert f"took {error.peak_mib:,} MiB of memory of GPU {device.index}, claimed 1,000 MiB" in error.message
        assert 1 not in head.outcomes, "who keeps to its claim goes on"
        end.touch()
        assert outputs_of(head.wait_outcome(1, 60)) == {"out": 1500}
