"""The numbers both sides must agree on (decisions: docs/adr/0010). Sizes in bytes, times in seconds."""

from __future__ import annotations

from typing import Final

PROTOCOL_MAJOR: Final = 1
PROTOCOL_MINOR: Final = 5

KIB: Final = 1024
MIB: Final = 1024 * KIB

MAX_META: Final = 1 * MIB
MAX_FRAMES: Final = 16
MAX_CONTROL_FRAME: Final = 16 * MIB
MAX_CONTROL_MESSAGE: Final = 16 * MIB
MAX_ARRAY: Final = 65_536
MAX_DEPTH: Final = 32
"""Bounds the schema of the messages (a test measures it); nothing counts levels while decoding."""

INLINE_VALUE: Final = 64 * KIB
"""Up to here a value travels inside a message; above it an input of a client gets a payload frame of its own, and what
a task returns is an object that stays where it is."""
INLINE_TASK: Final = 256 * KIB
"""All inline outputs of one task together; beyond, the largest become objects."""
INLINE_CLIENT: Final = 1 * MIB
"""Up to here a client gets and sends values as such; above it gets references and sends uploads."""
MAX_OBJECT: Final = 1 << 44
CHUNK: Final = 1 * MIB
CHUNK_WINDOW: Final = 8
"""How many chunks of one transfer are under way at a time."""
TICKET_SECONDS: Final = 3600.0
REBUILDS: Final = 3
"""How often one lost object is made anew, and how many tasks deep that goes."""
MAX_TASK_VALUES: Final = 8 * MIB
"""All inline inputs of one task together; all its outputs together, where the head knows no objects."""
LOG_TAIL: Final = 64 * KIB
LOG_KEEP: Final = 16 * MIB
FLUSH_BYTES: Final = 256 * KIB

DRAIN_MESSAGES: Final = 256
DRAIN_SECONDS: Final = 0.002
HIGH_WATER_MARK: Final = 10_000

HEARTBEAT: Final = 1.0
SUSPECT_AFTER: Final = 3.0
LOST_AFTER: Final = 10.0
HELLO_RETRY: Final = 1.0
HELLO_TIMEOUT: Final = 5.0
ORPHAN_TIMEOUT: Final = 600.0

CRASH_BUDGET: Final = 3
NODE_LOSS_BUDGET: Final = 5
NAME_LENGTH: Final = 256
MAX_REQUEST_BODY: Final = 64 * MIB
MAX_OPS_PER_REQUEST: Final = 20_000
MAX_ALIKE: Final = 1 * KIB
"""What other tasks of a request may take over from one (`add_alike`), as MessagePack: the head keeps it with each."""
