"""`maze-node`: run a node; `detect`: what it would offer; `doctor`: what it can promise here.

Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import click

from maze._daemon.options import (
    DaemonCommand,
    capacity_options,
    common_options,
    node_dir_option,
    node_options,
    option,
    run_command,
    version_option,
)

__all__ = ["main", "node"]

FROM_STDIN: Final = "-"
COLLECT_AFTER: Final = 20_000
"""Objects more than before: about as many as a thousand leases are."""
EXAMPLES: Final = """
Examples:
  maze-node                                     join the head of this machine
  maze-node --head tcp://10.0.0.1:8001          join a head elsewhere, one without authentication
  maze-node --cpus 8 --memory 16000 --gpus 0    offer a part of the machine
  maze-node --label zone=a --label disk=ssd     say more about it
  maze-node --preload numpy,torch               workers that need no time to load them
  maze-node --time-limit auto --idle-timeout 5m in a batch job: leave in time, or when idle
  maze-node join TOKEN                          join a head elsewhere; from then on `maze-node` needs no options
  maze-node detect                              what would be offered, and why
  maze-node --isolation bwrap                   workers in a box: files read-only, no other processes
  maze-node doctor                              which guarantees hold on this machine, what isolates tasks

Exit codes: 0 left in good order, 1 crashed or was stopped at work, 2 usage,
75 the head cannot be reached, 78 the head refuses this node.
DURATION is 90, 90s, 15m, 2h or Slurm's 1-02:03:04.
"""


class NodeCommand(DaemonCommand):
    """The daemon, with `join`, `detect` or `doctor` as a first word: a group would not let its flags stand alone."""

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **extra: Any) -> click.Context:
        """Hand `join …`, `detect …` and `doctor …` to their own commands."""
        for command in (join, detect, doctor):
            if args[:1] == [command.name]:
                return command.make_context(f"{info_name} {command.name}", args[1:], *rest, **extra)
        return super().make_context(info_name, args, *rest, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that the context was made for."""
        return ctx.command.invoke(ctx) if ctx.command is not self else super().invoke(ctx)


@click.command(cls=DaemonCommand, section="node", epilog="Where each number came from stands beside it.")
@capacity_options
@option("--json", "as_json", is_flag=True, allow_from_autoenv=False, help="Print one JSON object.")
def detect(as_json: bool, **options: Any) -> None:
    """Print what a node here would offer, and where each number comes from."""
    from maze_node.report import describe, lines

    capacity = _measure(options)
    if as_json:
        click.echo(json.dumps(describe(capacity)))
        return
    for line in lines(capacity):
        click.echo(line)


@click.command(cls=DaemonCommand, epilog="`maze doctor` looks at more than what nodes need.")
@option("--json", "as_json", is_flag=True, allow_from_autoenv=False, help="Print one JSON object.")
def doctor(as_json: bool) -> None:
    """Print which guarantees of a node hold on this machine, what isolates tasks here, and why the rest does not."""
    from maze._daemon.guarantees import guarantees
    from maze_node.box import Plan
    from maze_node.mechanisms import mechanisms

    found, tried = guarantees(), mechanisms(Plan(*_places()))
    if as_json:
        parts = {"guarantees": [each._asdict() for each in found], "isolation": [each._asdict() for each in tried]}
        click.echo(json.dumps(parts))
        return
    for each in found:
        click.echo(f"{'yes' if each.holds else 'NO ':<4} {each.promise}")
        click.echo(f"     {each.found}{'' if each.holds else f': {each.without}'}")
    click.echo("\nWhat isolates tasks (--isolation, sandbox=True), tried here:")
    for one in tried:
        click.echo(f"{'yes' if one.works else 'NO ':<4} {one.name}: {one.what}")
        if one.why:
            click.echo(f"     {one.why}")


@click.command(cls=DaemonCommand, epilog="`maze-head token create --scope node-join` prints the TOKEN, at the head.")
@click.argument("token", metavar="TOKEN|-")
@option("--name", allow_from_autoenv=False, help="Of this node, for ever.  [default: the host's name]")
@node_dir_option
def join(token: str, name: str | None, node_dir: Path | None) -> int:
    """Make this machine a node of the head that made TOKEN; `-` reads it from stdin, where nobody sees it.

    A key is made here, and its public half sent. TOKEN is good for one node.
    """
    from maze._daemon.errors import HeadRefused, HeadUnreachable, SecretUnusable
    from maze_node import joining
    from maze_node.errors import EXIT_REFUSED, EXIT_UNREACHABLE, JoinRefused
    from maze_protocol.enrolment import BadJoinToken, unpack_join_token

    try:
        told = unpack_join_token(sys.stdin.readline() if token == FROM_STDIN else token)
        joined = joining.join(told, name, node_dir)
    except (BadJoinToken, SecretUnusable) as error:
        raise click.UsageError(str(error)) from error
    except (JoinRefused, HeadRefused, HeadUnreachable) as error:
        click.echo(f"Error: {error}", err=True)
        return EXIT_UNREACHABLE if isinstance(error, HeadUnreachable) else EXIT_REFUSED
    click.echo(f"joined {joined.url} as {joined.node_id}; `maze-node` starts the node")
    return 0


@click.command(cls=NodeCommand, section="node", epilog=EXAMPLES)
@node_options
@option("--no-peer-port", is_flag=True, allow_from_autoenv=False, help="Let the head relay between nodes.")
@option(
    "--insecure",
    is_flag=True,
    allow_from_autoenv=False,
    help="Let nodes of other machines fetch from the peer port; without it the head relays between machines.",
)
@option(
    "--drain-timeout",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long running tasks may finish after SIGTERM; a second one stops at once.",
)
@option(
    "--orphan-timeout",
    type=click.FloatRange(min=0),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="How long running tasks go on without a head.",
)
@option(
    "--head-timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Leave with 75 after so long without a head.  [default: wait for ever]",
)
@option(
    "--time-limit",
    metavar="auto|DURATION",
    help="Be gone after so long: drain in time, and get no task that is known to take longer. auto: as long as the"
    " Slurm job has.  [default: no limit]",
)
@option("--idle-timeout", metavar="DURATION", help="Leave after so long without work.  [default: never]")
@option(
    "--result-memory",
    type=click.IntRange(min=0),
    default=64,
    show_default=True,
    metavar="MIB",
    help="For results that wait for the head; more of them wait on disk.",
)
@option(
    "--object-memory",
    type=click.IntRange(min=0),
    metavar="MIB",
    help="For large results that tasks here may need; more of them are on disk.  [default: a quarter of the memory]",
)
@option(
    "--spool-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where on disk; what is there vanishes with the node.  [default: $TMPDIR or /var/tmp]",
)
@option("--affinity", is_flag=True, help="Give tasks that claim whole CPUs CPUs of their own.")
@option("--head-pid", type=int, hidden=True, allow_from_autoenv=False,
        help="Take a connection file only from this process (`maze up`).")  # fmt: skip
@option("--share", metavar="I/N", hidden=True, help="Offer the I-th of N parts of what is measured (`maze up`).")
@common_options
@version_option("maze-node")
def node(**options: Any) -> int:
    """Offer this machine to a Maze head, and run its tasks.

    The head is found by --head, else by the connection file that `maze-head` and `maze up` write.
    Prints `MAZE-READY {json}` on stdout once the head has let it in. SIGTERM drains, a second one stops now.
    """
    from maze._daemon.logging import setup_logging

    settings = _settings(options)
    setup_logging(options["log_level"], options["log_format"], file=options.get("log_file"))
    _check_keys(settings)
    return _serve(settings, exit_with_stdin=bool(options.get("exit_with_stdin")))


def _settings(options: dict[str, Any]) -> Any:
    from maze_node.config import (
        Settings,
        check_endpoint,
        parse_detect,
        parse_labels,
        parse_limit,
        parse_preload,
        parse_share,
    )
    from maze_node.errors import UsageError
    from maze_node.isolation import PROCESS

    try:
        head = options.get("head")
        limit, idle = options.get("time_limit"), options.get("idle_timeout")
        connection_file: Path | None = options.get("connection_file")
        if head and connection_file:
            raise UsageError("--head and --connection-file exclude each other")
        return Settings(
            head=check_endpoint(head) if head else None,
            head_key=_key_of(options.get("head_key") or ""),
            node_dir=options.get("node_dir"),
            connection_file=connection_file,
            head_pid=options.get("head_pid"),
            name=options.get("name"),
            labels=parse_labels(options.get("label") or ()),
            advertise=options.get("advertise"),
            detect=parse_detect(options.get("detect") or "all"),
            preload=parse_preload(options["preload"]) if options.get("preload") else (),
            share=parse_share(options.get("share") or "1/1"),
            peer_port=None if options.get("no_peer_port") else options.get("peer_port"),
            insecure=bool(options.get("insecure")),
            drain_timeout=options.get("drain_timeout", 30.0),
            orphan_timeout=options.get("orphan_timeout", 600.0),
            head_timeout=options.get("head_timeout") or 0.0,
            result_memory=options.get("result_memory", 64),
            object_memory=options.get("object_memory"),
            spool_dir=options.get("spool_dir"),
            affinity=bool(options.get("affinity")),
            isolation=options.get("isolation") or PROCESS,
            time_limit=limit if limit == "auto" or limit is None else parse_limit("--time-limit", limit),
            idle_timeout=parse_limit("--idle-timeout", idle) if idle else 0.0,
            **{key: options.get(key) for key in ("cpus", "memory", "gpus", "gpu_mem", "workers")},
        )
    except UsageError as error:
        raise click.UsageError(str(error)) from error


def _key_of(text: str) -> str:
    """Return a head's public key as given.

    Raises:
        UsageError: no key.
    """
    from maze_node.errors import UsageError
    from maze_protocol.keys import is_key

    if text and not is_key(text):
        raise UsageError("--head-key: no public key, which has 40 characters; `maze info` at the head tells it")
    return text


def _measure(options: dict[str, Any]) -> Any:
    from maze_node.capacity import measure

    return measure(_settings(options))


def _check_keys(settings: Any) -> None:
    """Refuse keys that cannot be used before anything is started."""
    from maze._daemon.errors import SecretUnusable

    try:
        settings.find_head()
    except SecretUnusable as error:
        raise click.UsageError(str(error)) from error


def _serve(settings: Any, *, exit_with_stdin: bool) -> int:
    from maze_node.spawning import launch

    isolation = _isolate(settings)
    spawned = launch(settings.preload, settings.spool_dir, isolation)
    import asyncio
    import gc

    from maze._daemon import signals
    from maze_node.app import Node

    async def serve() -> int:
        loop = asyncio.get_running_loop()
        stop = signals.install_stop_signals(loop)
        if exit_with_stdin:
            signals.exit_with_stdin(loop, stop)
        node = Node(settings, spawned, isolation)
        # What is there now stays; of what comes with each task nearly nothing is garbage in cycles.
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER)
        return await node.run(stop)

    return asyncio.run(serve())


def _isolate(settings: Any) -> Any:
    """Find out what of the isolation that was asked for is active here; exit 2 if it is not to be had."""
    from maze_node.errors import UsageError
    from maze_node.isolation import choose

    try:
        return choose(settings.isolation, *_places(settings))
    except UsageError as error:
        raise click.UsageError(str(error)) from error


def _places(settings: Any = None) -> tuple[Path, tuple[Path, ...]]:
    """Return where workers put files, and what a box hides from them: where tokens, keys and settings of Maze are."""
    from maze._daemon.config import own_directories
    from maze._daemon.connection import default_path
    from maze._daemon.guarantees import spool_dir

    spool = Path(spool_dir())
    if settings is None:
        return spool, (*own_directories(), default_path())
    named = (settings.node_dir, settings.connection_file or default_path())
    return settings.spool_dir or spool, (*own_directories(), *filter(None, named))


def main() -> None:
    """Run the command; never returns."""
    run_command(node, program="maze-node")
