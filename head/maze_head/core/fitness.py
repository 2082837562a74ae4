"""May a node take a shape? The one set of rules for placement (yes or no, fast) and for explain (why not, in words).

*Suits*: what a node never changes while it lives: its Python, its labels, its sandbox. *Could ever*: its whole
capacity. *Admits*: its state, its room, and its time, now.
"""

from __future__ import annotations

from maze_head.core.graph import Shape
from maze_head.core.nodes import Node

__all__ = ["admits", "could_ever", "has_time", "lacking_labels", "suits", "unmet_wishes"]


def suits(node: Node, shape: Shape) -> bool:
    """Tell whether a node runs the Python of a shape, has the labels that it requires, and shuts in if it asks."""
    if shape.sandbox and not node.hello.sandbox:
        return False
    return node.runs_python(shape.python) and not (shape.terms.require and lacking_labels(node, shape))


def lacking_labels(node: Node, shape: Shape) -> list[tuple[str, str]]:
    """Return the required labels that a node lacks."""
    return [pair for pair in shape.terms.require if not _has(node.hello.labels, *pair)]


def unmet_wishes(node: Node, shape: Shape) -> int:
    """Return how many preferred labels a node lacks."""
    return sum(not _has(node.hello.labels, *pair) for pair in shape.terms.prefer)


def _has(labels: dict[str, str], key: str, value: str) -> bool:
    return key in labels and value in ("", labels[key])


def could_ever(node: Node, shape: Shape) -> bool:
    """Tell whether a node, were it idle, would take a shape."""
    return suits(node, shape) and node.ledger.could_fit(shape.request)


def has_time(node: Node, seconds: float, now: float) -> bool:
    """Tell whether a node stays for so long."""
    return node.leaves_at is None or now + seconds <= node.leaves_at


def admits(node: Node, shape: Shape, now: float) -> bool:
    """Tell whether a node that suits takes one more attempt of a shape now; reservations aside."""
    ledger = node.ledger
    # Room first: of the nodes that are looked at, most lack that.
    if not ledger.fits(shape.request) or node.solo or not node.takes_work:
        return False
    if shape.terms.alone and ledger.attempts:
        return False
    return node.leaves_at is None or now + shape.seconds <= node.leaves_at
