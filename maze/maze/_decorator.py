"""`@task`: what a function declares about itself. Standard library only; nothing is pickled or sent here.

The decorator returns the very function it got, with one attribute, so that a task stays callable with a dict and
works in a REPL, in `python -c`, in notebooks and in closures (its source is never read). Every rule of a
declaration is checked here and named in the error, rather than on a machine far away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any, Final, TypeVar

from maze._policy import declare_policy
from maze._terms import declare_terms
from maze.errors import DeclarationError, DeclarationTypeError, InvalidTaskError
from maze_protocol.declare import DATA_TYPES, check_name, normalise_resources
from maze_protocol.policy import NO_POLICY, Policy
from maze_protocol.terms import NO_TERMS, Terms

__all__ = ["TaskMetadata", "check_data_types", "check_names", "check_resources", "get_task_metadata", "task"]

TaskFunction = TypeVar("TaskFunction", bound=Callable[..., Any])
ExceptionName = type[BaseException] | str
RetryOn = ExceptionName | Sequence[ExceptionName]
Labels = Mapping[str, str | None] | Sequence[str]
"""A dictionary, or names whose value does not matter; a text is one name."""
Limits = Mapping[str, int] | Sequence[str]
"""Units by name, or names for one unit of each; a text is one name."""

_ATTRIBUTE: Final = "__maze_task__"
# The values of inspect.CO_*: importing `inspect` would double the time of `import maze`.
_VARARGS, _GENERATOR, _ASYNC_GENERATOR = 0x04, 0x20, 0x200


@dataclass(frozen=True, slots=True)
class TaskMetadata:
    """What a decorated function declares.

    Attributes:
        func_name: name of the function.
        inputs: names of the inputs, in order.
        outputs: names of the outputs, in order.
        resources: all four amounts as the reference shows them, defaults filled in.
        data_types: a type for every input and output; `"str"` where none was declared.
        declared_resources: the amounts as written; what the head gets.
        declared_types: the types as written; only these are checked.
        policy: how often and for how long the task is tried.
        terms: where the task may run, and what it shares with others.
        input_names: the names of the inputs, to compare with what is given.
        keep: whether large outputs stay although other tasks use them.
    """

    func_name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    resources: dict[str, int | float]
    data_types: dict[str, str]
    declared_resources: dict[str, int | float]
    declared_types: dict[str, str]
    policy: Policy = NO_POLICY
    terms: Terms = NO_TERMS
    input_names: frozenset[str] = frozenset()
    keep: bool = False
    sandbox: bool = False


def task(  # noqa: PLR0913 -- four of the reference, six on how it is tried, five on where it runs, two flags
    inputs: Sequence[str],
    outputs: Sequence[str],
    resources: Mapping[str, int | float] | None = None,
    data_types: Mapping[str, str] | None = None,
    *,
    retries: int = 0,
    retry_backoff: float = 0.5,
    retry_on: RetryOn | None = None,
    timeout: float | None = None,
    idle_timeout: float | None = None,
    at_most_once: bool = False,
    require: Labels | None = None,
    prefer: Labels | None = None,
    limits: Limits | None = None,
    apart: str | None = None,
    nodes: int = 1,
    keep: bool = False,
    sandbox: bool = False,
) -> Callable[[TaskFunction], TaskFunction]:
    """Declare a function as a task.

    Args:
        inputs: names of the inputs, the keys of the dictionary that the function gets.
        outputs: names of the outputs, keys that the returned dictionary must have.
        resources: any of `cpu` (cores), `cpu_mem` (MiB), `gpu` (devices), `gpu_mem` (MiB); the rest gets its default.
        data_types: types of inputs and outputs: str, int, float, bool, list, dict, any, file or file:image.
        retries: how often the task is tried again after an error of its own.
        retry_backoff: seconds; the pause before retry n is drawn from 0 to
            retry_backoff * 2**(n - 1), at most 30 or retry_backoff.
        retry_on: exception classes, or names of such, after which to try again, subclasses included; None for any.
        timeout: seconds that one attempt may take; None for no limit.
        idle_timeout: seconds that one attempt may go without printing anything; None for no limit.
        at_most_once: never start the task a second time, whatever happens to its worker or node; it fails instead.
        require: labels that the node must have, `{"zone": "a"}`; a name alone means any value.
        prefer: labels that the node should have, if that costs no waiting.
        limits: named limits of the cluster, and how many units the task takes of each while it runs, `{"openai": 1}`;
            a name alone means one.
        apart: a word; tasks of one run with the same word never share a node.
        nodes: how many nodes the task takes, each with all it asks for; its code runs on the first.
        keep: large outputs stay as long as the run, although other tasks use them; those that no task uses always do.
        sandbox: shut the task in: a process of its own, a fresh directory, a clean environment, limits, and no network
            where the node can cut it off.

    Returns:
        A decorator that returns the function itself: it stays callable with a dictionary.

    Raises:
        DeclarationTypeError: a `TypeError`: wrong type of a declaration, or not a plain function of one argument.
        DeclarationError: a `ValueError`: duplicate, empty or undeclared names, impossible amounts, unknown types,
            options that exclude each other.
    """
    tries = {"retries": retries, "retry_backoff": retry_backoff, "retry_on": retry_on}
    times = {"timeout": timeout, "idle_timeout": idle_timeout, "at_most_once": at_most_once}
    policy = declare_policy({**tries, **times})
    terms = declare_terms({"require": require, "prefer": prefer, "limits": limits, "apart": apart, "nodes": nodes})
    flags = check_flag("keep", keep), check_flag("sandbox", sandbox)
    names_in = check_names(inputs, "inputs")
    names_out = check_names(outputs, "outputs")
    explicit = check_data_types(data_types, (*names_in, *names_out))
    declared, shown = check_resources(resources)

    def decorate(func: TaskFunction) -> TaskFunction:
        _check_function(func)
        all_types = {name: explicit.get(name, "str") for name in (*names_in, *names_out)}
        described = names_in, names_out, shown, all_types, declared, explicit, policy, terms
        metadata = TaskMetadata(func.__name__, *described, frozenset(names_in), *flags)
        setattr(func, _ATTRIBUTE, metadata)
        return func

    return decorate


def get_task_metadata(func: Callable[..., Any]) -> TaskMetadata:
    """Return what a decorated function declares.

    Raises:
        InvalidTaskError: a `ValueError`: the function is not decorated with `@task`.
    """
    metadata = getattr(func, _ATTRIBUTE, None)
    if not isinstance(metadata, TaskMetadata):
        name = getattr(func, "__name__", type(func).__name__)
        raise InvalidTaskError(
            f"Function {name} is not decorated with @task",
            hint=f'put @task(inputs=[...], outputs=[...]) above "{name}"',
        )
    return metadata


def check_flag(name: str, value: bool) -> bool:
    """Return an option that is on or off.

    Raises:
        DeclarationTypeError: neither True nor False.
    """
    if not isinstance(value, bool):
        raise DeclarationTypeError(f"{name} must be True or False, not {type(value).__name__}")
    return value


def check_names(names: Sequence[str], what: str) -> tuple[str, ...]:
    """Return declared parameter names as a tuple.

    Raises:
        DeclarationTypeError: not a list of strings.
        DeclarationError: an empty, overlong, unprintable or repeated name.
    """
    if isinstance(names, str):
        raise DeclarationTypeError(f"{what} must be a list of names, not a string: write {what}=[{names!r}]")
    if not isinstance(names, (list, tuple)):
        raise DeclarationTypeError(f"{what} must be a list of names, not {type(names).__name__}")
    for name in names:
        if not isinstance(name, str):
            raise DeclarationTypeError(f"{what} must hold strings, got {name!r} ({type(name).__name__})")
        _check_printable(name, what)
        if names.count(name) > 1:
            raise DeclarationError(f"{what} names {name!r} twice")
    return tuple(names)


def _check_printable(name: str, what: str) -> None:
    try:
        check_name(name, f"a name in {what}")
    except ValueError as error:
        raise DeclarationError(str(error)) from None


def check_data_types(data_types: Mapping[str, str] | None, names: Sequence[str]) -> dict[str, str]:
    """Return the explicit data types as a dict of their own.

    Raises:
        DeclarationTypeError: not a dictionary.
        DeclarationError: an unknown type, or a name that is neither input nor output.
    """
    if data_types is None:
        return {}
    if not isinstance(data_types, Mapping):
        raise DeclarationTypeError(f"data_types must be a dict, not {type(data_types).__name__}")
    for name, kind in data_types.items():
        if name not in names:
            raise DeclarationError(f"data_types names {name!r}, which is neither an input nor an output of the task")
        if kind not in DATA_TYPES:
            raise DeclarationError(f"data_types[{name!r}] = {kind!r}: allowed are {', '.join(DATA_TYPES)} (as strings)")
    return dict(data_types)


def check_resources(
    resources: Mapping[str, int | float] | None,
) -> tuple[dict[str, int | float], dict[str, int | float]]:
    """Return resources as declared and as shown (defaults filled in).

    Raises:
        DeclarationTypeError: not a dictionary of numbers.
        DeclarationError: an unknown key or an impossible amount.
    """
    try:
        shown = normalise_resources(resources).shown
    except TypeError as error:
        raise DeclarationTypeError(str(error)) from None
    except ValueError as error:
        raise DeclarationError(str(error)) from None
    return dict(resources or {}), shown


def _check_function(func: object) -> None:
    if isinstance(func, type):
        raise DeclarationTypeError(f"@task decorates functions; {func.__name__} is a class")
    if not isinstance(func, FunctionType):
        raise DeclarationTypeError(
            f"@task decorates functions made by `def`, not {type(func).__name__}"
            + (" (put @task below it)" if isinstance(func, (staticmethod, classmethod)) else "")
        )
    code = func.__code__
    if code.co_flags & (_GENERATOR | _ASYNC_GENERATOR):
        raise DeclarationTypeError(f"task {func.__name__} is a generator; a task returns one dictionary")
    if not _takes_one_argument(code, func):
        raise DeclarationTypeError(
            f"task {func.__name__} must accept a single argument, the dictionary of its inputs: "
            f"write def {func.__name__}(params)"
        )


def _takes_one_argument(code: CodeType, func: FunctionType) -> bool:
    optional = len(func.__defaults__ or ())
    required_keywords = code.co_kwonlyargcount - len(func.__kwdefaults__ or {})
    accepts = code.co_argcount >= 1 or bool(code.co_flags & _VARARGS)
    return accepts and code.co_argcount - optional <= 1 and required_keywords == 0
