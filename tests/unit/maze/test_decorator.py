"""`@task`: every rule of a declaration, each named by its error at decoration."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Any

import pytest

from maze._decorator import get_task_metadata, task
from maze.errors import DeclarationError, DeclarationTypeError, InvalidTaskError
from maze_protocol.policy import NO_POLICY, Policy
from maze_protocol.terms import NO_TERMS, Terms


def good(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": params["x"]}


def declare(**changes: Any) -> Callable[..., Any]:
    return task(**{"inputs": ["x"], "outputs": ["y"], **changes})(good)


def test_a_decorated_function_is_the_function_itself() -> None:
    decorated = declare()
    assert decorated is good
    assert decorated({"x": 3}) == {"y": 3}


def test_metadata_is_filled_in_as_the_reference_shows() -> None:
    metadata = get_task_metadata(declare(resources={"gpu_mem": 4096}, data_types={"x": "int"}))
    assert (metadata.func_name, metadata.inputs, metadata.outputs) == ("good", ("x",), ("y",))
    assert metadata.resources == {"cpu": 1, "cpu_mem": 0, "gpu": 1, "gpu_mem": 4096}
    assert metadata.declared_resources == {"gpu_mem": 4096}
    assert metadata.data_types == {"x": "int", "y": "str"}
    assert metadata.declared_types == {"x": "int"}


def test_a_task_that_says_nothing_of_its_attempts_has_one_without_a_limit() -> None:
    assert get_task_metadata(declare()).policy == NO_POLICY
    declared = declare(retries=2, retry_backoff=0.1, retry_on=[OSError, "Timeout"], timeout=9, idle_timeout=3)
    assert get_task_metadata(declared).policy == Policy(2, 0.1, ("builtins.OSError", "Timeout"), 9.0, 3.0)
    assert get_task_metadata(declare(at_most_once=True)).policy.at_most_once


def test_a_task_that_says_nothing_of_its_place_may_run_anywhere() -> None:
    assert get_task_metadata(declare()).terms == NO_TERMS
    declared = declare(require={"zone": "a"}, prefer="ssd", limits={"openai": 2}, apart="replica")
    assert get_task_metadata(declared).terms == Terms((("zone", "a"),), (("ssd", ""),), (("openai", 2),), "replica")
    assert get_task_metadata(declare(nodes=4)).terms == Terms(nodes=4)


def test_fractions_of_a_cpu_are_kept_and_none_becomes_one() -> None:
    assert get_task_metadata(declare(resources={"cpu": 0.5})).resources["cpu"] == 0.5
    assert get_task_metadata(declare(resources={"cpu": 0})).resources["cpu"] == 1
    assert get_task_metadata(declare(resources={"cpu": -1})).resources["cpu"] == 1


def test_no_inputs_are_fine() -> None:
    assert get_task_metadata(declare(inputs=[])).inputs == ()


@pytest.mark.parametrize(
    ("changes", "kind", "told"),
    [
        ({"inputs": "text"}, DeclarationTypeError, r"inputs=\['text'\]"),
        ({"outputs": "y"}, DeclarationTypeError, "list of names"),
        ({"inputs": {"x": 1}}, DeclarationTypeError, "not dict"),
        ({"inputs": None}, DeclarationTypeError, "not NoneType"),
        ({"inputs": [1]}, DeclarationTypeError, "strings"),
        ({"inputs": ["x", "x"]}, DeclarationError, "'x' twice"),
        ({"inputs": [""]}, DeclarationError, "1 to 256"),
        ({"inputs": ["a\nb"]}, DeclarationError, "control"),
        ({"resources": [1]}, DeclarationTypeError, "dict"),
        ({"resources": {"cpus": 1}}, DeclarationError, "'cpus'.*cpu, cpu_mem"),
        ({"resources": {"cpu": "1"}}, DeclarationTypeError, "number"),
        ({"resources": {"cpu": True}}, DeclarationTypeError, "bool"),
        ({"resources": {"gpu": -1}}, DeclarationError, "negative"),
        ({"resources": {"cpu_mem": float("nan")}}, DeclarationError, "range"),
        ({"resources": {"gpu": 1.5}}, DeclarationError, "whole"),
        ({"data_types": ["x"]}, DeclarationTypeError, "dict"),
        ({"data_types": {"z": "int"}}, DeclarationError, "'z'"),
        ({"data_types": {"x": "integer"}}, DeclarationError, "str, int, float"),
        ({"data_types": {"x": int}}, DeclarationError, "as strings"),
        ({"retries": "3"}, DeclarationTypeError, "whole number"),
        ({"timeout": 0}, DeclarationError, "more than 0 seconds"),
        ({"at_most_once": True, "retries": 1}, DeclarationError, "forbids retries"),
    ],
)
def test_wrong_declarations_are_told(changes: dict[str, Any], kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told):
        declare(**changes)


def generator(params: Any) -> Any:
    yield {}


async def async_generator(params: Any) -> Any:
    yield {}


def no_argument() -> Any: ...


def two_arguments(a: Any, b: Any) -> Any: ...


def keyword_needed(params: Any, *, size: int) -> Any: ...


class Callable_:
    def __call__(self, params: Any) -> Any: ...


@pytest.mark.parametrize(
    ("func", "told"),
    [
        (generator, "generator"),
        (async_generator, "generator"),
        (no_argument, "single argument"),
        (two_arguments, r"def two_arguments\(params\)"),
        (keyword_needed, "single argument"),
        (Callable_, "is a class"),
        (Callable_(), "not Callable_"),
        (functools.partial(good), "not partial"),
        (staticmethod(good), "below it"),
        (len, "not builtin_function"),
        (None, "NoneType"),
    ],
)
def test_what_cannot_be_a_task_is_told(func: Any, told: str) -> None:
    with pytest.raises(DeclarationTypeError, match=told):
        task(inputs=[], outputs=["y"])(func)


def test_other_shapes_of_functions_are_fine() -> None:
    declared = task(inputs=[], outputs=["y"])

    @declared
    def with_default(params: Any, size: int = 3) -> dict[str, int]:
        return {"y": size}

    @declared
    def catch_all(*args: Any, **kwargs: Any) -> dict[str, int]:
        return {"y": len(args)}

    @declared
    async def slow(params: Any) -> dict[str, int]:
        return {"y": 1}

    assert declared(lambda params: {"y": 5})({}) == {"y": 5}
    assert (with_default({}), catch_all({})) == ({"y": 3}, {"y": 1})
    assert asyncio.run(slow({})) == {"y": 1}


def test_a_function_that_is_no_task_is_told() -> None:
    with pytest.raises(InvalidTaskError, match="Function len is not decorated with @task"):
        get_task_metadata(len)
    with pytest.raises(ValueError, match="int"):
        get_task_metadata(3)  # type: ignore[arg-type]  # what a user might pass
