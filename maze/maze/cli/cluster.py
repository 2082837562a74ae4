"""`maze nodes` and `maze info`: who is in the cluster, what each offers and why, and which head answers."""

from __future__ import annotations

from typing import Any

import click

from maze._daemon.options import DaemonCommand, DaemonGroup
from maze.cli._api import Head, own_url_option, url_option
from maze.cli._find import find_node, short
from maze.cli._render import ago, amount, echo, echo_json, echo_pairs, echo_table, json_option, mebibytes, milliseconds

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
    "LEAVES",
    "LABELS",
)
_GPU_COLUMNS = ("GPU", "NAME", "MEMORY", "FREE", "SHARE FREE", "UUID", "ORIGIN")


@click.group(
    cls=DaemonGroup,
    invoke_without_command=True,
    epilog="Examples:\n  maze nodes\n  maze nodes show gpu-7\n  maze nodes --json",
)
@url_option
@json_option
@click.pass_context
def nodes(context: click.Context, /, url: str | None, as_json: bool) -> None:
    """List the nodes of the cluster and what they offer."""
    context.obj = url, as_json
    if context.invoked_subcommand is not None:
        return
    answer = Head.find(url).get("/nodes")
    if as_json:
        echo_json(answer)
        return
    echo_table(_COLUMNS, map(_node_row, answer["nodes"]))
    if not answer["nodes"]:
        echo("No node has joined yet; `maze-node` joins one.", err=True)


@nodes.command("show", cls=DaemonCommand, epilog="Examples:\n  maze nodes show gpu-7\n  maze nodes show gpu-7 --json")
@click.argument("name")
@own_url_option
@json_option
@click.pass_context
def show_node(context: click.Context, /, name: str, url: str | None, as_json: bool) -> None:
    """Show a node, and where each number of what it offers comes from. NAME is its id or the beginning of it."""
    group_url, group_json = context.obj
    node = find_node(Head.find(url or group_url), name)
    if as_json or group_json:
        echo_json({"node": node})
        return
    echo_pairs(_node_pairs(node))
    if node["gpus"]:
        echo()
        echo_table(_GPU_COLUMNS, (_gpu_row(gpu, node["origins"]) for gpu in node["gpus"]))


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
            ("head key", answer.get("head_key") or "none: nodes are not authenticated"),
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
        _leaves(node),
        _labels(node),
    )


def _leaves(node: dict[str, Any]) -> str:
    remaining = node["remaining_s"]
    return "" if remaining is None else f"in {milliseconds(remaining * 1000)}"


def _labels(node: dict[str, Any]) -> str:
    return ",".join(f"{key}={value}" for key, value in node["labels"].items())


def _node_pairs(node: dict[str, Any]) -> list[tuple[str, object]]:
    """Return what is known of a node; amounts with what is free of them, and their origin."""
    origin = node["origins"]
    cpus = f"{amount(node['cpu'])}, {amount(node['cpu_free'])} free"
    memory = f"{mebibytes(node['cpu_mem'])}, {mebibytes(node['cpu_mem_free'])} free"
    return [
        ("node", node["node_id"]),
        ("state", node["state"]),
        ("host", f"{node['hostname']}, pid {node['pid']}"),
        ("address", node["address"]),
        ("version", f"{node['maze_version']} (Python {node['python']})"),
        ("joined", f"{ago(node['joined_at'])} ago, last heard {milliseconds(node['last_seen_s'] * 1000)} ago"),
        ("leaves", _leaves(node) or "no end is known"),
        ("labels", _labels(node)),
        ("running", f"{node['running']} tasks"),
        ("CPUs", f"{cpus} ({origin.get('cpu', '')})"),
        ("memory", f"{memory} ({origin.get('memory', '')})"),
        ("GPUs", f"{len(node['gpus'])} ({origin.get('gpu', '')})"),
        ("workers", f"at most {node['workers']} ({origin.get('workers', '')})"),
        ("isolation", _isolation(node)),
    ]


def _isolation(node: dict[str, Any]) -> str:
    """Return what keeps tasks there from the rest of the machine; older heads and nodes do not tell."""
    level, sandbox = node.get("isolation", ""), node.get("sandbox", "")
    return f"{level}; with sandbox=True {sandbox}" if level else ""


def _gpu_row(gpu: dict[str, Any], origins: dict[str, str]) -> tuple[object, ...]:
    return (
        gpu["index"],
        gpu["name"],
        mebibytes(gpu["mem"]),
        mebibytes(gpu["mem_free"]),
        amount(gpu["free"]),
        gpu["uuid"],
        origins.get(f"gpu {gpu['index']}") or origins.get("gpu", ""),
    )
