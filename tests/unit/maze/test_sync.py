"""The blocking client without a head; the rest is in tests/integration/test_sdk_*."""

from __future__ import annotations

import pytest

from maze._sync import MaClient
from maze.errors import ClosedError, HeadUnavailableError

URL = "http://127.0.0.1:1"


def test_a_client_sends_nothing_before_it_is_asked() -> None:
    with MaClient(URL) as client:
        assert repr(client) == f"MaClient('{URL}')"


@pytest.mark.parametrize("name", ["create_workflow", "list_workflows", "list_runs", "list_nodes", "get_info"])
def test_every_request_tells_that_nobody_answers(name: str) -> None:
    with pytest.raises(HeadUnavailableError, match=URL):
        getattr(MaClient(URL), name)()


def test_requests_with_ids_too() -> None:
    client = MaClient(URL)
    for name in ("get_workflow", "get_run", "cancel_run", "retry_run"):
        with pytest.raises(HeadUnavailableError):
            getattr(client, name)("x")


def test_a_closed_client_says_so() -> None:
    client = MaClient(URL)
    client.close()
    client.close()
    assert "closed" in repr(client)
    with pytest.raises(ClosedError):
        client.create_workflow()
