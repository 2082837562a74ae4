"""`python -m chaos.network SCENARIO NODE_NAMESPACE HEAD_NAMESPACE`: a broken cable between head and node, for real.

Runs inside the head's namespace (test_network.py starts it there), makes a head and a node of each namespace, breaks
the cable in the scenario's way, checks the outcome and prints the figures as JSON.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from chaos.history import check_effects, check_log, check_results
from chaos.netns import HEAD, Cable
from chaos.scale import FULL, LOST, SUSPECT, liveness_flags, sized, within
from chaos.stage import Job, NodeWatch, Stage, open_stage
from support.cluster import wait_until

CUT_SECONDS = sized(5.0, 15.0)
REJOIN_SECONDS = 2.0
HEARTBEAT = 1.0 if FULL else 0.5
PING_SECONDS = 40.0
Figures = dict[str, Any]


@contextmanager
def far_node(wires: Cable, *flags: str, near: bool = True) -> Iterator[tuple[Stage, NodeWatch]]:
    """Run a head here, a node `far` beyond the cable, and a node `near` beside the head."""
    with open_stage(0, (f"--host={HEAD}", "--insecure", *flags)) as stage, NodeWatch(stage) as watch:
        head = stage.cluster.head.ready["node"]
        stage.cluster.add_node("--name=far", f"--head={head}", "--cpus=4", before=wires.command(wires.node, []))
        if near:
            stage.cluster.add_node("--name=near", "--cpus=4")
        try:
            yield stage, watch
        finally:
            wires.heal()


def check(stage: Stage, job: Job, run_id: str, figures: Figures, *, once: bool = False) -> None:
    """Check that everything finished, rightly, and each result was accepted once."""
    stage.wait_sealed(run_id)
    events = stage.log(run_id)
    assert check_log(events, job.names) == []
    assert check_results(events, job.expected) == []
    assert check_effects(stage.executions(), job.names.values(), once=once) == []
    figures["attempts_lost"] = sum(event["type"] == "attempt_lost" for event in events)
    figures["tasks"] = len(job.names)


def cut_short(wires: Cable, figures: Figures) -> None:
    """One second both ways: invisible."""
    with far_node(wires, near=False) as (stage, watch):
        job = stage.prepare(100, 0.05)
        run_id = stage.submit(job.workflow)
        wait_until(lambda: stage.read(run_id)["finished"] > 5, "some results")
        began = time.monotonic()
        wires.cut()
        time.sleep(1.0)  # the length of the fault
        wires.heal()
        check(stage, job, run_id, figures, once=True)
        assert watch.when("far", "lost", since=began) is None
        assert figures["attempts_lost"] == 0


def cut_long(wires: Cable, figures: Figures, **directions: bool) -> None:
    """Long enough to be given up: work goes elsewhere, and the node comes back."""
    with far_node(wires, *liveness_flags()) as (stage, watch):
        job = stage.prepare(8, CUT_SECONDS / 2)
        run_id = stage.submit(job.workflow)
        wait_until(lambda: stage.started(*job.names.values()), "all tasks to run")
        wait_until(lambda: stage.read(run_id)["running"] == 8, "the head to know it")
        moment = time.monotonic()
        wires.cut(**directions)
        # Where only the way to the node is cut, the node notices first, by the silence of its head.
        slack = 0.0 if directions.get("to_head", True) else 2 * HEARTBEAT
        within("suspected", watch.wait("far", "suspect", "lost", since=moment) - moment, SUSPECT + slack, figures)
        within("lost", watch.wait("far", "lost", since=moment) - moment, LOST + slack, figures)
        wait_until(lambda: time.monotonic() - moment >= CUT_SECONDS, "the end of the cut", CUT_SECONDS + 5)
        healed = time.monotonic()
        wires.heal()
        within("rejoined", watch.wait("far", "ready", since=healed) - healed, REJOIN_SECONDS, figures)
        check(stage, job, run_id, figures)


def power_off(wires: Cable, figures: Figures) -> None:
    """A machine that is gone without a word: no FIN, no RST."""
    with far_node(wires, *liveness_flags()) as (stage, watch):
        job = stage.prepare(4, 1.0)
        run_id = stage.submit(job.workflow)
        wait_until(lambda: stage.started(*job.names.values()), "all tasks to run")
        far = stage.cluster.nodes[0]
        moment = time.monotonic()
        wires.cut()
        stage.signal(stage.family(far), signal.SIGKILL)
        far.process.wait(10)
        within("suspected", watch.wait("far", "suspect", since=moment) - moment, SUSPECT, figures)
        stage.wait_sealed(run_id)
        within("over_elsewhere", time.monotonic() - moment, LOST + 2.0, figures)
        check(stage, job, run_id, figures)


def lose_packets(wires: Cable, figures: Figures) -> None:
    """A bad cable: slower, and nothing else."""
    with far_node(wires, near=False) as (stage, watch):
        took = []
        for percent in (0, 30):
            job = stage.prepare(sized(40, 400), 0.05, f"loss-{percent}")
            if percent:
                wires.lose_packets(percent)
            began = time.monotonic()
            run_id = stage.submit(job.workflow)
            stage.wait_sealed(run_id)
            took.append(time.monotonic() - began)
            wires.heal()
            check(stage, job, run_id, figures)
        figures["seconds_without"], figures["seconds_with"] = (round(each, 2) for each in took)
        figures["lost"] = watch.when("far", "lost") is not None


def reset_everything(wires: Cable, figures: Figures) -> None:
    """A firewall that answers everything with RST, for a while."""
    with far_node(wires) as (stage, _):
        job = stage.prepare(40, 0.1)
        run_id = stage.submit(job.workflow)
        wait_until(lambda: stage.read(run_id)["finished"] > 5, "some results")
        wires.reset_everything()
        time.sleep(sized(2.0, 10.0))  # the length of the fault
        healed = time.monotonic()
        wires.heal()
        within("rejoined", stage.wait_state("far", "ready") - healed, REJOIN_SECONDS, figures)
        check(stage, job, run_id, figures)


def reader_vanishes(wires: Cable, figures: Figures) -> None:
    """A WebSocket reader whose machine is gone without a word is let go."""
    with far_node(wires) as (stage, _):
        stage.cluster.nodes[0].stop()
        stage.cluster.nodes[1].stop()
        job = stage.prepare(1, 0.0)
        run_id = stage.submit(job.workflow)
        host, _, port = stage.cluster.url.removeprefix("http://").rpartition(":")
        upgrade = (
            f"GET /api/v1/runs/{run_id}/events HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            f"Authorization: {stage.cluster.shown['Authorization']}\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        script = f"import socket,time; s=socket.create_connection(({host!r},{port})); s.sendall({upgrade.encode()!r})"
        command = wires.command(wires.node, [sys.executable, "-c", f"{script}; s.recv(9); time.sleep(600)"])
        reader = subprocess.Popen(command)
        try:
            wait_until(lambda: stage.counters()["http_streams_open"], "the reader")
            wires.cut()
            moment = time.monotonic()
            wait_until(lambda: not stage.counters()["http_streams_open"], "its end", 2 * PING_SECONDS)
            within("let_go", time.monotonic() - moment, PING_SECONDS, figures)
        finally:
            reader.kill()
            reader.wait()


SCENARIOS: dict[str, Callable[[Cable, Figures], None]] = {
    "cut short": cut_short,
    "cut both ways": cut_long,
    "cut to the head": lambda wires, figures: cut_long(wires, figures, to_node=False),
    "cut to the node": lambda wires, figures: cut_long(wires, figures, to_head=False),
    "power off": power_off,
    "lose packets": lose_packets,
    "reset everything": reset_everything,
    "reader vanishes": reader_vanishes,
}


def main() -> None:
    """Run one scenario and print its figures."""
    scenario, wires = sys.argv[1], Cable()
    wires.node, wires.head = sys.argv[2:4]
    socket.setdefaulttimeout(30)
    figures: Figures = {}
    SCENARIOS[scenario](wires, figures)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
