"""Messages to bytes and back: MessagePack arrays, checked against the schema while they are decoded.

Rules
* Bytes from the other side raise BadMessage or UnknownMessage and nothing else, whatever they are.
* No pass over the bytes besides msgspec's own: the limits sit in the field types (bounds.py), because a walk in
  Python costs five times as much as the decoding (docs/wire.md §6 tells what guards what, and the tests prove it).
* What we encode above 64 KiB is decoded once before it leaves: only there can a list be longer than the peer
  accepts, and a message that the peer must refuse would end every session that resends it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from maze_protocol.bounds import Token
from maze_protocol.errors import BadMessage, MessageTooLarge, RemoteProtocolError, UnknownMessage
from maze_protocol.limits import MAX_ARRAY, MAX_META
from maze_protocol.messages import TYPE_OF, Message

__all__ = ["Buffer", "Envelope", "decode_body", "decode_envelope", "encode_body", "encode_envelope"]

Buffer = bytes | bytearray | memoryview


class Envelope(msgspec.Struct, array_like=True, frozen=True):
    """A message and its place in a session; the meta frame. All numbers are 0 outside a session."""

    session: Token
    seq: Token
    """Counts the messages of this direction and class (reliable or not) from 1."""
    ack: Token
    """The highest `seq` of the reliable class up to which nothing is missing at the sender."""
    message: Message


class _Tag(msgspec.Struct, array_like=True):
    tag: int


class _EnvelopeTag(msgspec.Struct, array_like=True):
    session: Any
    seq: Any
    ack: Any
    message: _Tag


_KNOWN: Final = frozenset(TYPE_OF.values())
_ENCODER: Final = msgspec.msgpack.Encoder()
_BODIES: Final[msgspec.msgpack.Decoder[Message]] = msgspec.msgpack.Decoder(Message)
_ENVELOPES: Final = msgspec.msgpack.Decoder(Envelope)
_TAGS: Final = msgspec.msgpack.Decoder(_Tag)
_ENVELOPE_TAGS: Final = msgspec.msgpack.Decoder(_EnvelopeTag)
# RecursionError: arrays nested past the interpreter's limit within a field that this version does not know.
# UnicodeDecodeError: msgspec lets it through for text that is not UTF-8.
_REFUSALS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def encode_body(message: Message) -> bytes:
    """Return the body of a message: the array [tag, field, …].

    Raises:
        MessageTooLarge: above a limit that the peer will check.
    """
    body = _ENCODER.encode(message)
    if len(body) > MAX_ARRAY:
        _proofread(body, _BODIES)
    return body


def decode_body(data: Buffer) -> Message:
    """Return the message of a body.

    Raises:
        BadMessage: not a message within the limits.
        UnknownMessage: well formed, with a tag of another version.
    """
    if len(data) > MAX_META:
        raise BadMessage("meta_size", f"body of {len(data)} bytes, at most {MAX_META}")
    try:
        return _BODIES.decode(data)
    except _REFUSALS as error:
        raise _refusal(error, _tag_of(data)) from error


def encode_envelope(envelope: Envelope) -> bytes:
    """Return the meta frame of an envelope.

    Raises:
        MessageTooLarge: above a limit that the peer will check.
    """
    meta = _ENCODER.encode(envelope)
    if len(meta) > MAX_ARRAY:
        _proofread(meta, _ENVELOPES)
    return meta


def decode_envelope(data: Buffer) -> Envelope:
    """Return the envelope of a meta frame.

    Raises:
        BadMessage: not an envelope within the limits.
        UnknownMessage: well formed, with a message tag of another version.
    """
    if len(data) > MAX_META:
        raise BadMessage("meta_size", f"meta frame of {len(data)} bytes, at most {MAX_META}")
    try:
        return _ENVELOPES.decode(data)
    except _REFUSALS as error:
        raise _refusal(error, _envelope_tag_of(data)) from error


def _proofread(data: bytes, decoder: msgspec.msgpack.Decoder[Any]) -> None:
    if len(data) > MAX_META:
        raise MessageTooLarge("meta_size", f"message of {len(data)} bytes, at most {MAX_META}")
    try:
        decoder.decode(data)
    except msgspec.ValidationError as error:
        raise MessageTooLarge("schema", f"the peer would refuse this message: {error}") from error


def _refusal(error: Exception, tag: int | None) -> RemoteProtocolError:
    if tag is None or tag in _KNOWN:
        return BadMessage("schema", f"{type(error).__name__}: {error}")
    return UnknownMessage("unknown_type", f"message type {tag} is not known here")


def _tag_of(data: Buffer) -> int | None:
    try:
        return _TAGS.decode(data).tag
    except _REFUSALS:
        return None


def _envelope_tag_of(data: Buffer) -> int | None:
    try:
        return _ENVELOPE_TAGS.decode(data).message.tag
    except _REFUSALS:
        return None
