"""What all handles of one workflow share within a process: its draft and its cached results.

One state per (server_url, workflow_id), found again by whoever names the same workflow. States live as long as a
handle does; one with edits that the head lacks lives until they are sent.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from maze._draft import Draft

if TYPE_CHECKING:
    from maze._graph import Op
    from maze._results import RunRecord

__all__ = ["WorkflowState", "discard_edits", "state_of", "unsent"]


class WorkflowState:
    """A workflow as this process knows it."""

    def __init__(self, url: str, workflow_id: str) -> None:
        self.url = url
        self.workflow_id = workflow_id
        self.draft = Draft()
        self.results: dict[str, RunRecord] = {}
        """Complete results of runs, in the order in which they were first read."""
        self.own_runs: dict[str, None] = {}
        """Runs submitted here; they need no question whose they are."""
        self.flush_lock: Any = None
        """An asyncio.Lock of the loop thread, made there."""

    def record(self, op: Op) -> None:
        """Apply an edit to the draft and remember that the head lacks it."""
        self.draft.record(op)
        with _lock:
            if self.draft.pending:
                _unsent[self] = None
            else:
                _unsent.pop(self, None)

    def settle(self) -> None:
        """Forget that the head lacks something, if it doesn't."""
        with _lock:
            if not self.draft.dirty:
                _unsent.pop(self, None)


_lock = threading.Lock()
_states: WeakValueDictionary[tuple[str, str], WorkflowState] = WeakValueDictionary()
_unsent: dict[WorkflowState, None] = {}


def state_of(url: str, workflow_id: str) -> WorkflowState:
    """Return the one state of a workflow."""
    with _lock:
        state = _states.get((url, workflow_id))
        if state is None:
            state = _states[url, workflow_id] = WorkflowState(url, workflow_id)
        return state


def unsent(url: str | None = None) -> list[WorkflowState]:
    """Return the workflows of a head, or of all heads, with edits that it lacks."""
    with _lock:
        return [state for state in _unsent if url is None or state.url == url]


def discard_edits(url: str) -> None:
    """Forget edits meant for a head that is going away for good."""
    for state in unsent(url):
        with _lock:
            _unsent.pop(state, None)


def _after_fork() -> None:
    """Renew locks that another thread may have held; the parent sends what is unsent."""
    global _lock
    _lock = threading.Lock()
    _unsent.clear()
    for state in list(_states.values()):
        state.draft.lock = threading.RLock()
        state.flush_lock = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
