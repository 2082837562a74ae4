"""`maze limits`: named limits, weights and caps of projects, and how much of them is in use.

Rules. Amounts are judged by the head, so that every client is told the same. What is set takes the place of what was
set before: a bound that is not named is gone. Flags of the group may also stand behind the subcommand. No flag but the
group's comes from a variable: nobody means MAZE_RATE.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from maze._daemon.options import DaemonCommand, DaemonGroup
from maze.cli._api import Head, own_url_option, url_option
from maze.cli._render import amount, echo, echo_json, echo_table, json_option, mebibytes, milliseconds

__all__ = ["limits"]

_LIMITS = ("LIMIT", "CONCURRENCY", "HELD", "RATE", "NEXT")
_PROJECTS = ("PROJECT", "WEIGHT", "SHARE", "TASKS", "CPU", "MEMORY", "GPUS")


@click.group(
    cls=DaemonGroup,
    invoke_without_command=True,
    epilog="Examples:\n  maze limits\n  maze limits set openai --rate 500/min --concurrency 20\n"
    "  maze limits project batch --weight 0.5 --tasks 100\n  maze limits rm openai",
)
@url_option
@json_option
@click.pass_context
def limits(context: click.Context, /, url: str | None, as_json: bool) -> None:
    """List, set and remove limits, and the weights and caps of projects.

    A limit bounds the tasks that name it: `@task(limits={"openai": 1})`. Projects, `run(project="batch")`, share the
    cluster by their weights.
    """
    context.obj = url, as_json
    if context.invoked_subcommand is None:
        _list(Head.find(url), as_json)


@limits.command(
    "set",
    cls=DaemonCommand,
    epilog="Examples:\n  maze limits set openai --rate 500/min --concurrency 20\n"
    "  maze limits set licence --concurrency 1",
)
@click.argument("name")
@click.option(
    "--concurrency", metavar="UNITS", type=int, allow_from_autoenv=False, help="How many may be held at once."
)
@click.option(
    "--rate", metavar="UNITS/PERIOD", allow_from_autoenv=False, help="How many may begin: 20/s, 500/min, 5/h."
)
@own_url_option
@json_option
@click.pass_context
def set_limit(
    context: click.Context, /, name: str, concurrency: int | None, rate: str | None, url: str | None, as_json: bool
) -> None:
    """Set a limit in place of what was set under its name before."""
    if concurrency is None and rate is None:
        raise click.UsageError("give --concurrency or --rate, or both")
    head, as_json = _given(context, url, as_json)
    body = head.put(_path("limits", name), _without_none(concurrency=concurrency, rate=rate))
    _tell("limit", body, _limit_words(body), as_json)


@limits.command(
    "project",
    cls=DaemonCommand,
    epilog="Examples:\n  maze limits project search --weight 2\n"
    "  maze limits project batch --weight 0.5 --cpu 16 --gpu 2 --tasks 100\n"
    "  maze limits project default --tasks 50    # runs that name no project",
)
@click.argument("name")
@click.option("--weight", type=float, default=1.0, show_default=True, allow_from_autoenv=False, help="Of its share.")
@click.option("--cpu", type=float, allow_from_autoenv=False, help="Most CPUs at once.")
@click.option("--cpu-mem", metavar="MIB", type=int, allow_from_autoenv=False, help="Most memory at once.")
@click.option("--gpu", type=float, allow_from_autoenv=False, help="Most GPUs at once.")
@click.option("--tasks", type=int, allow_from_autoenv=False, help="Most tasks at once.")
@own_url_option
@json_option
@click.pass_context
def set_project(
    context: click.Context, /, name: str, weight: float, url: str | None, as_json: bool, **cap: float | None
) -> None:
    """Set weight and cap of a project in place of what was set before."""
    head, as_json = _given(context, url, as_json)
    body = head.put(_path("projects", name), {"weight": weight, "cap": _without_none(**cap)})
    _tell("project", body, _project_words(body), as_json)


@limits.command("rm", cls=DaemonCommand, epilog="Examples:\n  maze limits rm openai\n  maze limits rm --project batch")
@click.argument("name")
@click.option("--project", is_flag=True, allow_from_autoenv=False, help="NAME is a project: weight 1 and no cap again.")
@own_url_option
@json_option
@click.pass_context
def remove(context: click.Context, /, name: str, project: bool, url: str | None, as_json: bool) -> None:
    """Remove a limit, or what is set for a project."""
    head, as_json = _given(context, url, as_json)
    kind = "project" if project else "limit"
    body = head.delete(_path(f"{kind}s", name))
    _tell(kind, body, f"removed {kind} {body['name']}", as_json)


def _given(context: click.Context, url: str | None, as_json: bool) -> tuple[Head, bool]:
    """Return the head and the form of the answer: as the subcommand was told, or else the group."""
    group_url, group_json = context.obj
    return Head.find(url or group_url), as_json or group_json


def _path(kind: str, name: str) -> str:
    if not name:
        raise click.UsageError("the name is empty")
    return f"/{kind}/{quote(name, safe='')}"


def _without_none(**given: Any) -> dict[str, Any]:
    return {key: value for key, value in given.items() if value is not None}


def _tell(kind: str, body: dict[str, Any], words: str, as_json: bool) -> None:
    if as_json:
        echo_json({kind: body})
    else:
        echo(words)


def _list(head: Head, as_json: bool) -> None:
    answer = head.get("/limits")
    if as_json:
        echo_json(answer)
        return
    if answer["limits"]:
        echo_table(_LIMITS, map(_limit_row, answer["limits"]))
    if answer["limits"] and answer["projects"]:
        echo()
    if answer["projects"]:
        echo_table(_PROJECTS, map(_project_row, answer["projects"]))
    if not (answer["limits"] or answer["projects"]):
        echo("Nothing is set; `maze limits set NAME` sets a limit, `maze limits project NAME` a weight.", err=True)


def _limit_row(limit: dict[str, Any]) -> tuple[object, ...]:
    concurrency = "" if limit["concurrency"] is None else limit["concurrency"]
    pause = milliseconds(1000 * limit["next_s"]) if limit["next_s"] else ""
    return limit["name"], concurrency, limit["held"], limit["rate"] or "", pause


def _project_row(project: dict[str, Any]) -> tuple[object, ...]:
    cap = project["cap"]
    return (
        project["name"],
        amount(project["weight"]),
        f"{project['share']:.1%}",
        _of(str(project["tasks"]), cap.get("tasks")),
        _of(amount(project["cpu"]), cap.get("cpu")),
        f"{mebibytes(project['cpu_mem'])}{_bound(cap.get('cpu_mem'), mebibytes)}",
        _of(amount(project["gpu"]), cap.get("gpu")),
    )


def _of(held: str, most: float | None) -> str:
    return held + _bound(most, amount)


def _bound(most: float | None, shown: Any) -> str:
    return "" if most is None else f" of {shown(most)}"


def _limit_words(limit: dict[str, Any]) -> str:
    concurrency = [] if limit["concurrency"] is None else [f"{limit['concurrency']} at once"]
    return f"{limit['name']}: {', '.join([*concurrency, *([limit['rate']] if limit['rate'] else [])])}"


def _project_words(project: dict[str, Any]) -> str:
    cap = ", ".join(f"{key} {amount(most)}" for key, most in project["cap"].items())
    return f"{project['name']}: weight {amount(project['weight'])}{', at most ' * bool(cap)}{cap}"
