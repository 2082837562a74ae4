"""Variables in memory of our own, as C code and children see them; in a child, since the memory stays in use."""

from __future__ import annotations

import subprocess
import sys


def run(body: str) -> list[str]:
    code = "import ctypes, os, subprocess\nfrom maze_node.variables import Variables\n" + body
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


LOOK = """
getenv = ctypes.CDLL(None).getenv
getenv.restype = ctypes.c_char_p
def look():
    child = subprocess.run(["/bin/sh", "-c", "echo $ONE,$TWO"], capture_output=True, text=True).stdout.strip()
    print(os.environ.get("ONE", "-"), (getenv(b"ONE") or b"-").decode(), child)
"""


def test_python_c_and_children_see_the_same() -> None:
    body = """
variables = Variables([b"ONE", b"TWO"])
look()
for values in ((b"first", b"2"), (b"x", b"22"), (b"y" * 64, b""), (b"z", b"3")):
    variables.set(dict(zip((b"ONE", b"TWO"), values)))
    look()
"""
    y = "y" * 64
    assert run(LOOK + body) == [
        "-", "-", ",", "first", "first", "first,2", "x", "x", "x,22", y, y, f"{y},", "z", "z", "z,3",
    ]  # fmt: skip


def test_what_was_taken_out_of_the_environment_can_be_put_back() -> None:
    body = """
variables = Variables([b"ONE", b"TWO"])
variables.install()
look()
variables.set({b"ONE": b"1", b"TWO": b"2"})
os.environ.clear()
look()
os.environ["ONE"] = "forged"
variables.install()
look()
variables.set({b"ONE": b"2", b"TWO": b"3"})
look()
"""
    assert run(LOOK + body) == ["-", "-", ",", "-", "-", ",", "1", "1", "1,2", "2", "2", "2,3"]


def test_a_worker_does_not_grow_with_what_variables_ever_were() -> None:
    body = """
import resource
variables = Variables([b"ONE"])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for number in range(200_000):
    variables.set({b"ONE": b"%064d" % number})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2048)
"""
    assert run(body) == ["True"]
