"""Two machines in one: a network namespace for the head, one for a node, and a cable between them that can be cut.

Needs root, iproute2 and the right to make namespaces; `why_not` says what is missing, and tests skip with that. Only
addresses inside the namespaces that are made here are used. One-way cuts are routes to nowhere, which need nothing but
`ip`; loss and resets need `nft`.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

HEAD = "10.77.0.1"
NODE = "10.77.0.2"


@functools.cache
def why_not(*, filters: bool = False) -> str:
    """Return why there can be no namespaces here, or an empty text.

    Args:
        filters: packet filters are wanted, too.
    """
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    missing = [name for name in ("ip", *(["nft"] if filters else [])) if shutil.which(name) is None]
    if missing:
        return f"needs {' and '.join(missing)}"
    try:
        with Cable() as cable:
            if filters:
                cable.lose_packets(50)
    except subprocess.CalledProcessError as error:
        return f"no network namespaces here: {error.stderr.strip()[:100]}"
    return ""


class Cable:
    """Two namespaces and a pair of interfaces between them, from `__enter__` to `__exit__`."""

    def __init__(self) -> None:
        # An interface's name has at most 15 characters.
        tag = uuid.uuid4().hex[:6]
        self.head, self.node = f"maze-h-{tag}", f"maze-n-{tag}"
        self._head_end, self._node_end = f"mzh{tag}", f"mzn{tag}"

    def __enter__(self) -> Cable:
        try:
            for namespace in (self.head, self.node):
                _ip("netns", "add", namespace)
            _ip("link", "add", self._head_end, "type", "veth", "peer", "name", self._node_end)
            self._plug(self.head, self._head_end, HEAD)
            self._plug(self.node, self._node_end, NODE)
        except subprocess.CalledProcessError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        for namespace in (self.head, self.node):
            # The interfaces go with the namespaces.
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True, check=False)

    def command(self, namespace: str, command: list[str]) -> list[str]:
        """Return a command line that runs inside a namespace, in the process that is started."""
        return ["ip", "netns", "exec", namespace, *command]

    def cut(self, *, to_head: bool = True, to_node: bool = True) -> None:
        """Drop every packet of these directions, silently."""
        if to_head:
            _ip("-n", self.node, "route", "add", "blackhole", f"{HEAD}/32")
        if to_node:
            _ip("-n", self.head, "route", "add", "blackhole", f"{NODE}/32")

    def heal(self) -> None:
        """Let everything through again."""
        for namespace, address in ((self.node, HEAD), (self.head, NODE)):
            route = ["ip", "-n", namespace, "route", "del", "blackhole", f"{address}/32"]
            subprocess.run(route, capture_output=True, check=False)
            table = ["ip", "netns", "exec", namespace, "nft", "delete", "table", "inet", "chaos"]
            if shutil.which("nft"):
                subprocess.run(table, capture_output=True, check=False)

    def lose_packets(self, percent: int) -> None:
        """Drop so many of a hundred packets in each direction, at random."""
        self._filter(f"numgen random mod 100 < {percent} drop")

    def reset_everything(self) -> None:
        """Answer every TCP packet with RST."""
        self._filter("meta l4proto tcp reject with tcp reset")

    def _filter(self, rule: str) -> None:
        for namespace in (self.head, self.node):
            for text in (
                "add table inet chaos",
                "add chain inet chaos in { type filter hook input priority 0; }",
                f"add rule inet chaos in iifname != lo {rule}",
            ):
                _run("ip", "netns", "exec", namespace, "nft", text)

    def _plug(self, namespace: str, interface: str, address: str) -> None:
        _ip("link", "set", interface, "netns", namespace)
        _ip("-n", namespace, "addr", "add", f"{address}/24", "dev", interface)
        for name in (interface, "lo"):
            _ip("-n", namespace, "link", "set", name, "up")


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*command: str) -> None:
    subprocess.run(command, capture_output=True, text=True, check=True)


@contextmanager
def cable() -> Iterator[Cable]:
    """Make namespaces for the length of a block."""
    with Cable() as made:
        yield made
