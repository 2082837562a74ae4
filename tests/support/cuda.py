"""A program: `python cuda.py MIB` takes so much memory of the first device that it sees, until its stdin ends.

It prints one JSON line: the UUIDs of the devices that CUDA shows it, in order. Plain ctypes on libcuda, and nothing of
ours: it stands for any program, a stranger's or a task's.
"""

from __future__ import annotations

import ctypes
import json
import sys
import uuid

NO_DEVICE = 100


def main(mib: int) -> None:
    cuda = ctypes.CDLL("libcuda.so.1")
    status = cuda.cuInit(0)
    devices = [] if status == NO_DEVICE else _devices(cuda, status)
    if devices and mib:
        _take(cuda, mib << 20)
    print(json.dumps({"devices": devices}), flush=True)
    sys.stdin.read()


def _devices(cuda: ctypes.CDLL, status: int) -> list[str]:
    _check(status, "cuInit")
    count = ctypes.c_int()
    _check(cuda.cuDeviceGetCount(ctypes.byref(count)), "cuDeviceGetCount")
    found = []
    for number in range(count.value):
        raw = (ctypes.c_ubyte * 16)()
        _check(cuda.cuDeviceGetUuid(ctypes.byref(raw), number), "cuDeviceGetUuid")
        found.append(f"GPU-{uuid.UUID(bytes=bytes(raw))}")
    return found


def _take(cuda: ctypes.CDLL, size: int) -> None:
    context, memory = ctypes.c_void_p(), ctypes.c_uint64()
    _check(cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0), "cuDevicePrimaryCtxRetain")
    _check(cuda.cuCtxSetCurrent(context), "cuCtxSetCurrent")
    _check(cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(size)), "cuMemAlloc")


def _check(status: int, what: str) -> None:
    if status:
        raise SystemExit(f"{what} failed with {status}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
