"""`maze doctor`: is this machine fit for Maze, and if not, what to do about it.

Rules. A check looks and tells; it changes nothing. Each is a function that returns a Finding; `fail` means that Maze
will not work, `warn` that something is missing or unusual. Exit code 1 if anything fails.
"""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Final, Literal

import click

from maze._daemon.connection import default_path, find_own_url, read_connection
from maze._daemon.errors import ConfigError
from maze._daemon.guarantees import Guarantee, guarantees
from maze._daemon.options import EXIT_FAILED, DaemonCommand
from maze._daemon.processes import DEFAULT_PORTS, default_ports_free
from maze._version import __version__
from maze.cli._api import ApiError, Head, HeadUnreachable
from maze.cli._render import echo_json, echo_table, json_option

__all__ = ["doctor"]

_MIN_PYTHON: Final = (3, 11)
_FILES_WANTED: Final = 4096
_DISTRIBUTIONS: Final = ("pyzmq", "msgspec", "aiohttp", "cloudpickle", "click")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and what to do about it."""

    check: str
    level: Literal["ok", "warn", "fail"]
    found: str
    advice: str = ""


@click.command(
    cls=DaemonCommand,
    epilog="Examples:\n  maze doctor\n  maze doctor --json\n\nExit code: 1 if a check fails.",
)
@json_option
@click.pass_context
def doctor(context: click.Context, /, as_json: bool) -> None:
    """Check whether this machine is fit for Maze."""
    findings = [check() for check in _CHECKS] + check_guarantees()
    if as_json:
        echo_json({"findings": [asdict(finding) for finding in findings]})
    else:
        echo_table(("CHECK", "", "FOUND", "ADVICE"), [(f.check, f.level, f.found, f.advice) for f in findings])
    context.exit(EXIT_FAILED if any(finding.level == "fail" for finding in findings) else 0)


def check_python() -> Finding:
    found = f"{platform.python_implementation()} {platform.python_version()} at {sys.executable}"
    if sys.version_info[:2] < _MIN_PYTHON:
        return Finding("python", "fail", found, "Maze needs Python 3.11 or newer")
    return Finding("python", "ok", found)


def check_versions() -> Finding:
    try:
        versions = ", ".join(f"{name} {metadata.version(name)}" for name in _DISTRIBUTIONS)
    except metadata.PackageNotFoundError as error:
        return Finding("versions", "fail", f"{error.name} is missing", "pip install maze-cluster")
    return Finding("versions", "ok", f"maze {__version__}, {versions}")


def check_platform() -> Finding:
    system = platform.system()
    if system == "Linux":
        return Finding("platform", "ok", f"Linux {platform.release()}")
    if system == "Darwin":
        missing = "workers may outlive a killed node, and limits are not enforced"
        return Finding("platform", "warn", f"macOS, for development: {missing}", "use Linux where it counts")
    return Finding("platform", "warn", f"{system}: the client only", "run heads and nodes on Linux")


def check_guarantees() -> list[Finding]:
    return [
        Finding(each.name, "ok" if each.holds else "warn", _said(each), "" if each.holds else each.without)
        for each in guarantees()
    ]


def _said(guarantee: Guarantee) -> str:
    return f"{'' if guarantee.holds else 'not here: '}{guarantee.promise} ({guarantee.found})"


def check_files() -> Finding:
    try:
        import resource
    except ImportError:
        return Finding("open files", "warn", "no limit can be read here")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = f"soft limit {soft}, hard limit {hard}"
    if 0 <= soft < _FILES_WANTED:
        return Finding(
            "open files", "warn", found, f"ulimit -n {_FILES_WANTED}: each node, client and worker takes some"
        )
    return Finding("open files", "ok", found)


def check_memory() -> Finding:
    try:
        free = shutil.disk_usage("/dev/shm").free // 2**20  # noqa: S108 -- measured, not written to
    except OSError:
        return Finding("shared memory", "warn", "no /dev/shm here")
    return Finding("shared memory", "ok", f"{free} MiB free in /dev/shm")


def check_ports() -> Finding:
    ports = f"{DEFAULT_PORTS[0]} to {DEFAULT_PORTS[-1]}"
    if default_ports_free():
        return Finding("ports", "ok", f"{ports} are free")
    return Finding("ports", "warn", f"of {ports} at least one is taken", "fine if a head is running; else --port 0 …")


def check_config() -> Finding:
    try:
        path = default_path()
    except ConfigError as error:
        return Finding("configuration", "fail", str(error), "correct the file")
    if not path.exists():
        return Finding("configuration", "ok", f"no connection file at {path}")
    if read_connection(path) is None:
        return Finding(
            "configuration", "warn", f"{path} is ignored", "it must be yours, not writable by others, and valid"
        )
    return Finding("configuration", "ok", f"connection file {path}")


def check_head() -> Finding:
    try:
        url = find_own_url()
        if url is None:
            return Finding("head", "ok", "none configured; `maze up` starts one, `maze run` brings its own")
        info = Head(url).info()
    except (HeadUnreachable, click.UsageError, ConfigError) as error:
        return Finding("head", "warn", str(error).splitlines()[0], "maze up")
    except ApiError as error:
        return Finding("head", "warn", f"it refuses: {str(error).splitlines()[0]}", "set MAZE_TOKEN or MAZE_TOKEN_FILE")
    if info["version"] != __version__:
        return Finding(
            "head", "warn", f"{url}, version {info['version']}; here {__version__}", "install the same version"
        )
    if not info["nodes_ready"]:
        return Finding("head", "warn", f"{url}, no ready node", "maze-node")
    return Finding("head", "ok", f"{url}, {info['nodes_ready']} ready nodes")


_CHECKS: Final[tuple[Callable[[], Finding], ...]] = (
    check_python,
    check_versions,
    check_platform,
    check_files,
    check_memory,
    check_ports,
    check_config,
    check_head,
)
