"""Configuration files and directories.

Order of precedence, strongest first: flag, `MAZE_*` variable, `./maze.toml` (or `[tool.maze]` of `./pyproject.toml`),
`$XDG_CONFIG_HOME/maze/config.toml`, `/etc/maze/config.toml`, built-in default. Files are merged key by key.
`MAZE_CONFIG_FILE` names one file that is read instead of all of them (`/dev/null`: none).

A file holds one table per command and, above the tables, keys that all commands share:

    log_level = "debug"
    [head]
    port = 9000
    [node]
    cpus = 8
    label = ["zone=a"]

Keys are the long flags, with `-` or `_`. An unknown table or key is an error that names the nearest known one: a typo
that is silently ignored costs its author an afternoon. Only click's layer (options.py) turns these errors into exit 2.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from maze._daemon.errors import ConfigError

__all__ = [
    "SECTIONS", "SHARED_KEYS", "config_files", "load_config", "node_dir", "own_directories", "state_dir", "user_config",
    "user_state",
]  # fmt: skip

SECTIONS: Final = ("head", "node", "up", "run")
SHARED_KEYS: Final = ("url", "state_dir", "connection_file", "log_level", "log_format", "log_file")

Source = tuple[str, dict[str, Any]]
"""Where a table was found, in words, and the table."""


def state_dir() -> Path:
    """Return where a head keeps its state: as configured, else `${XDG_STATE_HOME:-~/.local/state}/maze`."""
    named = os.environ.get("MAZE_STATE_DIR") or load_config("head").get("state_dir")
    return Path(named) if named else user_state()


def user_state() -> Path:
    """Return where this user's Maze keeps what it remembers: `${XDG_STATE_HOME:-~/.local/state}/maze`."""
    return _xdg("XDG_STATE_HOME", ".local/state") / "maze"


def user_config() -> Path:
    """Return where this user configures Maze: `${XDG_CONFIG_HOME:-~/.config}/maze`."""
    return _xdg("XDG_CONFIG_HOME", ".config") / "maze"


def node_dir() -> Path:
    """Return where a node keeps its key: as configured, else `${XDG_STATE_HOME:-~/.local/state}/maze-node`."""
    named = os.environ.get("MAZE_NODE_DIR") or load_config("node").get("node_dir")
    return Path(named) if named else _xdg("XDG_STATE_HOME", ".local/state") / "maze-node"


def own_directories() -> tuple[Path, ...]:
    """Return where what runs for this user keeps what is its own: state, tokens, keys, settings."""
    usual = user_state(), _xdg("XDG_STATE_HOME", ".local/state") / "maze-node", user_config(), Path("/etc/maze")
    return tuple(dict.fromkeys((state_dir(), node_dir(), *usual)))


def load_config(section: str, known: Collection[str] | None = None) -> dict[str, Any]:
    """Return the merged settings of one command.

    Args:
        section: one of SECTIONS.
        known: the command's option names (with `_`); other keys of its table are errors. None accepts any key.

    Raises:
        ConfigError: a file is unreadable, is no TOML, or has an unknown table or key.
    """
    merged: dict[str, Any] = {}
    for where, table in reversed(list(config_files())):
        merged |= _settings(where, table, section, known)
    return merged


def config_files() -> Iterator[Source]:
    """Yield the configuration tables that exist, strongest first."""
    only = os.environ.get("MAZE_CONFIG_FILE")
    if only:
        yield only, _named(Path(only))
        return
    local = _read(Path("maze.toml"))
    if local is not None:
        yield "maze.toml", local
    else:
        project = (_read(Path("pyproject.toml")) or {}).get("tool", {}).get("maze")
        if project is not None:
            yield "pyproject.toml [tool.maze]", project
    for path in (user_config() / "config.toml", Path("/etc/maze/config.toml")):
        table = _read(path)
        if table is not None:
            yield str(path), table


def _named(path: Path) -> dict[str, Any]:
    table = _read(path)
    if table is None:
        raise ConfigError(f"{path}: no such file (named by MAZE_CONFIG_FILE)")
    return table


def _xdg(variable: str, fallback: str) -> Path:
    named = os.environ.get(variable, "")
    # The XDG specification: a relative path is invalid and must be ignored.
    return Path(named) if named.startswith("/") else Path.home() / fallback


def _read(path: Path) -> dict[str, Any] | None:
    try:
        text = path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    import tomllib  # most machines have no such file, and commands start at once

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from error


def _settings(where: str, table: dict[str, Any], section: str, known: Collection[str] | None) -> dict[str, Any]:
    """Check a whole file, and return what it says to one command."""
    tables = {_name(key): value for key, value in table.items()}
    _refuse_unknown(where, tables, (*SECTIONS, *SHARED_KEYS))
    own = tables.get(section, {})
    if not isinstance(own, dict):
        raise ConfigError(f"{where}: [{section}] must be a table, not {type(own).__name__}")
    settings = {_name(key): value for key, value in own.items()}
    if known is not None:
        _refuse_unknown(f"{where} [{section}]", settings, known)
    shared = {key: tables[key] for key in SHARED_KEYS if key in tables and (known is None or key in known)}
    return shared | settings


def _refuse_unknown(where: str, keys: Collection[str], known: Collection[str]) -> None:
    for key in keys:
        if key not in known:
            nearest = get_close_matches(key, sorted(known), n=1)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(sorted(known))}"
            raise ConfigError(f"{where}: unknown key {key!r}; {hint}")


def _name(key: str) -> str:
    return key.replace("-", "_")
