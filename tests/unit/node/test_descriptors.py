"""Descriptors over a socket: any number, in order, with their places; nothing is lost and nothing waits."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from maze_node.descriptors import AT_ONCE, Givings, give, take
from support.loops import on_loop


@asynccontextmanager
async def opened() -> AsyncIterator[Givings]:
    before = len(os.listdir("/proc/self/fd"))
    made = Givings(asyncio.get_running_loop())
    yield made
    made.close()
    assert len(os.listdir("/proc/self/fd")) == before


def inode(descriptor: int) -> int:
    return os.fstat(descriptor).st_ino


@on_loop
async def test_many_arrive_in_order_with_their_places() -> None:
    async with opened() as ends:
        files = [os.memfd_create("test") for _ in range(2 * AT_ONCE + 3)]
        ends.give((file, 10 * number) for number, file in enumerate(files))
        found = list(take(ends.far, len(files)))
        assert [offset for _, offset in found] == [10 * number for number in range(len(files))]
        assert [inode(descriptor) for descriptor, _ in found] == [inode(file) for file in files]
        assert not any(os.get_inheritable(descriptor) for descriptor, _ in found)
        give(ends.far, files)
        back = ends.take(len(files))
        assert [inode(descriptor) for descriptor in back] == [inode(file) for file in files]
        for descriptor in (*files, *back, *(descriptor for descriptor, _ in found)):
            os.close(descriptor)


@on_loop
async def test_what_the_socket_does_not_take_now_goes_later() -> None:
    async with opened() as ends:
        ends.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        file = os.memfd_create("test")
        ends.give((file, number) for number in range(50 * AT_ONCE))
        os.close(file)
        offsets = []
        for _ in range(50):
            for descriptor, offset in await asyncio.to_thread(lambda: list(take(ends.far, AT_ONCE))):
                os.close(descriptor)
                offsets.append(offset)
        assert offsets == list(range(50 * AT_ONCE))


@on_loop
async def test_what_this_process_may_not_open_is_told_apart() -> None:
    async with opened() as ends:
        files = [os.memfd_create("test") for _ in range(AT_ONCE)]
        ends.give((file, 0) for file in files)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(files) + 11, hard))
        try:
            found = [descriptor for descriptor, _ in take(ends.far, AT_ONCE)]
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert len(found) == AT_ONCE
        assert found[-1] == -1
        for descriptor in (*files, *found):
            if descriptor >= 0:
                os.close(descriptor)
