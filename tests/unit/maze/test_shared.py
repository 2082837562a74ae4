"""One state per workflow and process."""

from __future__ import annotations

import gc
import os

import pytest

from maze._graph import AddTask, DelTask
from maze._shared import discard_edits, state_of, unsent
from support.drafts import vertex

URL = "http://127.0.0.1:9"


def test_a_state_is_found_again_while_somebody_holds_it() -> None:
    state = state_of(URL, "w1")
    assert state_of(URL, "w1") is state
    assert state_of("http://127.0.0.1:10", "w1") is not state
    number = id(state)
    state.draft.load([vertex("a")], [], 4)
    del state
    gc.collect()
    assert id(state_of(URL, "w1")) != number or not state_of(URL, "w1").draft.loaded


def test_unsent_edits_keep_a_state_alive_until_they_are_sent() -> None:
    state_of(URL, "w2").record(AddTask(vertex("a")))
    gc.collect()
    (state,) = unsent(URL)
    assert unsent("http://elsewhere") == []
    state.draft.confirm(state.draft.take(10, 10**6), 1)
    state.settle()
    assert unsent(URL) == []


def test_an_edit_that_is_taken_back_is_not_unsent() -> None:
    state = state_of(URL, "w3")
    state.record(AddTask(vertex("a")))
    state.record(DelTask("a"))
    assert unsent(URL) == []


def test_edits_for_a_head_that_goes_away_are_forgotten() -> None:
    state_of(URL, "w4").record(AddTask(vertex("a")))
    discard_edits(URL)
    assert unsent() == []


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_leaves_sending_to_its_parent_and_has_working_locks() -> None:
    state = state_of(URL, "w5")
    state.record(AddTask(vertex("a")))
    with state.draft.lock:
        child = os.fork()
        if child == 0:
            locked = state.draft.lock.acquire(timeout=5)
            os._exit(0 if locked and not unsent() and state.draft.dirty else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert unsent(URL) == [state]
    discard_edits(URL)
