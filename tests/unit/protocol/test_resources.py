"""maze_protocol.resources."""

from __future__ import annotations

import pytest

from maze_protocol.declare import normalise_resources
from maze_protocol.resources import Request


@pytest.mark.parametrize(
    ("declared", "wants", "whole"),
    [
        (None, False, 0),
        ({"gpu": 1}, True, 1),
        ({"gpu": 3}, True, 3),
        ({"gpu": 0.5}, True, 0),
        ({"gpu_mem": 512}, True, 0),
        ({"gpu_mem": 512, "gpu": 1}, True, 1),
    ],
)
def test_a_request_tells_what_it_needs_of_devices(declared: dict | None, wants: bool, whole: int) -> None:
    request = Request.of(normalise_resources(declared))
    assert request.wants_gpu is wants
    assert request.whole_devices == whole


def test_equal_requests_are_one_shape() -> None:
    shapes = {Request.of(normalise_resources(declared)) for declared in (None, {}, {"cpu": 1}, {"cpu": 2})}
    assert sorted(shapes) == [Request(1000), Request(2000)]
