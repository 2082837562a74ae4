"""Logging of the daemons: one handler on stderr (or a rotated file), as text for people or JSON for machines.

Rules. Only daemons call `setup_logging`; the SDK never touches the host program's logging. Facts go into `extra`
(`run_id`, `task_id`, `node_id`, …), not into the message, so that both formats carry them the same way:

    log.warning("node lost", extra={"node_id": node_id, "silent_s": 9.0})

Whatever a message, a fact or an exception quotes, a record stays one line, or one and indented ones below it: nothing
that a client says can look like a record of its own.
Secrets are never logged, at any level.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import Any, Final, TextIO

from maze_protocol.shown import quoted, shown

__all__ = ["setup_logging"]

_OURS: Final = ("maze", "maze_head", "maze_node", "maze_protocol")
_ROTATE_BYTES: Final = 10 * 2**20
_ROTATE_FILES: Final = 5

# What every LogRecord has; anything else came from `extra`.
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def setup_logging(
    level: str = "info", fmt: str = "text", stream: TextIO | None = None, file: Path | None = None
) -> None:
    """Send our loggers, and the warnings of libraries, to stderr or to a file that is rotated at 10 MiB.

    Args:
        level: `debug`, `info`, `warning` or `error`, for our own loggers.
        fmt: `text` or `json`.
        stream: instead of stderr.
        file: instead of a stream.
    """
    handler = _file_handler(file) if file is not None else logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if fmt == "json" else TextFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    for name in _OURS:
        logging.getLogger(name).setLevel(level.upper())


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.123Z INFO  maze_head.driver: run sealed run_id=run_…`."""

    def format(self, record: logging.LogRecord) -> str:
        facts = "".join(f" {key}={quoted(str(value))}" for key, value in _extra(record).items())
        line = f"{_time(record)} {record.levelname:<5} {record.name}: {shown(record.getMessage())}{facts}"
        return "\n".join([line, *(f"  {shown(each)}" for each in _trouble(self, record).splitlines())])


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, the extra fields, `exception` if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        body: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        # The four fixed fields win over an extra field of the same name.
        body |= {key: value for key, value in _extra(record).items() if key not in body}
        trouble = _trouble(self, record)
        if trouble:
            body["exception"] = trouble
        return json.dumps(body, default=str)


def _file_handler(file: Path) -> logging.Handler:
    from logging.handlers import RotatingFileHandler  # only daemons that log into a file pay for it

    file.parent.mkdir(parents=True, exist_ok=True)
    return RotatingFileHandler(file, maxBytes=_ROTATE_BYTES, backupCount=_ROTATE_FILES, encoding="utf-8", delay=True)


def _time(record: logging.LogRecord) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _trouble(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    parts = []
    if record.exc_info:
        parts.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        parts.append(formatter.formatStack(record.stack_info))
    return "\n".join(parts)
