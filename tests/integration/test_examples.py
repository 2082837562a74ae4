"""Every example, run as its docstring says, with its answer checked; nothing is left afterwards."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from support.commands import Mark

EXAMPLES = Path(__file__).parents[2] / "examples"
EXPECTED = {
    "quickstart.py": "Final output: HELLO HELLO\n",
    "chain.py": "one    3\nway    3\nmaze   2\n",
    "fan_out.py": "4203 primes below 40000; the largest is 39989\n",
    "diamond.py": "mean 100.4, standard deviation 14.9\n",
    "multi_stage.py": "south  no result\n",
    "retries.py": "The total is 6.\n",
    "stdlib_survey.py": "Written to report.txt\n",
}


@pytest.fixture(scope="module")
def mark(tmp_path_factory):
    place = Mark(tmp_path_factory.mktemp("examples"))
    yield place
    place.end()


@pytest.fixture(scope="module")
def ran(mark):
    """Run an example as its docstring says, once for all tests that look at it."""

    @cache
    def run(name: str) -> CompletedProcess[str]:
        return mark.run("run", str(EXAMPLES / name), *(["report.txt"] if name == "stdlib_survey.py" else []))

    return run


def test_no_example_is_forgotten():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example(mark, ran, name):
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert f"maze run examples/{name}" in text.partition('"""')[2].partition('"""')[0]
    done = ran(name)
    assert (done.returncode, done.stderr) == (0, "")
    assert EXPECTED[name] in done.stdout
    mark.wait_empty()


def test_the_failing_branch_is_told_with_its_cause(ran):
    done = ran("multi_stage.py")
    assert "error: ZeroDivisionError: division by zero" in done.stdout
    assert "1 of 12 tasks failed" in done.stdout


def test_retries_are_told(ran):
    done = ran("retries.py")
    assert "after ConnectionError: the line is busy (attempt 2 of 4)\n" in done.stdout
    assert "after ConnectionError: the line is busy (attempt 3 of 4)\n" in done.stdout
    assert done.stdout.count("Task failed") == done.stdout.count("Result reused") == 1


def test_the_survey_writes_what_it_prints(mark, ran):
    assert ran("stdlib_survey.py").returncode == 0
    report = (mark.home / "report.txt").read_text(encoding="utf-8")
    assert report.startswith("The standard library of Python 3.")
    counts = {name: int(count.replace(",", "")) for count, name in re.findall(r"^ +([\d,]+)  (\w+)$", report, re.M)}
    assert counts["modules"] > 400
    assert counts["lines"] > 200_000
    assert "_pydecimal.py" in report
