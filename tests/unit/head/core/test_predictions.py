"""Predictions stand still, and are renewed when they are off and enough has ended."""

from __future__ import annotations

from maze_head.core.observed import CPU, Observed
from maze_head.core.predictions import DRIFT, KEPT, PATIENCE, Predictions

F, G = b"f", b"g"


def end(predictions: Predictions, times: int = 1, crowd: int = 1) -> list[bool]:
    return [predictions.note_end(F, CPU, crowd) for _ in range(times)]


def test_a_prediction_stands_until_it_is_renewed() -> None:
    observed = Observed()
    predictions = Predictions(observed)
    assert predictions.seconds(F, CPU) == 3.0
    observed.note(F, CPU, 1.0)
    assert predictions.seconds(F, CPU) == 3.0
    assert end(predictions, PATIENCE) == [False] * (PATIENCE - 1) + [True]
    assert predictions.generation == 1
    assert predictions.seconds(F, CPU) == 1.0


def test_what_is_nearly_right_is_not_renewed() -> None:
    observed = Observed()
    observed.note(F, CPU, 1.0)
    predictions = Predictions(observed)
    predictions.seconds(F, CPU)
    observed.note(F, CPU, 1.0 + 2 * DRIFT - 0.01)
    observed.jct *= 1 + DRIFT - 0.01
    assert not any(end(predictions, 10 * PATIENCE))
    observed.jct *= 1.02
    assert end(predictions) == [True]
    assert predictions.jct == observed.jct


def test_nobody_is_renewed_for_functions_that_nobody_asked_about() -> None:
    observed = Observed()
    predictions = Predictions(observed)
    predictions.seconds(G, CPU)
    observed.note(F, CPU, 100.0)
    assert not any(end(predictions, 10 * PATIENCE))


def test_the_larger_the_crowd_the_more_must_end_first() -> None:
    observed = Observed()
    predictions = Predictions(observed)
    predictions.seconds(F, CPU)
    observed.note(F, CPU, 1.0)
    assert end(predictions, 500, crowd=500) == [False] * 499 + [True]
    assert not any(end(predictions, 500, crowd=500)), "it is right now"


def test_functions_that_are_gone_are_forgotten() -> None:
    predictions = Predictions(Observed())
    for number in range(KEPT + 1):
        predictions.seconds(number.to_bytes(4, "big"), CPU)
    assert any(end(predictions, PATIENCE))
