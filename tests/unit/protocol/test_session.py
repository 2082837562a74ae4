"""maze_protocol.session and moves: every row of the tables, and what each machine answers."""

from __future__ import annotations

from typing import Any

import pytest

from maze_protocol.codec import Envelope
from maze_protocol.errors import BadMessage, IllegalTransition, VersionMismatch
from maze_protocol.messages import (
    MESSAGES,
    Cancel,
    Disconnect,
    Goodbye,
    Heartbeat,
    HeartbeatAck,
    Message,
    Nak,
    Recall,
    Rehello,
    Reject,
    Release,
    RetryAfter,
)
from maze_protocol.session import (
    FROM_HEAD,
    FROM_NODE,
    HEAD_MOVES,
    NODE_MOVES,
    Deliver,
    Ended,
    Established,
    Greeted,
    HeadSession,
    NodeSession,
    Output,
    SessionState,
    Transmit,
    Trigger,
)
from support.messages import make_assign, make_hello, make_result, make_welcome, sample

NEW, GREETING, LIVE, ENDED = SessionState
HELLO = make_hello()
WELCOME = make_welcome()
SESSION = WELCOME.session


def node_in(state: SessionState) -> NodeSession:
    node = NodeSession()
    if state is NEW:
        return node
    node.connect(HELLO, 0.0)
    if state is GREETING:
        return node
    node.receive(Envelope(SESSION, 0, 0, WELCOME), (), 0.0)
    if state is ENDED:
        node.send(Goodbye(), 0.0)
    assert node.state is state
    return node


def head_in(state: SessionState) -> HeadSession:
    head = HeadSession(0.0)
    if state is NEW:
        return head
    hear(head, HELLO)
    if state is GREETING:
        return head
    head.accept(WELCOME, 0.0)
    if state is ENDED:
        head.refuse(Disconnect("lost"), 0.0)
    assert head.state is state
    return head


def hear(
    machine: NodeSession | HeadSession, message: Message, seq: int = 0, ack: int = 0, session: int = 0, now: float = 0.0
) -> list[Output]:
    return machine.receive(Envelope(session, seq, ack, message), (), now)


def said(outputs: list[Output]) -> list[Any]:
    """Return the messages put on the wire."""
    return [output.envelope.message for output in outputs if isinstance(output, Transmit)]


def end_of(outputs: list[Output]) -> Ended:
    (ended,) = [output for output in outputs if isinstance(output, Ended)]
    return ended


# -- tables ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moves", [NODE_MOVES, HEAD_MOVES], ids=["node", "head"])
def test_a_table_covers_every_state_and_nothing_leaves_the_end(moves: dict) -> None:
    assert set(moves) == set(SessionState)
    assert set(moves[ENDED].values()) <= {ENDED}
    assert all(NEW not in row.values() for row in moves.values())


def test_every_trigger_is_used() -> None:
    used = {trigger for moves in (NODE_MOVES, HEAD_MOVES) for row in moves.values() for trigger in row}
    assert used == set(Trigger)


def test_both_sides_have_their_own_words() -> None:
    assert {Nak} == FROM_NODE & FROM_HEAD
    assert set(MESSAGES) >= FROM_NODE | FROM_HEAD


NODE_CALLS = {
    Trigger.CONNECT: lambda node: node.connect(HELLO, 0.0),
    Trigger.SEND: lambda node: node.send(Release(()), 0.0),
    Trigger.GOODBYE: lambda node: node.send(Goodbye(), 0.0),
}
HEAD_CALLS = {
    Trigger.ACCEPT: lambda head: head.accept(WELCOME, 0.0),
    Trigger.REFUSE: lambda head: head.refuse(Disconnect("lost"), 0.0),
    Trigger.SEND: lambda head: head.send(Recall(()), 0.0),
}


@pytest.mark.parametrize("state", SessionState)
@pytest.mark.parametrize("trigger", NODE_CALLS)
def test_a_call_that_the_nodes_table_forbids_raises(state: SessionState, trigger: Trigger) -> None:
    node = node_in(state)
    if trigger in NODE_MOVES[state]:
        NODE_CALLS[trigger](node)
        assert node.state is NODE_MOVES[state][trigger]
        return
    with pytest.raises(IllegalTransition, match=state.value):
        NODE_CALLS[trigger](node)
    assert node.state is state


@pytest.mark.parametrize("state", SessionState)
@pytest.mark.parametrize("trigger", HEAD_CALLS)
def test_a_call_that_the_heads_table_forbids_raises(state: SessionState, trigger: Trigger) -> None:
    head = head_in(state)
    if trigger in HEAD_MOVES[state]:
        HEAD_CALLS[trigger](head)
        assert head.state is HEAD_MOVES[state][trigger]
        return
    with pytest.raises(IllegalTransition, match=state.value):
        HEAD_CALLS[trigger](head)
    assert head.state is state


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("state", [NEW, ENDED])
def test_a_node_without_a_connection_hears_nothing(state: SessionState, kind: type) -> None:
    assert hear(node_in(state), sample(kind)) == []
    assert node_in(state).tick(1e6) == []


@pytest.mark.parametrize("machine", [node_in, head_in])
@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("state", SessionState)
@pytest.mark.parametrize("session", [0, SESSION, SESSION + 1])
def test_any_message_in_any_state_is_taken(machine: Any, kind: type, state: SessionState, session: int) -> None:
    end = machine(state)
    hear(end, sample(kind), seq=1, session=session)
    end.tick(1.0)
    assert end.state in SessionState


# -- the node's end --------------------------------------------------------------------------------------------------


def test_hello_is_repeated_each_second_until_the_head_answers() -> None:
    node = NodeSession()
    assert node.connect(HELLO, 10.0) == [Transmit(Envelope(0, 0, 0, HELLO))]
    assert [len(node.tick(10.0 + tick / 4)) for tick in range(1, 10)] == [0, 0, 0, 1, 0, 0, 0, 1, 0]
    assert hear(node, WELCOME, session=SESSION) == [Established(WELCOME)]
    assert (node.state, node.session) == (LIVE, SESSION)
    assert node.tick(2.0) == []


def test_a_head_that_never_answers_ends_the_connection() -> None:
    node = NodeSession(hello_timeout=5.0)
    node.connect(HELLO, 0.0)
    assert said(node.tick(5.0)) == [HELLO]
    ended = end_of(node.tick(5.1))
    assert (ended.code, ended.fatal, node.state) == ("silence", False, ENDED)


def test_rehello_while_greeting_is_answered_at_once() -> None:
    assert said(hear(node_in(GREETING), Rehello())) == [HELLO]


def test_rehello_while_live_ends_the_session() -> None:
    ended = end_of(hear(node_in(LIVE), Rehello(), session=SESSION))
    assert (ended.code, ended.retry_after, ended.fatal) == ("rehello", 0.0, False)
    assert hear(node_in(LIVE), Rehello(), session=SESSION - 1) == []
    assert end_of(hear(node_in(LIVE), Rehello())).code == "rehello"


@pytest.mark.parametrize("state", [GREETING, LIVE])
@pytest.mark.parametrize(
    ("message", "ended"),
    [
        (Reject("version", "too old"), Ended("version", "too old", 0.0, fatal=True)),
        (RetryAfter(7.0), Ended("retry_after", "the head is busy", 7.0)),
        (Disconnect("duplicate", "a newer one"), Ended("duplicate", "a newer one", 0.0, fatal=True)),
        (Disconnect("superseded", "your new link"), Ended("superseded", "your new link", 1.0)),
    ],
)
def test_a_refusal_ends_the_connection_as_it_says(state: SessionState, message: Message, ended: Ended) -> None:
    node = node_in(state)
    assert hear(node, message) == [ended]
    assert node.state is ENDED
    assert hear(node, message) == []


def test_a_refusal_of_an_older_session_is_not_for_us() -> None:
    assert hear(node_in(LIVE), Disconnect("lost"), session=SESSION - 1) == []


def test_a_welcome_in_a_foreign_version_is_fatal() -> None:
    ended = end_of(hear(node_in(GREETING), make_welcome(major=2)))
    assert (ended.code, ended.fatal) == ("version", True)


def test_a_repeated_welcome_is_dropped_and_another_one_ends_the_session() -> None:
    node = node_in(LIVE)
    assert hear(node, WELCOME, session=SESSION) == []
    assert end_of(hear(node, make_welcome(SESSION + 1))).code == "session"


def test_work_is_delivered_once_and_in_order() -> None:
    node = node_in(LIVE)
    work = make_assign(1)
    assert hear(node, work, 1, session=SESSION) == [Deliver(work)]
    assert hear(node, work, 1, session=SESSION) == []
    assert node.receive(Envelope(SESSION, 2, 0, work), (b"payload",), 0.0) == [Deliver(work, (b"payload",))]


def test_work_ahead_of_its_welcome_or_of_an_older_session_is_dropped() -> None:
    assert hear(node_in(GREETING), make_assign(1), 1, session=SESSION) == []
    assert hear(node_in(LIVE), make_assign(1), 1, session=SESSION - 1) == []


@pytest.mark.parametrize(
    ("envelope", "code"),
    [
        (Envelope(SESSION, 2, 0, Recall(())), "gap"),
        (Envelope(SESSION, 1, 1, Recall(())), "bad_ack"),
        (Envelope(SESSION + 1, 1, 0, Recall(())), "session"),
        (Envelope(SESSION, 1, 0, make_result(1)), "direction"),
    ],
)
def test_a_fault_of_the_head_ends_the_nodes_session(envelope: Envelope, code: str) -> None:
    node = node_in(LIVE)
    assert end_of(node.receive(envelope, (), 0.0)).code == code
    assert node.state is ENDED


def test_silence_of_the_head_ends_the_session() -> None:
    node = node_in(LIVE)
    hear(node, HeartbeatAck(1.0), 1, session=SESSION, now=5.0)
    assert node.tick(8.0) == []
    assert end_of(node.tick(8.1)).code == "silence"


def test_a_node_numbers_and_counts_what_it_sends() -> None:
    node = node_in(LIVE)
    hear(node, make_assign(1), 1, session=SESSION)
    sent = [node.send(message, 0.0)[0] for message in (make_result(1), Heartbeat(1.0), Release(()))]
    assert [output.envelope.seq for output in sent if isinstance(output, Transmit)] == [1, 1, 2]
    assert [output.envelope.ack for output in sent if isinstance(output, Transmit)] == [1, 1, 1]
    assert node.unacked == 2
    hear(node, HeartbeatAck(1.0), 1, ack=2, session=SESSION)
    assert node.unacked == 0


def test_a_node_says_no_words_of_the_head() -> None:
    with pytest.raises(IllegalTransition, match="Recall"):
        node_in(LIVE).send(Recall(()), 0.0)
    with pytest.raises(IllegalTransition, match="Hello"):
        node_in(LIVE).send(HELLO, 0.0)


def test_goodbye_is_the_last_word() -> None:
    outputs = node_in(LIVE).send(Goodbye("done"), 0.0)
    assert said(outputs) == [Goodbye("done")]
    assert end_of(outputs) == Ended("goodbye", "the node left in good order", fatal=True)


def test_a_node_complains_only_within_a_session() -> None:
    error = BadMessage("schema", "x" * 1_000)
    (nak,) = said(node_in(LIVE).complain(error, 0.0))
    assert (nak.code, len(nak.reason)) == ("schema", 500)
    assert node_in(GREETING).complain(error, 0.0) == []


# -- the head's end --------------------------------------------------------------------------------------------------


def test_a_hello_is_passed_on_once_and_its_answer_repeated() -> None:
    head = HeadSession(0.0)
    assert hear(head, HELLO) == [Greeted(HELLO)]
    assert hear(head, HELLO) == []
    assert head.accept(WELCOME, 0.0) == [Transmit(Envelope(SESSION, 0, 0, WELCOME))]
    assert hear(head, HELLO) == [Transmit(Envelope(SESSION, 0, 0, WELCOME))]
    assert (head.state, head.session) == (LIVE, SESSION)


@pytest.mark.parametrize("state", [GREETING, LIVE])
def test_another_hello_on_one_connection_is_a_fault(state: SessionState) -> None:
    head = head_in(state)
    outputs = hear(head, make_hello(incarnation=2))
    assert end_of(outputs).code == "second_hello"
    assert [type(message) for message in said(outputs)] == [Rehello]


def test_a_stranger_is_asked_to_introduce_himself_once_per_second() -> None:
    head = HeadSession(0.0)
    answers = [said(hear(head, Heartbeat(1.0), 1, session=5, now=now)) for now in (0.0, 0.5, 0.9, 1.0, 1.5)]
    assert [len(answer) for answer in answers] == [1, 0, 0, 1, 0]
    assert isinstance(answers[0][0], Rehello)


def test_nothing_is_answered_while_the_core_decides() -> None:
    assert hear(head_in(GREETING), Heartbeat(1.0), 1, session=5) == []


@pytest.mark.parametrize("message", [Reject("python", "no"), RetryAfter(1.0), Disconnect("lost")])
def test_a_refusal_is_told_again_to_whoever_did_not_hear_it(message: Any) -> None:
    head = head_in(GREETING)
    outputs = head.refuse(message, 0.0)
    assert said(outputs) == [message]
    assert head.state is ENDED
    assert end_of(outputs)
    assert hear(head, HELLO, now=0.5) == []
    assert said(hear(head, HELLO, now=1.0)) == [message]
    assert head.refuse(Disconnect("shutdown"), 2.0) == []


def test_a_heartbeat_is_delivered_and_answered() -> None:
    head = head_in(LIVE)
    beat = Heartbeat(12.5)
    outputs = hear(head, beat, 1, session=SESSION, now=3.0)
    assert outputs == [Deliver(beat), Transmit(Envelope(SESSION, 1, 0, HeartbeatAck(12.5, 3.0)))]
    assert hear(head, beat, 1, session=SESSION) == []


def test_results_are_delivered_once() -> None:
    head = head_in(LIVE)
    result = make_result(1)
    assert hear(head, result, 1, session=SESSION) == [Deliver(result)]
    assert hear(head, result, 1, session=SESSION) == []
    assert hear(head, result, 2, session=SESSION - 1) == []


@pytest.mark.parametrize(
    ("envelope", "code"),
    [
        (Envelope(SESSION, 2, 0, Release(())), "gap"),
        (Envelope(SESSION, 1, 1, Release(())), "bad_ack"),
        (Envelope(SESSION + 1, 1, 0, Release(())), "session"),
        (Envelope(SESSION, 1, 0, Cancel(())), "direction"),
    ],
)
def test_a_fault_of_the_node_ends_its_session_with_rehello(envelope: Envelope, code: str) -> None:
    head = head_in(LIVE)
    outputs = head.receive(envelope, (), 0.0)
    assert [type(message) for message in said(outputs)] == [Rehello]
    assert end_of(outputs).code == code
    assert said(head.receive(envelope, (), 1.0)) == said(outputs)


def test_a_node_that_does_not_acknowledge_is_at_fault() -> None:
    head = head_in(LIVE)
    head.send(make_assign(1), 0.0)
    outputs = [hear(head, Heartbeat(float(n)), n, session=SESSION, now=float(n)) for n in range(1, 5)]
    assert end_of(outputs[-1]).code == "stall"
    assert head.unacked == 1


def test_goodbye_ends_the_session_without_an_answer() -> None:
    head = head_in(LIVE)
    assert hear(head, Goodbye("done"), 1, session=SESSION) == [
        Deliver(Goodbye("done")),
        Ended("goodbye", "done", fatal=True),
    ]
    assert hear(head, Heartbeat(1.0), 1, session=SESSION, now=9.0) == []


def test_a_head_says_no_words_of_the_node() -> None:
    with pytest.raises(IllegalTransition, match="Release"):
        head_in(LIVE).send(Release(()), 0.0)


def test_a_link_without_hello_is_given_up() -> None:
    head = HeadSession(100.0, hello_timeout=10.0)
    assert head.tick(110.0) == []
    assert end_of(head.tick(110.1)).code == "no_hello"
    assert head_in(GREETING).tick(1e6) == []
    assert head_in(LIVE).tick(1e6) == []


def test_a_foreign_version_is_refused_in_words_that_every_version_reads() -> None:
    head = HeadSession(0.0)
    outputs = head.complain(VersionMismatch("version", "protocol 2.0, spoken here is 1.0"), 0.0)
    assert said(outputs) == [Reject("version", "protocol 2.0, spoken here is 1.0", 1, 1)]
    assert head.state is ENDED


def test_a_head_complains_within_a_session_and_ignores_noise_before_it() -> None:
    error = BadMessage("schema", "nonsense")
    assert said(head_in(LIVE).complain(error, 0.0)) == [Nak("schema", "nonsense")]
    assert head_in(NEW).complain(error, 0.0) == []
    assert head_in(GREETING).complain(VersionMismatch("version", "2"), 0.0) == []
