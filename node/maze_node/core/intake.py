"""What the head sends for later use: functions, and leases with their inputs.

Rules
* A repeated lease changes nothing; one that is done has its outcome said once more.
* What cannot begin (a payload is missing, the inputs are too large, the function is unknown) gets its outcome here.
"""

from __future__ import annotations

from typing import Final

from maze_node.core import outcomes
from maze_node.core.events import Instant
from maze_node.core.inputs import plain_size, refs_of, total_size, with_bodies
from maze_node.core.leases import Lease
from maze_node.core.outbox import Outbox
from maze_node.core.runner import Runner
from maze_node.frames import CodeBody
from maze_protocol.errors import BadMessage
from maze_protocol.limits import MAX_TASK_VALUES
from maze_protocol.messages import Assignment, Code
from maze_protocol.values import ObjectRef, body_of

__all__ = ["Intake"]

_NONE: Final[tuple[ObjectRef, ...]] = ()


class Intake:
    """Takes assignments in, or refuses them with a reason."""

    def __init__(self, runner: Runner, outbox: Outbox) -> None:
        self._runner = runner
        self._outbox = outbox

    def knows(self, token: int) -> bool:
        """Tell whether a lease is already here; if it is done, its outcome is said again."""
        if token in self._outbox:
            self._outbox.send_again(token)
            return True
        return token in self._runner.leases

    def learn(self, code: Code, payloads: tuple[bytes, ...]) -> None:
        """Keep a function. A body that did not come is told when an assignment needs it."""
        try:
            body = body_of(code.body, payloads)
        except BadMessage:
            return
        self._runner.codes[code.hash] = CodeBody(code.kind, code.python, body, code.name)

    def accept(self, assignment: Assignment, payloads: tuple[bytes, ...], now: Instant) -> None:
        """Let a new lease wait for its turn, or keep the outcome that says why it cannot begin."""
        token, inputs, refs = assignment.lease, assignment.inputs, _NONE
        total = plain_size(inputs)
        if total is None:
            try:
                inputs = with_bodies(inputs, payloads)
            except BadMessage as error:
                self._outbox.keep(outcomes.of_refusal(token, "bad_input", "InputError", str(error), now))
                return
            total, refs = total_size(inputs), refs_of(inputs)
        if total > MAX_TASK_VALUES:
            reason = f"the inputs are {total:,} bytes together, at most {MAX_TASK_VALUES:,} are allowed"
            self._outbox.keep(outcomes.of_refusal(token, "too_large", "InputTooLarge", reason, now))
        elif assignment.code not in self._runner.codes:
            reason = f"the function {assignment.code.hex()[:16]} has not been sent to this node"
            self._outbox.keep(outcomes.of_refusal(token, "bad_code", "CodeMissing", reason, now))
        else:
            self._runner.admit(Lease(token, assignment, inputs, total, refs))
