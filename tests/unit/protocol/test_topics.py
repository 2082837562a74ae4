"""maze_protocol.topics."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maze_protocol.errors import BadFrame
from maze_protocol.topics import CLUSTER, parse_topic, run_topic

RUN_ID = st.binary(min_size=16, max_size=16)


@given(RUN_ID)
def test_a_run_has_a_topic(run_id: bytes) -> None:
    assert parse_topic(run_topic(run_id)) == run_id


@given(RUN_ID, RUN_ID)
def test_no_topic_is_the_beginning_of_another(one: bytes, other: bytes) -> None:
    assert one == other or not run_topic(one).startswith(run_topic(other))
    assert not run_topic(one).startswith(CLUSTER)


def test_the_cluster_has_a_topic() -> None:
    assert parse_topic(CLUSTER) is None


@pytest.mark.parametrize("topic", [b"", b"c", b"c/x", b"r/", b"r/" + b"0" * 32, b"r/" + b"G" * 32 + b"/", b"x/\n"])
def test_anything_else_is_refused(topic: bytes) -> None:
    with pytest.raises(BadFrame):
        parse_topic(topic)


@pytest.mark.parametrize("run_id", [b"", b"1" * 15, b"1" * 17])
def test_a_run_id_of_another_length_has_no_topic(run_id: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        run_topic(run_id)
