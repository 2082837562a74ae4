"""README and docs tell the truth: their Python runs, their commands exist, their links lead somewhere.

The ```python blocks of one page run in order, in one namespace, against the cluster, as by a reader who types along.
A block that cannot run is preceded by `<!-- no-test: reason -->`. In ```console blocks, lines that begin with `$ ` are
commands: ours must know the subcommand and every option that is shown.
"""

from __future__ import annotations

import configparser
import os
import re
import shlex
from dataclasses import dataclass
from functools import cache
from itertools import dropwhile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from maze.cli import maze
from maze_head.cli import command as head
from maze_node.cli import node

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = {"maze": maze, "maze-head": head, "maze-node": node}
_FENCE = re.compile(
    r"^(?:<!-- no-test: (?P<reason>.+?) -->\n\s*)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S
)
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


@dataclass(frozen=True)
class Fence:
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    code: str
    reason: str | None


@cache
def fences(page: Path, language: str) -> list[Fence]:
    """Return the blocks of a page in a language, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Fence(page, text.count("\n", 0, found.start("code")) + 1, found["language"], found["code"], found["reason"])
        for found in _FENCE.finditer(text)
        if found["language"] == language
    ]


def pages_with(language: str) -> list[Any]:
    return [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES if fences(page, language)]


@pytest.mark.parametrize("page", pages_with("python"))
def test_the_python_of_a_page_runs(page: Path, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    for fence in fences(page, "python"):
        if fence.reason is None:
            exec(compile("\n" * (fence.line - 1) + fence.code, str(page), "exec"), names)
    if "client" in names:
        names["client"].close()


def test_a_block_is_left_out_only_with_a_reason() -> None:
    left_out = [fence for page in PAGES for fence in fences(page, "python") if fence.reason is not None]
    assert all(len(fence.reason or "") > 10 for fence in left_out)
    assert not [page for page in PAGES if "no-test" in page.read_text() and not any(f.page == page for f in left_out)]


def console_commands() -> list[Any]:
    return [
        pytest.param(page, command, id=f"{page.name}: {command.splitlines()[0]}")
        for page in PAGES
        for fence in fences(page, "console")
        for command in commands_of(fence.code)
    ]


def commands_of(code: str) -> list[str]:
    """Return what stands behind `$ `; a quotation or a backslash may go on over several lines."""
    commands: list[str] = []
    for line in code.splitlines():
        if line.startswith("$ "):
            commands.append(line[2:])
        elif commands and _is_open(commands[-1]):
            commands[-1] += "\n" + line
    return commands


def _is_open(command: str) -> bool:
    try:
        shlex.split(command)
    except ValueError:
        return True
    return command.endswith("\\")


@pytest.fixture(scope="session")
def help_pages() -> dict[tuple[str, ...], str]:
    """Help texts by command, each asked for once."""
    return {}


@pytest.mark.parametrize(("page", "line"), console_commands())
def test_a_shown_command_exists(page: Path, line: str, help_pages: dict[tuple[str, ...], str]) -> None:
    for command in line.split(" && "):
        words = list(dropwhile(_is_setting, shlex.split(command)))
        name = Path(words[0]).name
        if name in COMMANDS:
            _check_ours(name, words[1:], help_pages)
        elif name == "sh":
            assert os.access(ROOT / words[1], os.R_OK)
        elif name == "tox":
            _check_tox(words[1:])
        elif name == "python":
            script = (ROOT / words[1]).read_text()
            assert all(f'"{flag}"' in script for flag in words[2:] if flag.startswith("--"))
        else:
            assert name in {"curl", "pip", "pytest", "export"}, f"{page.name} shows {name!r}, which nobody checks"


def _is_setting(word: str) -> bool:
    """Tell a variable for the command, `NAME=value`, from the command."""
    return word.partition("=")[0].isupper() and "=" in word


def _check_ours(name: str, words: list[str], help_pages: dict[tuple[str, ...], str]) -> None:
    subcommand = tuple(words[:1]) if words and not words[0].startswith("-") else ()
    _ask_help((name, *subcommand), help_pages)
    below = help_pages[name, *subcommand].partition("\nCommands:\n")[2].splitlines()
    if subcommand and any(line.split()[:1] == words[1:2] for line in below if line.strip()):
        subcommand = tuple(words[:2])
    key = _ask_help((name, *subcommand), help_pages)
    rest = words[len(subcommand) :]
    if subcommand == ("run",):
        script = next((number for number, word in enumerate(rest) if word.endswith(".py")), len(rest))
        assert rest[script].startswith("examples/") is False or (ROOT / rest[script]).exists()
        rest = rest[:script]
    for option in [word.partition("=")[0] for word in rest if word.startswith("-")]:
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", help_pages[key]), f"{key} has no {option}"


def _ask_help(key: tuple[str, ...], help_pages: dict[tuple[str, ...], str]) -> tuple[str, ...]:
    if key not in help_pages:
        done = CliRunner().invoke(COMMANDS[key[0]], [*key[1:], "--help"], prog_name=key[0])
        assert done.exit_code == 0, done.output
        help_pages[key] = done.output
    return key


def _check_tox(words: list[str]) -> None:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "tox.ini")
    if "-m" in words:
        assert words[words.index("-m") + 1] in settings["tox"]["labels"]
    if "-e" in words:
        assert words[words.index("-e") + 1] in (ROOT / "tox.ini").read_text()


@pytest.mark.parametrize("page", [pytest.param(page, id=str(page.relative_to(ROOT))) for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    missing = [link for link in _LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not missing


def test_readme_begins_with_the_two_commands() -> None:
    first = fences(ROOT / "README.md", "console")[0]
    assert first.code.splitlines() == [
        "$ sh deploy/venv.sh && .venv/bin/maze run examples/stdlib_survey.py",
        "$ sh deploy/venv.sh test && .venv/bin/tox",
    ]
    assert first.line < 25
