"""Whether, why and by when the node leaves. What is to be done about what it holds is the agent's affair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from maze_node.core.effects import Effect, Leave, Send
from maze_node.errors import EXIT_CRASHED, EXIT_UNREACHABLE
from maze_protocol.messages import Drain, Goodbye

__all__ = ["Departure"]

LAST_WORDS: Final = 10.0
"""How long a draining node waits for acknowledgements after its deadline."""


class Departure:
    """Not begun, begun (draining), or over (left)."""

    def __init__(self, emit: Callable[[Effect], None]) -> None:
        self._emit = emit
        self._until: float | None = None
        self._reason = ""
        self.left = False

    @property
    def begun(self) -> bool:
        """Tell whether the node takes nothing new any more."""
        return self._until is not None

    def begin(self, reason: str, until: float) -> None:
        """Take nothing new from now on, and leave by then."""
        self._until, self._reason = until, reason

    def tell(self, mono: float) -> None:
        """Let the head know, if it has begun."""
        if self._until is not None:
            self._emit(Send(Drain(self._reason, max(0.0, self._until - mono))))

    def is_due(self, mono: float) -> bool:
        """Tell whether its time is over."""
        return self._until is not None and mono >= self._until

    def give_up(self, mono: float, *, live: bool) -> None:
        """Leave although something is not acknowledged, once nobody can be expected to do that any more."""
        if self._until is not None and mono >= self._until + LAST_WORDS:
            self.leave("drain timeout", EXIT_CRASHED if live else EXIT_UNREACHABLE)

    def finish(self, *, live: bool) -> None:
        """Leave in good order: nothing is held any more."""
        if live:
            self._emit(Send(Goodbye(self._reason)))
        self.leave(self._reason, 0)

    def leave(self, reason: str, code: int) -> None:
        """Leave, once."""
        if not self.left:
            self.left = True
            self._emit(Leave(reason, code))
