"""`MaClient.local()`: a head and a node of one's own, for notebooks and tests.

The processes are `maze._daemon.embedded`'s; here they get an owner. They end with the client, at the latest with this
process, and also if it is killed: their stdin is a pipe that only this process holds.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakSet

# At exit the cluster closes before the connections do: what was registered last is called first.
from maze._http import close_connection, own_head
from maze._shared import discard_edits
from maze.errors import LocalClusterError

if TYPE_CHECKING:
    from maze._daemon.embedded import EmbeddedCluster

__all__ = ["LocalCluster"]


class LocalCluster:
    """A running head and node. `close()` ends them and forgets edits that they were never sent."""

    def __init__(self, cpus: float | None = None, preload: Sequence[str] = ()) -> None:
        from maze._daemon.embedded import EmbeddedCluster
        from maze._daemon.errors import DaemonError

        words = [preload] if isinstance(preload, str) else preload
        flags = [f"--cpus={cpus}"] if cpus is not None else []
        flags += [f"--preload={','.join(words)}"] if words else []
        cluster = EmbeddedCluster(node_flags=flags, log_level="warning")
        try:
            cluster.start()
            cluster.wait_nodes()
        except DaemonError as error:
            cluster.close()
            raise LocalClusterError(f"no local cluster: {error}", code="local_cluster") from error
        except BaseException:
            cluster.close()
            raise
        self.url = cluster.url
        own_head(cluster.url, cluster.token_file)
        self._cluster: EmbeddedCluster | None = cluster
        _running.add(self)

    def close(self) -> None:
        """End the processes; harmless when repeated."""
        cluster, self._cluster = self._cluster, None
        if cluster is None:
            return
        _running.discard(self)
        discard_edits(self.url)
        close_connection(self.url)
        own_head(self.url, None)
        cluster.close()

    def disown(self) -> None:
        """Let go of the processes without ending them: they belong to the process that forked this one."""
        cluster, self._cluster = self._cluster, None
        if cluster is None:
            return
        for process in (cluster.head, *cluster.nodes):
            # The inherited write end would keep them alive after their parent has gone.
            if process is not None and process.stdin is not None:
                process.stdin.close()
        _disowned.append(cluster)


_running: WeakSet[LocalCluster] = WeakSet()
_disowned: list[EmbeddedCluster] = []


def _close_all() -> None:
    for cluster in list(_running):
        cluster.close()


def _disown_all() -> None:
    for cluster in list(_running):
        cluster.disown()
    _running.clear()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)
