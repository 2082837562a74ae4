"""Libraries that were loaded with one thread are told how many they may have."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="loaded libraries are found in /proc")

COUNT = """
import json, os, numpy
from maze_node.thread_pools import resize
matrix = numpy.ones((600, 600))
counts = []
for threads in (1, 3):
    resize(threads)
    matrix @ matrix
    counts.append(len(os.listdir("/proc/self/task")))
print(json.dumps(counts))
"""


def test_a_loaded_openblas_takes_the_number_that_it_is_given() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COUNT], env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == [1, 3]


def test_without_such_a_library_nothing_happens() -> None:
    code = "import sys; from maze_node.thread_pools import resize; resize(2); assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
