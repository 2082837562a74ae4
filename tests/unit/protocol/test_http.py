"""maze_protocol.http: requests refuse what they do not know, in JSON and MessagePack alike."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from maze_protocol import http
from maze_protocol.http import ClientEvent, EditRequest, EncodedValue, ErrorBody, ErrorDetail, InputBody, TaskBody

FORMATS = [(msgspec.json.encode, msgspec.json.decode), (msgspec.msgpack.encode, msgspec.msgpack.decode)]


@pytest.mark.parametrize(("encode", "decode"), FORMATS, ids=["json", "msgpack"])
def test_an_edit_survives_in_both_formats(encode: Any, decode: Any) -> None:
    inputs = {
        "a": InputBody(value=1),
        "b": InputBody(source="t.output.k"),
        "c": InputBody(encoded=EncodedValue(1, b"x")),
    }
    task = TaskBody("task_1", "name", inputs=inputs, outputs=["y"])
    alike = http.AddAlike(0, "task_2", {"a": InputBody(value=[None])}, "other")
    request = EditRequest(ops=[http.AddTask(task), alike, http.AddEdge("a", "b"), http.DelTask("c")], edit_id="e")
    assert decode(encode(request), type=EditRequest) == request


@pytest.mark.parametrize(("encode", "decode"), FORMATS, ids=["json", "msgpack"])
@pytest.mark.parametrize(
    "body", [{"opps": []}, {"ops": [{"op": "add_node"}]}, {"ops": [{"op": "add_edge", "from": 1}]}]
)
def test_a_typo_in_a_request_is_told(encode: Any, decode: Any, body: dict) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(encode(body), type=EditRequest)


def test_an_absent_input_value_differs_from_null() -> None:
    assert msgspec.json.decode(b'{"value":null}', type=InputBody).value is None
    assert msgspec.json.decode(b"{}", type=InputBody).value is msgspec.UNSET


def test_responses_may_grow_and_leave_out_defaults() -> None:
    body = b'{"seq":1,"epoch":2,"time":3,"type":"t","data":{},"of_the_future":1}'
    assert msgspec.json.decode(body, type=ClientEvent) == ClientEvent(1, 2, 3.0, "t", {})
    assert msgspec.json.encode(ErrorBody(ErrorDetail("c", "m"))) == b'{"error":{"code":"c","message":"m"}}'


def test_public_names_are_real() -> None:
    assert all(hasattr(http, name) for name in http.__all__)
