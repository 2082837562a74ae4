"""From the body of a function to the function: `pickle` bodies of the SDK, `source` text of the original's wire.

Rules
* A pickle of another Python minor version is refused before anything is unpickled: it would load, and then crash.
* Source runs whole, in a module of its own; the task is its first function. `@task` lines are removed from it: they
  declare what the head already knows, and their import may be missing from the text.
"""

from __future__ import annotations

import ast
import linecache
import sys
import textwrap
import types
from collections.abc import Callable
from typing import Any

from maze._values import ValueDecodeError, load_function
from maze_node.errors import TaskFault
from maze_node.frames import CodeBody
from maze_node.tracebacks import describe

__all__ = ["load_code"]

TaskFunction = Callable[..., Any]
INSTALL_HINT = "it must be installed on the node that runs the task"


def load_code(code: CodeBody, digest: bytes) -> TaskFunction:
    """Return the function.

    Raises:
        TaskFault: python_mismatch or bad_code, with the reason.
    """
    if code.kind == "pickle":
        return _load_pickle(code)
    if code.kind == "source":
        return _load_source(code, digest)
    raise TaskFault("bad_code", "UnknownCodeKind", f"this node cannot load code of kind {code.kind!r}")


def _load_pickle(code: CodeBody) -> TaskFunction:
    here = sys.version_info[:2]
    if tuple(code.python) != here:
        there = ".".join(map(str, code.python))
        raise TaskFault(
            "python_mismatch",
            "PythonMismatch",
            f"the function was pickled by Python {there}, this node's workers are Python {here[0]}.{here[1]}",
        )
    try:
        return load_function(code.body)
    except ValueDecodeError as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError):
            message = f"{cause} ({INSTALL_HINT})"
            raise TaskFault("bad_code", type(cause).__name__, message) from error
        raise TaskFault("bad_code", "FunctionLoadError", f"cannot load the function: {error.reason}") from error


def _load_source(code: CodeBody, digest: bytes) -> TaskFunction:
    filename = f"<task {code.name or digest.hex()[:8]}>"
    try:
        text = textwrap.dedent(code.body.decode())
        tree = ast.parse(text, filename)
    except (SyntaxError, ValueError) as error:
        raise TaskFault("bad_code", *describe(error)) from error
    function = _first_function(tree)
    # Without this, tracebacks would show line numbers only.
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    module = types.ModuleType(f"maze_task_{digest.hex()[:16]}")
    sys.modules[module.__name__] = module
    try:
        exec(compile(tree, filename, "exec"), vars(module))  # noqa: S102 -- running the user's code is what workers are for
    except BaseException as error:
        raise TaskFault("bad_code", *describe(error)) from error
    found: TaskFunction = vars(module)[function.name]
    return found


def _first_function(tree: ast.Module) -> ast.FunctionDef | ast.AsyncFunctionDef:
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.decorator_list = [each for each in node.decorator_list if not _is_task_decorator(each)]
            return node
    raise TaskFault("bad_code", "NoFunction", "the source text defines no function")


def _is_task_decorator(node: ast.expr) -> bool:
    target = node.func if isinstance(node, ast.Call) else node
    name = target.attr if isinstance(target, ast.Attribute) else target.id if isinstance(target, ast.Name) else ""
    return name == "task"
