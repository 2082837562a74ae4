"""The head never unpickles: no module of it, of the protocol or of the daemon kit could, by its own source.

What the head's process really does while pickled work goes through it, tests/integration/test_head_opaque.py watches.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path
    for part in ("head/maze_head", "protocol/maze_protocol", "maze/maze/_daemon")
    for path in (ROOT / part).rglob("*.py")
)
READERS = frozenset((
    "pickle", "_pickle", "pickletools", "cloudpickle", "dill", "joblib", "marshal", "shelve", "multiprocessing",
    "numpy",
))  # fmt: skip
"""Modules that make objects, or code, of bytes."""
RUNNERS = frozenset(("eval", "exec", "compile"))
IMPORTERS = frozenset(("__import__", "import_module", "find_spec", "run_module"))

needs_sources = pytest.mark.skipif(not SOURCES, reason="only in a checkout")


def offences(source: str) -> list[str]:
    """Return what in a source could make objects of bytes, each as `line: what`."""
    return [f"{getattr(node, 'lineno', 0)}: {what}" for node in ast.walk(ast.parse(source)) for what in _of(node)]


def _of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.partition(".")[0] in READERS)
    elif isinstance(node, ast.ImportFrom):
        names = [node.module or "", *(alias.name for alias in node.names)]
        yield from (name for name in names if name.partition(".")[0] in READERS)
    elif isinstance(node, ast.Call):
        yield from _of_call(node)
    elif isinstance(node, ast.Attribute) and node.attr in READERS:
        yield f".{node.attr}"
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and node.slice.value in READERS:
        yield f"[{node.slice.value!r}]"


def _of_call(node: ast.Call) -> Iterator[str]:
    name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
    if isinstance(node.func, ast.Name) and name in RUNNERS:
        yield f"{name}()"
    if name in IMPORTERS:
        given = [value.value for value in node.args if isinstance(value, ast.Constant)]
        yield from (f"{name}({text!r})" for text in given if str(text).partition(".")[0] in READERS)


@needs_sources
@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_of_the_head_makes_objects_of_bytes(path: Path) -> None:
    assert not offences(path.read_text())


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import os, cloudpickle.cloudpickle as c",
        "from pickle import loads",
        "from multiprocessing import reduction",
        "def f(x):\n    import marshal\n    return marshal.loads(x)",
        "import importlib\nimportlib.import_module('shelve')",
        "__import__('_pickle').loads(b'')",
        "import sys\nsys.modules['pickle'].loads(b'')",
        "import logging.handlers\nlogging.handlers.pickle.loads(b'')",
        "eval('1')",
        "exec(body)",
    ],
)
def test_each_way_to_do_it_would_be_found(source: str) -> None:
    assert offences(source)


def test_what_only_sounds_like_it_is_no_offence() -> None:
    assert not offences('KINDS = ("pickle", "source")\nimport re\nre.compile("x")\njson.loads("1")\nPICKLE = 1')
