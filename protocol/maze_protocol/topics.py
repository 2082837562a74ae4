"""Names of PUB/SUB topics. Subscriptions match by prefix, so every name ends with a delimiter that no id contains.

c/                  the cluster
r/<32 hex>/         one run
"""

from __future__ import annotations

import re
from typing import Final

from maze_protocol.errors import BadFrame

__all__ = ["CLUSTER", "parse_topic", "run_topic"]

CLUSTER: Final = b"c/"
_RUN: Final = re.compile(rb"r/([0-9a-f]{32})/\Z")
_RUN_ID_BYTES: Final = 16


def run_topic(run_id: bytes) -> bytes:
    """Return the topic of a run.

    Raises:
        ValueError: `run_id` is not 16 bytes; a shorter one would match other runs' topics.
    """
    if len(run_id) != _RUN_ID_BYTES:
        raise ValueError(f"a run id has {_RUN_ID_BYTES} bytes, not {len(run_id)}")
    return b"r/" + run_id.hex().encode() + b"/"


def parse_topic(topic: bytes) -> bytes | None:
    """Return the run id of a topic, or None for the topic of the cluster.

    Raises:
        BadFrame: anything else.
    """
    if topic == CLUSTER:
        return None
    match = _RUN.match(topic)
    if match is None:
        raise BadFrame("topic", f"not a topic: {topic[:64]!r}")
    return bytes.fromhex(match[1].decode())
