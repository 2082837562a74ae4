"""Values: which codec, what survives, what is refused and in which words."""

from __future__ import annotations

import dataclasses
import enum
import struct
import subprocess
import sys
import threading
import types
from collections import OrderedDict, namedtuple
from typing import Any

import msgpack
import numpy as np
import pytest

from maze._values import ValueDecodeError, ValueEncodeError, decode, decode_input, encode, encode_input, encode_pieces
from maze._values.container import ALIGNMENT, join, split
from maze_protocol.values import MSGPACK, PICKLE


class Text(str):
    __slots__ = ()


@dataclasses.dataclass
class Point:
    x: Any
    y: Any = None


class Colour(enum.Enum):
    RED = 1


class Hole:
    def __init__(self, name: str) -> None:
        self.name = name


def is_hole(value: object) -> object | None:
    return value.name if isinstance(value, Hole) else None


def test_importing_the_package_loads_no_pickler() -> None:
    code = "import sys, maze._values; print([m for m in ('msgpack', 'cloudpickle', 'numpy') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**63),
        2**64 - 1,
        1.5,
        -0.0,
        float("inf"),
        "",
        "häß",
        b"\x00",
        [],
        {},
        [1, [2, {"a": None}]],
        {"k": b"v"},
    ],
)
def test_plain_values_are_messagepack_that_others_read(value: object) -> None:
    codec, body = encode(value)
    assert codec == MSGPACK
    assert body == msgpack.packb(value)
    assert msgpack.unpackb(body) == value
    assert _same(decode(codec, body), value)


@pytest.mark.parametrize(
    "value",
    [
        (1, 2), {1, 2}, frozenset({1}), 2**64, -(2**63) - 1, {1: 2}, {"a": {None: 1}}, "\ud800", {"\ud800": 1},
        bytearray(b"x"), 1j, Text("s"), [Text("s")], OrderedDict(a=1), [(1,)], range(3), Point(1, (2,)), Colour.RED,
        msgpack.ExtType(1, b"\0\0\0\0"), msgpack.Timestamp(1), np.float64(1.5), np.arange(6).reshape(2, 3),
        [np.arange(3)], slice(1, 2), Ellipsis, int, len,
    ],
    ids=repr,
)  # fmt: skip
def test_everything_else_is_one_pickle_and_keeps_its_type(value: object) -> None:
    codec, body = encode(value)
    assert codec == PICKLE
    assert _same(decode(codec, body), value)


def test_a_cycle_survives() -> None:
    value: list[Any] = [1]
    value.append(value)
    codec, body = encode(value)
    found = decode(codec, body)
    assert codec == PICKLE
    assert found[1] is found


def test_sharing_does_not_explode() -> None:
    tower: list[Any] = [0]
    for _ in range(100):
        tower = [tower, tower]
    codec, body = encode(tower)
    assert len(body) < 5_000
    found = decode(codec, body)
    assert found[0] is found[1]


def test_deep_nesting_is_told_not_fatal() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueEncodeError, match="recursion"):
        encode(deep)


def test_moderate_nesting_is_plain() -> None:
    deep: list[Any] = []
    for _ in range(150):
        deep = [deep]
    codec, body = encode(deep)
    assert codec == MSGPACK
    assert decode(codec, body) == deep


def test_arrays_travel_out_of_band_and_stay_writable() -> None:
    arrays = [np.arange(1000.0), np.asfortranarray(np.ones((3, 4))), np.arange(10)[::2], np.array([], dtype="i2")]
    codec, body = encode({"arrays": arrays})
    found = decode(codec, body)["arrays"]
    for array, back in zip(arrays, found, strict=True):
        assert (back == array).all()
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert found[1].flags["F_CONTIGUOUS"]
    found[0][0] = 7.0
    assert len(split(body)[1]) == 3, "a strided array has no single buffer"


def test_arrays_can_be_views_of_the_body() -> None:
    codec, body = encode(np.arange(1000.0))
    own = bytearray(body)
    array = decode(codec, memoryview(own), copy=False)
    array[0] = 7.0
    assert 7.0 in np.frombuffer(own, offset=len(own) - array.nbytes)
    shared = decode(codec, memoryview(body), copy=False)
    assert (shared == np.arange(1000.0)).all()
    assert not shared.flags.writeable


def test_read_only_arrays_stay_read_only() -> None:
    array = np.arange(5)
    array.flags.writeable = False
    assert not decode(*encode(array)).flags.writeable


def test_buffers_are_aligned() -> None:
    body = join(b"pickle", [memoryview(b"ab"), memoryview(b"c" * 70)])
    assert body.index(b"ab") % ALIGNMENT == body.index(b"ccc") % ALIGNMENT == 0
    pickled, buffers = split(body)
    assert (bytes(pickled), buffers) == (b"pickle", [bytearray(b"ab"), bytearray(b"c" * 70)])


def test_the_layout_of_a_pickled_body_is_the_documented_one() -> None:
    body = encode((1,))[1]
    layout, major, minor, reserved, count, size = struct.unpack_from(">BBBBIQ", body)
    assert (layout, major, minor, reserved, count) == (1, *sys.version_info[:2], 0, 0)
    assert len(body) == 16 + size


def test_another_python_is_refused_before_unpickling() -> None:
    body = bytearray(encode((1,))[1])
    body[2] += 1
    body[16:] = b"\x00" * (len(body) - 16)
    with pytest.raises(ValueDecodeError, match=r"pickled by Python 3\.\d+, this is Python 3\.\d+"):
        decode(PICKLE, bytes(body))


@pytest.mark.parametrize("value", [{"a": [1, "x"]}, (1, "x"), np.arange(100)], ids=["plain", "pickle", "array"])
def test_every_truncation_is_a_decode_error(value: object) -> None:
    codec, body = encode(value)
    for end in range(len(body)):
        with pytest.raises(ValueDecodeError):
            decode(codec, body[:end])


def test_pickles_can_be_forbidden() -> None:
    with pytest.raises(ValueDecodeError, match="not allowed"):
        decode(*encode((1,)), allow_pickle=False)
    assert decode(*encode([1]), allow_pickle=False) == [1]


def test_an_unknown_codec_is_refused() -> None:
    with pytest.raises(ValueDecodeError, match="codec 9"):
        decode(9, b"")


def test_a_class_that_is_missing_here_is_named() -> None:
    body = encode((1, struct.Struct))[1].replace(b"_struct", b"no_such")
    with pytest.raises(ValueDecodeError, match=r"no_such.*must be installed"):
        decode(PICKLE, body)


@pytest.mark.parametrize(
    ("value", "path", "type_name"),
    [
        (threading.Lock(), "", "_thread.lock"),
        ({"a": [1, {"b": threading.Lock()}]}, "['a'][1]['b']", "_thread.lock"),
        (Point(threading.Lock()), ".x", "_thread.lock"),
        ((i for i in ()), "", "generator"),
        ({"k": (1, {threading.Lock()})}, "['k'][1]{…}", "_thread.lock"),
    ],
)
def test_what_cannot_be_pickled_is_found_and_named(value: object, path: str, type_name: str) -> None:
    with pytest.raises(ValueEncodeError) as caught:
        encode(value)
    assert (caught.value.path, caught.value.type_name) == (path, type_name)
    assert caught.value.reason


def test_a_hostile_object_raises_our_error() -> None:
    class Hostile:
        def __reduce__(self) -> str:
            raise ZeroDivisionError("boom")

    with pytest.raises(ValueEncodeError, match="boom"):
        encode(Hostile())


@pytest.mark.parametrize(
    "value",
    [
        [Hole("a"), {"k": Hole("b")}],
        (Hole("a"), [Hole("b")]),
        Point(Hole("a"), {"x": Hole("b")}),
        {"a": Hole("a"), "b": [Hole("b")]},
    ],
)
def test_holes_are_numbered_and_filled(value: Any) -> None:
    codec, body, holes = encode_input(value, is_hole)
    assert holes == ["a", "b"]
    found = decode_input(codec, body, [10, (20,)])
    assert type(found) is type(value)
    assert "10" in repr(found)
    assert "(20,)" in repr(found)
    with pytest.raises(ValueDecodeError, match="hole 1 of 1"):
        decode_input(codec, body, [10])
    with pytest.raises(ValueDecodeError):
        decode(codec, body)


def test_a_value_that_is_a_hole() -> None:
    codec, body, holes = encode_input(Hole("only"), is_hole)
    assert holes == ["only"]
    assert decode_input(codec, body, ["filled"]) == "filled"


def test_without_holes_an_input_is_a_value() -> None:
    codec, body, holes = encode_input({"a": 1}, is_hole)
    assert (codec, holes) == (MSGPACK, [])
    assert decode(codec, body) == {"a": 1}


def test_own_classes_come_back_as_themselves_untouched() -> None:
    method = Point.__init__
    value = [Point(1), Colour.RED]
    codec, body = encode(value)
    found = decode(codec, body)
    assert type(found[0]) is Point
    assert found[1] is Colour.RED
    assert Point.__init__ is method


def test_classes_of_main_survive_another_process(tmp_path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import dataclasses, subprocess, sys\n"
        "from maze._values import encode, decode\n"
        "@dataclasses.dataclass\nclass P:\n    x: int\n    def double(self): return K * self.x\n"
        "K = 2\n"
        "codec, body = encode([P(21)])\n"
        "code = 'import sys; from maze._values import *; v = decode(1, sys.stdin.buffer.read());"
        " v[0].x = v[0].double(); sys.stdout.buffer.write(encode(v)[1])'\n"
        "back = subprocess.run([sys.executable, '-c', code], input=body, stdout=subprocess.PIPE, check=True).stdout\n"
        "value = decode(1, back)\n"
        "assert type(value[0]) is P and value[0].x == 42, value\n"
        "K = 3\nassert value[0].double() == 126\n"
        "print('same')\n"
    )
    assert subprocess.check_output([sys.executable, str(script)], text=True, cwd="/").strip() == "same"


def test_a_second_process_finds_its_own_class_by_name(tmp_path, monkeypatch) -> None:
    (tmp_path / "shared_mod.py").write_text("class P:\n    def __init__(self, x): self.x = x\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    code = (
        "import sys, shared_mod; from maze._values import encode; sys.stdout.buffer.write(encode(shared_mod.P(1))[1])"
    )
    body = subprocess.check_output([sys.executable, "-c", code], cwd=tmp_path)
    import shared_mod

    assert type(decode(PICKLE, body)) is shared_mod.P


def test_a_received_class_follows_its_newest_definition() -> None:
    module = types.ModuleType("sender_only")
    exec("class R:\n    def say(self): return 1\n", vars(module))
    sys.modules["sender_only"] = module
    try:
        old = encode(module.R())
        module.R.say = lambda self: 2
        new = encode(module.R())
    finally:
        del sys.modules["sender_only"]
    code = (
        "import sys; from maze._values import decode; data = sys.stdin.buffer.read(); n = int(sys.argv[1]);"
        " a = decode(1, data[:n]); b = decode(1, data[n:]); print(a.say(), b.say(), type(a) is type(b))"
    )
    command = [sys.executable, "-c", code, str(len(old[1]))]
    out = subprocess.run(command, input=old[1] + new[1], stdout=subprocess.PIPE, check=True).stdout
    assert out.decode().split() == ["2", "2", "True"]


Pair = namedtuple("Pair", "a b")


def test_named_tuples_survive() -> None:
    value = decode(*encode({"pair": Pair(1, [2])}))
    assert value["pair"] == Pair(1, [2])
    assert type(value["pair"]) is Pair


def _same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return bool((a == b).all())
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


@pytest.mark.parametrize("size", [(1 << 16) - 1, 1 << 16, 100_000])
def test_long_bytes_are_encoded_without_a_copy_and_as_msgpack_would(size: int) -> None:
    value = b"x" * size
    codec, parts, _ = encode_pieces(value)
    assert (codec, b"".join(parts)) == (MSGPACK, msgpack.packb(value))
    assert (parts[-1] is value) is (size >= 1 << 16)
