"""What an attempt changed is put back; run in a child, since it is about a whole process."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(body: str) -> str:
    code = "import os, signal, sys, threading, subprocess\nfrom maze_node.surroundings import Surroundings\n" + body
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("change", "look"),
    [
        ("os.chdir('/')", "os.getcwd()"),
        ("d = __import__('tempfile').mkdtemp(); os.chdir(d); os.rmdir(d)", "os.getcwd()"),
        ("os.environ['NEW'] = '1'; os.environ.pop('PATH', None)", "sorted(os.environ.items())"),
        ("os.umask(0o777)", "(os.umask(0), os.umask(0))[0]"),
        ("signal.signal(signal.SIGUSR1, lambda *a: None)", "signal.getsignal(signal.SIGUSR1)"),
        ("signal.alarm(100)", "signal.getitimer(signal.ITIMER_REAL)"),
        ("sys.stderr = None", "sys.stderr is None"),
        ("os.close(2)", "bool(os.fstat(2))"),
        ("os.dup2(os.open('/dev/null', 1), 2)", "os.fstat(2).st_ino"),
        ("os.close(s._spare_output); os.dup2(os.open('/dev/null', 1), 2)", "os.fstat(2).st_ino"),
        ("os.closerange(3, 60); os.chdir('/')", "os.getcwd()"),
        ("os.closerange(3, 5000); os.chdir('/')", "os.getcwd()"),
    ],
)
def test_everything_is_as_before(change: str, look: str) -> None:
    body = f"before = {look}\nos.umask(0o022)\ns = Surroundings()\n{change}\nleft = s.restore()\n"
    if "umask" in look:
        body = f"os.umask(0o027); s = Surroundings()\n{change}\nleft = s.restore()\nprint(oct({look}), left)"
        assert run(body).split() == ["0o27"]
        return
    assert run(body + f"print(before == ({look}), left == '')").split() == ["True", "True"]


def test_threads_and_children_are_told() -> None:
    assert "1 threads still run" in run(
        "s = Surroundings()\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\nprint(s.restore())"
    )
    text = run(
        "s = Surroundings()\np = subprocess.Popen(['sleep', '60'])\nprint(s.restore())\np.kill()\np.wait()\n"
        "print(s.restore() or 'clean')"
    )
    assert text.split("\n")[:2] == ["child processes still run", "clean"]


def test_a_thread_that_has_ended_is_none() -> None:
    body = """
s = Surroundings()
thread = threading.Thread(target=print)
thread.start()
thread.join()
print(s.restore() == "")
"""
    assert run(body).split() == ["True"]


def test_dead_children_are_buried_and_told() -> None:
    body = """
s = Surroundings()
pid = os.posix_spawn("/bin/true", ["true"], {})
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
print(s.restore() == "", s.reaped, s.restore() == "", s.reaped)
"""
    assert run(body).split() == ["True", "True", "True", "False"]


def test_output_of_a_closed_stream_does_no_harm() -> None:
    assert run("s = Surroundings()\nsys.stdout.close()\nsys.stdout = 5\ns.restore()\nos.write(1, b'fine')") == "fine"


def test_an_attempts_variables_replace_those_of_the_one_before_and_survive_nothing_else() -> None:
    body = """
s = Surroundings()
always = (b"MAZE_RUN_ID", b"MAZE_TASK_ID", b"MAZE_ATTEMPT", b"MAZE_LEASE")
s.enter(dict(zip(always, (b"run", b"one", b"1", b"7"))))
print(os.environ["MAZE_TASK_ID"], end=" ")
os.environ["MAZE_ATTEMPT"] = "forged"
os.environ["LEFT"] = "1"
s.restore()
s.enter(dict(zip(always, (b"run", b"two", b"2", b"8"))))
s.restore()
print(os.environ["MAZE_RUN_ID"], os.environ["MAZE_TASK_ID"], os.environ["MAZE_ATTEMPT"], os.environ["MAZE_LEASE"])
print("LEFT" in os.environ)
"""
    assert run(body).split() == ["one", "run", "two", "2", "8", "False"]


def test_variables_that_the_next_attempt_is_not_given_are_gone() -> None:
    body = """
s = Surroundings()
for number, more in (b"1", {"MAZE_GANG_SIZE": "2"}), (b"2", {}), (b"3", {}):
    s.enter({b"MAZE_RUN_ID": b"r", b"MAZE_TASK_ID": b"t", b"MAZE_ATTEMPT": number, b"MAZE_LEASE": b"7"}, more)
    print(os.environ["MAZE_ATTEMPT"], os.environ.get("MAZE_GANG_SIZE"))
    os.environ.pop("MAZE_GANG_SIZE", None)
    s.restore()
"""
    assert run(body).split() == ["1", "2", "2", "None", "3", "None"]
