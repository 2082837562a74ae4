"""maze_protocol.versions."""

from __future__ import annotations

import pytest

from maze_protocol import versions
from maze_protocol.errors import VersionMismatch
from maze_protocol.limits import PROTOCOL_MINOR
from maze_protocol.versions import check_welcome, choose_version, version_reject
from support.messages import make_hello, make_welcome


@pytest.mark.parametrize(
    ("low", "high", "minor", "ours", "chosen"),
    [
        (1, 1, 0, 0, (1, 0)),
        (1, 1, 0, 1, (1, 0)),  # a node one minor behind joins
        (1, 1, 7, 1, (1, 1)),  # and one ahead
        (1, 2, 0, 3, (1, 3)),  # a node of the next major knows every minor of this one
        (0, 1, 2, 3, (1, 2)),
    ],
)
def test_the_lower_minor_of_the_common_major_is_spoken(
    low: int, high: int, minor: int, ours: int, chosen: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "PROTOCOL_MINOR", ours)
    assert choose_version(make_hello(min_major=low, max_major=high, minor=minor)) == chosen


@pytest.mark.parametrize(("low", "high", "told"), [(2, 2, "protocol 2 "), (2, 3, "2 to 3"), (0, 0, "protocol 0 ")])
def test_no_common_major_is_refused_with_both_versions(low: int, high: int, told: str) -> None:
    with pytest.raises(VersionMismatch, match=told) as caught:
        choose_version(make_hello(min_major=low, max_major=high))
    reject = version_reject(caught.value)
    assert (reject.code, reject.min_major, reject.max_major) == ("version", 1, 1)
    assert "0.1.0" in reject.reason
    assert f"the head 1.{PROTOCOL_MINOR}" in reject.reason


def test_a_node_takes_only_what_it_speaks() -> None:
    check_welcome(make_welcome())
    for wrong in ({"major": 2}, {"major": 0}, {"minor": PROTOCOL_MINOR + 1}):
        with pytest.raises(VersionMismatch, match="this node speaks"):
            check_welcome(make_welcome(**wrong))
