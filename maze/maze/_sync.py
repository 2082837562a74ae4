"""`MaClient`: the blocking client. Each method waits for a coroutine of `_remote` on the loop thread."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from maze._address import DEFAULT_URL, resolve
from maze._workflow import MaWorkflow
from maze.errors import ClosedError

if TYPE_CHECKING:
    from maze._local import LocalCluster
    from maze._subscription import Subscription, Transport

__all__ = ["MaClient"]

Result = TypeVar("Result")


class MaClient:
    """A client of one Maze head.

    Nothing is sent before the first request. Also a context manager, which closes it.

    Args:
        server_url: URL of the head. When omitted: `MAZE_URL`, else the head that this user runs on this machine,
            else `http://localhost:8000`.

    Raises:
        AddressError: a `ValueError`: not an HTTP URL.
    """

    def __init__(self, server_url: str = DEFAULT_URL) -> None:
        self.server_url = resolve(server_url)
        self._closed = False
        self._cluster: LocalCluster | None = None

    @classmethod
    def local(cls, cpus: float | None = None, preload: Sequence[str] = ()) -> Self:
        """Start a head and a node of one's own and return their client, for notebooks and tests.

        They end when the client is closed, at the latest with this process. Nobody else uses them.

        Args:
            cpus: CPUs that the node offers; measured by default.
            preload: modules that its workers start with, such as `["numpy"]`.

        Raises:
            LocalClusterError: they did not start; the message ends with the last lines of their log.
        """
        from maze._local import LocalCluster

        cluster = LocalCluster(cpus, preload)
        client = cls(cluster.url)
        client._cluster = cluster
        return client

    def create_workflow(self, name: str = "") -> MaWorkflow:
        """Create a new workflow on the server.

        Args:
            name: shown in lists. A workflow that has one is kept until somebody removes it; one without goes some time
                after the last of its runs.

        Raises:
            HeadUnavailableError: no head answers; the message says how to start one.
            MazeError: the head refuses.
        """
        from maze import _remote

        state = self._call(_remote.create(self.server_url, name))
        return MaWorkflow(state.workflow_id, self.server_url)

    def get_workflow(self, workflow_id: str) -> MaWorkflow:
        """Return a workflow that exists on the server, whoever made it.

        Raises:
            UnknownWorkflowError: a `ValueError`: there is none of that id.
        """
        from maze import _remote

        self._call(_remote.open_workflow(self.server_url, workflow_id))
        return MaWorkflow(workflow_id, self.server_url)

    def list_workflows(self) -> list[dict[str, Any]]:
        """Return all workflows, oldest first."""
        from maze import _remote

        return self._call(_remote.list_workflows(self.server_url))

    def list_runs(self) -> list[dict[str, Any]]:
        """Return all runs, newest first."""
        from maze import _remote

        return self._call(_remote.list_runs(self.server_url))

    def get_run(self, run_id: str) -> dict[str, Any]:
        """Return the summary of a run: its status and how many tasks are where.

        Raises:
            UnknownRunError: a `ValueError`: there is none of that id.
        """
        from maze import _remote

        return self._call(_remote.run_summary(self.server_url, run_id))

    def cancel_run(self, run_id: str, wait: bool = False) -> dict[str, Any]:
        """Ask the server to stop a run, and return its summary.

        Args:
            run_id: the run.
            wait: return when nothing of the run is running any more: its status is `cancelled` then.

        Raises:
            UnknownRunError: a `ValueError`: there is none of that id.
            HeadUnavailableError: the server went away and did not come back.
        """
        from maze import _runs

        return self._call(_runs.cancel_run(self.server_url, run_id, wait=wait))

    def retry_run(self, run_id: str, from_failed: bool = False) -> str:
        """Run the graph of an earlier run again, as it was then, whatever its workflow is now.

        Args:
            run_id: a run that is over.
            from_failed: reuse its results; only what has none is run.

        Returns:
            The id of the new run.

        Raises:
            UnknownRunError: a `ValueError`: there is none of that id.
            RequestError: the run is not over, or nothing of it is left to run.
        """
        from maze import _runs

        return self._call(_runs.retry_run(self.server_url, run_id, from_failed=from_failed))

    def subscribe(self, run_id: str, *, after: int = 0, transport: Transport = "websocket") -> Subscription:
        """Return the events of a run, the past ones first, then each as it happens; ends with the run.

        Args:
            run_id: returned by `MaWorkflow.run`.
            after: go on behind the event of this number (`seq`); 0: from the first.
            transport: `"websocket"`, or `"zmq"`: a SUB socket at the head's event port.

        Returns:
            An iterator of `{"seq", "epoch", "time", "type", "data"}`, each event once and in order, whatever happens to
            the connection or the head. Close it, or use it with `with`, if you leave before the end.

        Raises:
            UnknownRunError: a `ValueError`: there is none of that id.
            InputError: a `ValueError`: an unknown transport.
        """
        from maze import _remote
        from maze._subscription import Subscription

        self._call(_remote.describe_run(self.server_url, run_id))
        return Subscription(self.server_url, run_id, after, transport)

    def list_nodes(self) -> list[dict[str, Any]]:
        """Return all nodes that the server knows."""
        from maze import _remote

        return self._call(_remote.list_nodes(self.server_url))

    def get_info(self) -> dict[str, Any]:
        """Return who answers, and under which promises."""
        from maze import _remote

        return self._call(_remote.info(self.server_url))

    def close(self) -> None:
        """Send edits that the server lacks, and close the connection. Harmless when repeated.

        A client made by `local()` ends its head and node instead.

        Raises:
            MazeError: the edits could not be sent.
        """
        if self._closed:
            return
        self._closed = True
        if self._cluster is not None:
            self._cluster.close()
            return
        from maze._shared import unsent

        waiting = unsent(self.server_url)
        if not waiting:
            return
        from maze import _remote
        from maze._loop import call

        for state in waiting:
            _remote.pickle_functions(state)
            call(_remote.flush(state))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.server_url!r}{', closed' if self._closed else ''})"

    def _call(self, work: Coroutine[Any, Any, Result]) -> Result:
        if self._closed:
            work.close()
            raise ClosedError("this client is closed", code="closed")
        from maze._loop import call

        return call(work)
