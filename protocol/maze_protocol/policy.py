"""What a task says about its attempts: how often, after which errors, for how long. Standard library only.

Shared by the decorator (which must not load msgspec) and by the head's validation. This is the form that travels: no
names mean any error, and 0 seconds mean no limit.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from maze_protocol.limits import NAME_LENGTH

__all__ = ["MAX_RETRIES", "MAX_RETRY_ON", "NO_POLICY", "Policy", "PolicyError", "check_policy"]

MAX_RETRIES: Final = 1000
MAX_RETRY_ON: Final = 64
"""How many exceptions one task may name."""


class Policy(NamedTuple):
    """How a task is tried; the fields of `TaskBody` with the same names, in the same order."""

    retries: int = 0
    retry_backoff: float = 0.5
    retry_on: tuple[str, ...] = ()
    timeout: float = 0.0
    idle_timeout: float = 0.0
    at_most_once: bool = False


NO_POLICY: Final = Policy()
"""What a task has that declares nothing: one attempt without a limit."""


class PolicyError(ValueError):
    """A policy breaks a rule; `field` says where."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def check_policy(policy: Policy) -> Policy:
    """Return the policy.

    Raises:
        PolicyError: a value is out of range, a name is none, or two fields exclude each other.
    """
    if not 0 <= policy.retries <= MAX_RETRIES:
        raise PolicyError("retries", f"retries = {policy.retries}: allowed are 0 to {MAX_RETRIES}")
    for field in ("retry_backoff", "timeout", "idle_timeout"):
        seconds = getattr(policy, field)
        if not (math.isfinite(seconds) and seconds >= 0):
            raise PolicyError(field, f"{field} = {seconds}: allowed are finite seconds, not below 0")
    _check_names(policy.retry_on)
    if policy.at_most_once and policy.retries:
        message = f"at_most_once forbids retries, and {policy.retries} are asked for: give up one of the two"
        raise PolicyError("at_most_once", message)
    return policy


def _check_names(names: tuple[str, ...]) -> None:
    if len(names) > MAX_RETRY_ON:
        raise PolicyError("retry_on", f"retry_on names {len(names)} exceptions, at most {MAX_RETRY_ON}")
    for name in names:
        if len(name) > NAME_LENGTH or not all(part.isidentifier() or part == "<locals>" for part in name.split(".")):
            what = "no name of an exception such as ValueError or requests.exceptions.ConnectionError"
            raise PolicyError("retry_on", f"retry_on holds {name[:80]!r}: {what}")
