"""GPUs as NVML shows them, cut down to CUDA_VISIBLE_DEVICES, with what is free on each.

Devices go by NVML's index, which is the PCI order; workers get CUDA_DEVICE_ORDER=PCI_BUS_ID beside it, so that both
count alike. A device in MIG mode is not offered; its slices are, each as a device of its own, numbered from
100 * (index + 1), because CUDA knows them by UUID only. No failure here stops a node: a device that cannot be read is
not offered, and the origin says why.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final, NamedTuple

from maze_node.core.offer import Use
from maze_node.gpu_use import Family, own_part, process_memory
from maze_node.nvml import MIB, Nvml, load_nvml, text_of
from maze_protocol.resources import Device

__all__ = ["Driver", "Gpus", "slice_index"]

SLICES_FROM: Final = 100


class Gpus(NamedTuple):
    """The devices that may be used with their whole memory, where that comes from, and how much of each is in use."""

    devices: tuple[Device, ...]
    origin: str
    uses: tuple[Use, ...] = ()


class _Sight(NamedTuple):
    """A device or a slice, with what CUDA_VISIBLE_DEVICES may call it."""

    device: Device
    use: Use
    number: int
    """The index of the whole device."""
    uuids: tuple[str, ...]


class Driver:
    """NVML, begun once and kept: beginning it may wake up every device, which takes seconds.

    After a failure it is ended, because a device that was reset, or another driver, is only seen by a new beginning.
    """

    def __init__(self, library: Nvml | None = None) -> None:
        self._library = library
        self._begun = False

    def find(self, visible: str | None = None, family: Family | None = None) -> Gpus:
        """Return the devices now; `visible` stands for CUDA_VISIBLE_DEVICES, `family` for this node's processes."""
        library = self._library = self._library or load_nvml()
        if library is None:
            return Gpus((), "no NVIDIA driver")
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") if visible is None else visible
        try:
            seen, faults = _look(library, self._begin(library), family or Family())
        except library.NVMLError as error:
            self._end(library)
            return Gpus((), f"NVML failed: {error}")
        if faults:
            self._end(library)
        origin = "NVML"
        if visible is not None:
            seen, origin = _allowed(seen, visible, lenient=bool(faults)), f"NVML, CUDA_VISIBLE_DEVICES={visible}"
        origin = "; ".join((origin, *faults))
        return Gpus(tuple(each.device for each in seen), origin, tuple(each.use for each in seen))

    def _begin(self, library: Nvml) -> int:
        if not self._begun:
            library.nvmlInit()
            self._begun = True
        return library.nvmlDeviceGetCount()

    def _end(self, library: Nvml) -> None:
        if self._begun:
            self._begun = False
            with suppress(library.NVMLError):
                library.nvmlShutdown()


def slice_index(gpu: int, number: int) -> int:
    """Return the index that a slice of a device goes by."""
    return SLICES_FROM * (gpu + 1) + number


def _look(library: Nvml, count: int, family: Family) -> tuple[list[_Sight], list[str]]:
    """Return every device that can be read, and why others cannot."""
    seen: list[_Sight] = []
    faults = []
    for index in range(count):
        try:
            seen += _sights(library, index, family)
        except library.NVMLError as error:
            faults.append(f"GPU {index} failed: {error}")
    return seen, faults


def _sights(library: Nvml, index: int, family: Family) -> list[_Sight]:
    handle = library.nvmlDeviceGetHandleByIndex(index)
    uuid = text_of(library.nvmlDeviceGetUUID(handle))
    if not _is_sliced(library, handle):
        return [_sight(library, handle, index, index, (uuid,), family)]
    return [
        _sight(
            library, part, slice_index(index, number), index, (text_of(library.nvmlDeviceGetUUID(part)), uuid), family
        )
        for number, part in _slices(library, handle)
    ]


def _is_sliced(library: Nvml, handle: Any) -> bool:
    try:
        return bool(library.nvmlDeviceGetMigMode(handle)[0])
    except library.NVMLError:
        return False  # a device that cannot be sliced


def _slices(library: Nvml, handle: Any) -> Iterator[tuple[int, Any]]:
    for number in range(library.nvmlDeviceGetMaxMigDeviceCount(handle)):
        with suppress(library.NVMLError):  # numbers may be free
            yield number, library.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)


def _sight(library: Nvml, handle: Any, number: int, index: int, uuids: tuple[str, ...], family: Family) -> _Sight:
    # Processes first: what one of ours takes in between counts as others' for one look only, and no look is believed
    # alone (core/offer.py).
    listed = process_memory(library, handle)
    memory = library.nvmlDeviceGetMemoryInfo(handle)
    own = own_part(listed, int(memory.total - memory.free) // MIB, family)
    device = Device(number, int(memory.total) // MIB, uuids[0], text_of(library.nvmlDeviceGetName(handle)))
    return _Sight(device, Use(device.uuid, int(memory.free) // MIB, own), index, uuids)


def _allowed(seen: list[_Sight], visible: str, *, lenient: bool) -> list[_Sight]:
    """Apply CUDA's rule: entries in order, indices or (prefixes of) UUIDs, up to the first invalid one.

    An entry that names a sliced device allows all its slices. If some devices cannot be read (`lenient`), an entry that
    nothing answers to may be one of them, and those after it hold.
    """
    chosen: list[_Sight] = []
    for word in visible.split(","):
        entry = word.strip()
        matches = [each for each in seen if entry and _names(entry, each)]
        if not matches and lenient:
            continue
        if not matches or any(each in chosen for each in matches):
            break
        chosen += matches if len({each.number for each in matches}) == 1 else matches[:1]
    return chosen


def _names(entry: str, sight: _Sight) -> bool:
    if entry.isdigit():
        return entry == str(sight.number)
    return any(uuid.startswith(entry) for uuid in sight.uuids)
