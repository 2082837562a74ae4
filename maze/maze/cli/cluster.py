"""`maze nodes` and `maze info`: who is in the cluster, and which head answers."""

from __future__ import annotations

from typing import Any

import click

from maze._daemon.options import DaemonCommand
from maze.cli._api import Head, url_option
from maze.cli._find import short
from maze.cli._render import ago, amount, echo_json, echo_pairs, echo_table, json_option, mebibytes

__all__ = ["info", "nodes"]

_COLUMNS = (
    "NODE",
    "STATE",
    "HOST",
    "ADDRESS",
    "CPU",
    "FREE",
    "MEMORY",
    "FREE",
    "GPUS",
    "RUNNING",
    "PYTHON",
    "JOINED",
    "LABELS",
)


@click.command(
    cls=DaemonCommand,
    epilog="Examples:\n  maze nodes\n  maze nodes --json",
)
@url_option
@json_option
def nodes(url: str | None, as_json: bool) -> None:
    """List the nodes of the cluster and what they offer."""
    answer = Head.find(url).get("/nodes")
    if as_json:
        echo_json(answer)
        return
    echo_table(_COLUMNS, map(_node_row, answer["nodes"]))
    if not answer["nodes"]:
        click.echo("No node has joined yet; `maze-node` joins one.", err=True)


@click.command(
    cls=DaemonCommand,
    epilog="Examples:\n  maze info\n  MAZE_URL=http://10.0.0.1:8000 maze info --json",
)
@url_option
@json_option
def info(url: str | None, as_json: bool) -> None:
    """Show which head answers, and under which promises."""
    head = Head(url)
    answer = head.info()
    if as_json:
        echo_json({"url": head.url, **answer})
        return
    endpoints = ", ".join(f"{name} {address}" for name, address in answer["endpoints"].items())
    echo_pairs(
        [
            ("url", head.url),
            ("version", f"{answer['version']} (protocol {answer['protocol']}, Python {answer['python']})"),
            ("cluster", f"{answer['cluster_id']}, epoch {answer['epoch']}"),
            ("head", f"pid {answer['pid']}, up {ago(answer['started_at'])}{', embedded' * answer['embedded']}"),
            ("ready nodes", answer["nodes_ready"]),
            ("durability", answer["durability"]),
            ("order", answer.get("order", "fcfs")),
            ("endpoints", endpoints),
        ]
    )


def _node_row(node: dict[str, Any]) -> tuple[object, ...]:
    return (
        short(node["node_id"]),
        node["state"],
        node["hostname"],
        node["address"],
        amount(node["cpu"]),
        amount(node["cpu_free"]),
        mebibytes(node["cpu_mem"]),
        mebibytes(node["cpu_mem_free"]),
        len(node["gpus"]),
        node["running"],
        node["python"],
        ago(node["joined_at"]),
        ",".join(f"{key}={value}" for key, value in node["labels"].items()),
    )
