"""The other systems, driven as their users would: each a context manager with `submit`, `gather` and `name`.

Ray and Dask run with the interpreter of an environment of their own (peers.py), at their default settings with two
workers. `submit(function, *arguments)` takes results of earlier calls as arguments; `gather` waits for values.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

__all__ = ["LOST", "PEERS", "Dask", "Futures", "Ray"]

WORKERS = 2
LOST = BrokenProcessPool
"""What a system raises that gives the whole job up when a worker dies."""


class Futures:
    """concurrent.futures.ProcessPoolExecutor: one machine, nothing durable, no graph."""

    def __enter__(self) -> Futures:
        self._pool = ProcessPoolExecutor(WORKERS)
        self.gather([self._pool.submit(os.getpid) for _ in range(100)])
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        return self._pool.submit(function, *[_value(each) for each in arguments])

    def gather(self, results: Sequence[Future[Any]]) -> list[Any]:
        return [each.result() for each in results]


def _value(argument: Any) -> Any:
    if isinstance(argument, Future):
        return argument.result()
    return [_value(each) for each in argument] if isinstance(argument, list) else argument


class Ray:
    """Ray on this machine."""

    def __enter__(self) -> Ray:
        import ray

        with open(os.devnull, "w") as null, contextlib.redirect_stderr(null):
            ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, configure_logging=False)
        self._ray = ray
        self._remote: dict[Callable[..., Any], Any] = {}
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if arguments and isinstance(arguments[0], list):
            # Ray resolves references only at the top level of a call.
            return self._known(_spread).remote(function, *arguments[0])
        return self._known(function).remote(*arguments)

    def _known(self, function: Callable[..., Any]) -> Any:
        if function not in self._remote:
            self._remote[function] = self._ray.remote(function)
        return self._remote[function]

    def gather(self, results: Sequence[Any]) -> list[Any]:
        return list(self._ray.get(list(results)))


def _spread(function: Callable[..., Any], *values: Any) -> Any:
    return function(list(values))


class Dask:
    """Dask's distributed scheduler on this machine."""

    def __enter__(self) -> Dask:
        from distributed import Client, LocalCluster

        self._cluster = LocalCluster(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None)
        self._client = Client(self._cluster)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._cluster.close()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._client.submit(function, *arguments, pure=False)

    def gather(self, results: Sequence[Any]) -> list[Any]:
        return list(self._client.gather(list(results)))


PEERS: dict[str, Callable[[], Futures | Ray | Dask]] = {"futures": Futures, "ray": Ray, "dask": Dask}
