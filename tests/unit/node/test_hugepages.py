"""What workers are told of huge pages, and the programs that tasks start are not."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from maze_node.hugepages import TUNABLES, asked_for, forget


def test_the_word_of_the_user_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = {TUNABLES: "glibc.malloc.arena_max=2", "A": "b"}
    assert asked_for(theirs) == theirs
    monkeypatch.setenv(TUNABLES, theirs[TUNABLES])
    forget()
    assert os.environ[TUNABLES] == theirs[TUNABLES]


def test_a_program_starts_with_the_word_and_can_forget_it() -> None:
    code = "import os, maze_node.hugepages as h; b = bytes(1 << 24); h.forget(); print(h.TUNABLES in os.environ)"
    environ = asked_for(dict(os.environ))
    assert TUNABLES in environ
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_what_one_attempt_gave_back_is_there_for_the_next_one() -> None:
    code = """
import resource
def use():
    return len([bytes(100_000) for _ in range(20)])
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    use()
before = faults()
for _ in range(200):
    use()
print(faults() - before)
"""
    environ = asked_for({name: word for name, word in os.environ.items() if name != TUNABLES})
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100, "the end of the heap was given back and taken anew for each"
