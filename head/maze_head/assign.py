"""ASSIGN messages from the core's assignments: bytes filled in, as many per message as the wire's limits allow.

Pure: the bytes come in, messages go out. A body that several tasks of one message need is in its payload frame once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from maze_head.core.effects import AssignTask, Source
from maze_protocol.limits import FLUSH_BYTES, MIB
from maze_protocol.messages import Assign, Assignment
from maze_protocol.values import Input, OutputValue, Value, ValuePacker

__all__ = ["Lookup", "pack_assignments", "sources_of"]

MAX_ITEMS: Final = 256
MAX_BYTES: Final = 4 * MIB
Lookup = Callable[[int, int], tuple[OutputValue, ...]]
"""Outputs of an accepted task, bodies inline."""


def sources_of(effect: AssignTask) -> Iterator[tuple[int, int]]:
    """Yield the (run_no, task_no) whose outputs an assignment needs here; objects the node fetches itself."""
    for _, _, sources in effect.inputs:
        for source in sources:
            if source.ref is None:
                yield source.run_no, source.task_no


def pack_assignments(effects: Iterable[AssignTask], lookup: Lookup) -> Iterator[tuple[Assign, list[bytes]]]:
    """Yield ASSIGN messages with their payload frames, in the order of the effects."""
    message = _Message(lookup)
    for effect in effects:
        if not message.add(effect):
            yield message.close()
            message = _Message(lookup)
            message.add(effect)
    if message.items:
        yield message.close()


class _Message:
    """One ASSIGN message in the making."""

    def __init__(self, lookup: Lookup) -> None:
        self.items: list[Assignment] = []
        self._lookup = lookup
        self._packer = ValuePacker()
        self._packed: dict[Source, Value] = {}
        self._bytes = 0

    def _has_room(self, effect: AssignTask) -> bool:
        sizes = [len(value.body) for value in self._values(effect)]
        return (
            len(self.items) < MAX_ITEMS
            and self._packer.inline < FLUSH_BYTES
            and self._bytes + sum(sizes) <= MAX_BYTES
            and self._packer.fits(sizes)
        )

    def add(self, effect: AssignTask) -> bool:
        """Take in an assignment; return False if there is no room for one more."""
        items = self.items
        if not effect.inputs:
            inline = self._packer.inline + effect.size
            if items and (len(items) >= MAX_ITEMS or inline > FLUSH_BYTES):
                return False
            self._packer.inline = inline
            self._bytes += effect.size
            items.append(effect.assignment)
            return True
        if items and not self._has_room(effect):
            return False
        inputs = tuple(self._input(*given) for given in effect.inputs)
        items.append(msgspec.structs.replace(effect.assignment, inputs=inputs))
        return True

    def close(self) -> tuple[Assign, list[bytes]]:
        return Assign(tuple(self.items)), self._packer.payloads

    def _values(self, effect: AssignTask) -> Iterator[Value]:
        for _, template, sources in effect.inputs:
            if template is not None:
                yield template
            for source in sources:
                if source.ref is None and source not in self._packed:
                    yield self._value(source)

    def _input(self, name: str, template: Value | None, sources: tuple[Source, ...]) -> Input:
        packed = template if template is None or template.ref is not None else self._pack(template)
        return Input(name, packed, tuple([self._part(source) for source in sources]))

    def _part(self, source: Source) -> Value:
        if source.ref is not None:
            return Value(source.codec, source.ref.size, ref=source.ref)
        known = self._packed.get(source)
        if known is None:
            known = self._pack(self._value(source))
            if known.frame:
                self._packed[source] = known
        return known

    def _pack(self, value: Value) -> Value:
        self._bytes += len(value.body)
        return self._packer.pack(value, value.body)

    def _value(self, source: Source) -> Value:
        for output in self._lookup(source.run_no, source.task_no):
            if output.key == source.key:
                return output.value
        raise LookupError(f"run {source.run_no}, task {source.task_no}: no output {source.key!r}")
