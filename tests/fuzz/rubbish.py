"""What the fuzzers send: good openings, spoilt. All of it comes from one seeded generator: a seed repeats a run."""

from __future__ import annotations

import json
import re
from random import Random

from maze_head.api.routes import ROUTES
from maze_protocol.codec import Envelope
from maze_protocol.framing import encode_frames
from maze_protocol.messages import MESSAGES
from support.messages import sample

TLS_HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(range(256))
SIGNATURE = b"\xff" + bytes(7) + b"\x01\x7f"
GREETING = SIGNATURE + b"\x03\x00" + b"NULL".ljust(20, b"\x00") + bytes(32)
CURVE_GREETING = SIGNATURE + b"\x03\x00" + b"CURVE".ljust(20, b"\x00") + bytes(32)
READY = b"\x04\x26\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00"
FIELDS = (
    "Transfer-Encoding: chunked", "Content-Length: -1", "Expect: 100-continue", "Expect: \xff",
    "Content-Encoding: gzip", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13",
    "Range: bytes=9-1", "Host: evil.example", "Origin: http://evil.example", "Authorization: Bearer \xff",
    "Idempotency-Key: \x7f", "Accept: application/msgpack", "Connection: close", "Content-Type: application/msgpack",
)  # fmt: skip
ODD = (
    b"\x00", b"\xff", b"\xfe\xff", b"\r\n", b"\n", b"\r\n\r\n", b" ", b"\t", b"\x1b[2J", b"%00", b"%ff", b"../",
    b'"', b"{}", b"null", b"NaN", b"-1", b"1e999", b"\\ud800", b"[" * 3_000, b"9" * 5_000, b"a" * 9_000, b"\xc1",
    b"\xed\xa0\x80", b"\xe2\x80\xae", b"\xdd\xff\xff\xff\xf0", b"\xc6\xff\xff\xff\xff",
    *(f"{field}\r\n".encode("latin-1") for field in FIELDS),
)  # fmt: skip
KINDS = ("workflow", "run", "task")


class Rubbish:
    """Makes spoilt bytes. Give a token to get past the guard with one request in four."""

    def __init__(self, seed: int, authorization: str = "") -> None:
        self.random = Random(seed)
        self._authorization = authorization

    def noise(self, most: int = 4_096) -> bytes:
        """Return bytes that are nothing at all."""
        return self.random.randbytes(self.random.randint(0, most))

    def spoil(self, data: bytes) -> bytes:
        """Return bytes with a few wounds: flipped, cut, doubled, or something odd put in."""
        spoilt = bytearray(data)
        for _ in range(self.random.choice((0, 1, 1, 2, 5))):
            place = self.random.randint(0, len(spoilt))
            match self.random.randrange(5):
                case 0 if spoilt:
                    spoilt[place % len(spoilt)] = self.random.randrange(256)
                case 1:
                    del spoilt[place:]
                case 2:
                    spoilt[place:place] = spoilt[place : place + self.random.randint(1, 64)]
                case 3:
                    del spoilt[place : place + self.random.randint(1, 64)]
                case _:
                    spoilt[place:place] = self.random.choice(ODD)
        return bytes(spoilt)

    def request(self) -> bytes:
        """Return an HTTP request, perhaps followed by a second one or by rubbish."""
        sent = self.spoil(self._request())
        follows = self.random.random()
        if follows < 0.1:
            return sent + self._request()
        return sent + self.noise(64) if follows < 0.2 else sent

    def _request(self) -> bytes:
        route = self.random.choice(ROUTES)
        path = re.sub(r"\{(\w+)\}", lambda found: self._place(found[1]), route.path)
        body = self._body() if route.method in ("POST", "PUT") else b""
        lines = [f"{route.method} {path} HTTP/1.1", "Host: localhost"]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        if self.random.random() < 0.2:
            lines.append(self.random.choice(FIELDS))
        if self._authorization and self.random.random() < 0.25:
            lines.append(f"Authorization: {self._authorization}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    def _place(self, name: str) -> str:
        kind = name.removesuffix("_id")
        if kind in KINDS and self.random.random() < 0.7:
            return f"{kind}_{self.random.getrandbits(128):032x}"
        return self.random.choice(
            ("x", "%00", "..%2f", "a" * 300, "%e2%80%ae", "\u540d".encode().hex(), "-1", "0" * 64)
        )

    def _body(self) -> bytes:
        names = ("workflow_id", "name", "task", "ops", "codes", "op", "inputs", "value", "run_id", "weight", "x")
        value: object = self.random.choice((None, True, -1, 1.5, "text", [], {}, "task_" + "0" * 32))
        for _ in range(self.random.randint(1, 5)):
            value = {self.random.choice(names): value} if self.random.random() < 0.7 else [value, value]
        return json.dumps(value).encode()

    def zmtp(self) -> bytes:
        """Return the beginning of a ZeroMQ connection that goes wrong somewhere."""
        whole = self.random.choice(
            (GREETING, CURVE_GREETING, SIGNATURE, GREETING + READY, GREETING + READY + self.noise(600))
        )
        return self.spoil(whole)[: self.random.choice((1, 10, 11, 12, 33, 64, 100, 10_000))]

    def frames(self) -> list[bytes]:
        """Return one message of our own protocol, perhaps spoilt, as a node would send it."""
        chance = self.random.random()
        if chance < 0.1:
            return [self.noise(40) for _ in range(self.random.choice((1, 2, 3, 17, 300)))]
        message = sample(self.random.choice(MESSAGES))
        numbers = [self.random.choice((0, 1, 2, 1 << 40)) for _ in range(3)]
        frames = encode_frames(Envelope(numbers[0], numbers[1], numbers[2], message))
        if chance < 0.4:
            return frames
        place = self.random.randrange(len(frames))
        return [self.spoil(each) if number == place else each for number, each in enumerate(frames)]
