"""The family of the SDK's errors."""

from __future__ import annotations

import copy
import pickle

import pytest

from maze import errors
from maze.errors import MazeError

FAMILY = [kind for name in errors.__all__ if issubclass(kind := getattr(errors, name), MazeError)]


@pytest.mark.parametrize("kind", FAMILY)
def test_every_error_is_a_maze_error_that_reads_well_and_survives_pickling(kind: type[MazeError]) -> None:
    error = kind("what happened", code="a_code")
    error.hint, error.task_id = "do that", "task_1"
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert isinstance(twin, MazeError)
        assert str(twin) == "what happened\n  hint: do that"
        assert (twin.code, twin.task_id) == ("a_code", "task_1")


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.UnknownRunError, ValueError),
        (errors.UnknownOutputError, KeyError),
        (errors.MissingDependencyError, ImportError),
        (errors.DeclarationError, ValueError),
        (errors.DeclarationTypeError, TypeError),
        (errors.InputTypeError, TypeError),
        (errors.CycleError, ValueError),
        (errors.HeadUnavailableError, ConnectionError),
        (errors.InfeasibleWarning, UserWarning),
    ],
)
def test_errors_are_also_what_the_reference_documents(kind: type[Exception], builtin: type[Exception]) -> None:
    assert issubclass(kind, builtin)


def test_an_unknown_output_prints_as_a_sentence_and_not_as_a_key() -> None:
    assert str(errors.UnknownOutputError("no output 'zz'")) == "no output 'zz'"


def test_all_names_everything_there_is() -> None:
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, (MazeError, Warning))
    }
    assert defined == set(errors.__all__)
