"""`maze run`: whose head it uses, whose exit code it gives, and that it leaves nothing behind, however it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress

import pytest

from maze._daemon.processes import DEFAULT_PORTS
from support.cluster import start_cluster, wait_until
from support.commands import MAZE, Mark

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what is left is looked up in /proc")

DOUBLE = """
import os, sys
from maze import MaClient, task

@task(inputs=["x"], outputs=["y"])
def double(params):
    return {"y": params["x"] * 2}

client = MaClient()
workflow = client.create_workflow()
last = workflow.add_task(double, inputs={"x": int(sys.argv[1])})
run_id = workflow.run()
workflow.get_results(run_id, verbose=False)
print(os.environ["MAZE_URL"], workflow.get_task_result(run_id, last.task_id)["result"]["y"], sys.argv[1:])
"""

# Tells on stdout when its task runs, and then has all the time in the world.
ENDLESS = """
import sys, time
from maze import MaClient, task

@task(inputs=["file"], outputs=["y"])
def wait(params):
    import threading
    open(params["file"], "w").close()
    threading.Event().wait()

client = MaClient()
workflow = client.create_workflow()
workflow.add_task(wait, inputs={"file": sys.argv[1]})
run_id = workflow.run()
print("submitted", flush=True)
workflow.get_results(run_id, verbose=False)
"""


@pytest.fixture
def mark(tmp_path):
    place = Mark(tmp_path)
    yield place
    place.end()


@pytest.fixture(scope="module")
def cluster():
    """A head with a node, for what does not depend on whose they are."""
    with start_cluster() as running:
        yield running


@pytest.fixture
def url(cluster):
    return cluster.url


def test_with_no_head_it_brings_its_own(mark):
    done = mark.run("run", mark.script(DOUBLE), "21", "--flag", "-x")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(" 42 ['21', '--flag', '-x']\n")
    assert not (mark.home / "state").exists()
    mark.wait_empty()


def occupied(busy: socket.socket) -> bool:
    """Listen on one of the default ports, if nobody else does."""
    try:
        busy.bind(("127.0.0.1", DEFAULT_PORTS[2]))
    except OSError:
        return False
    busy.listen()
    return True


def test_busy_default_ports_are_left_alone(mark):
    with socket.socket() as busy:
        # Another test's own head may have it for a moment; whoever has it for long keeps it busy for us.
        with suppress(AssertionError):
            wait_until(lambda: occupied(busy), "the port")
        done = mark.run("run", mark.script(DOUBLE), "1")
    url = done.stdout.split()[0]
    assert int(url.rpartition(":")[2]) not in DEFAULT_PORTS
    assert done.returncode == 0


def test_a_head_with_a_node_is_used(mark, cluster):
    done = mark.run("run", mark.script(DOUBLE), "2", MAZE_URL=cluster.url)
    assert done.stdout == f"{cluster.url} 4 ['2']\n"
    done = mark.run("run", mark.script(DOUBLE), "3", MAZE_CONNECTION_FILE=str(cluster.connection_file))
    assert done.stdout == f"{cluster.url} 6 ['3']\n"
    done = mark.run("run", "--embedded", mark.script(DOUBLE), "4", MAZE_URL=cluster.url)
    assert done.stdout.endswith(" 8 ['4']\n")
    assert cluster.url not in done.stdout
    assert len(cluster.get("/api/v1/runs")["runs"]) == 2


def test_a_head_without_a_node_counts_as_absent(mark):
    with start_cluster(nodes=0) as cluster:
        done = mark.run("run", mark.script(DOUBLE), "2", MAZE_URL=cluster.url)
    assert done.returncode == 0
    assert cluster.url not in done.stdout
    assert "no ready node; starting one for this script" in done.stderr


def test_a_head_that_is_gone_counts_as_absent(mark):
    done = mark.run("run", mark.script(DOUBLE), "2", MAZE_URL="http://127.0.0.1:1")
    assert done.returncode == 0
    assert "no head answers at http://127.0.0.1:1; starting one" in done.stderr


def test_declared_devices(mark):
    script = mark.script("""
from maze import MaClient, task

@task(inputs=[], outputs=["seen"], resources={"gpu": 1, "gpu_mem": 8000})
def look(params):
    import os
    return {"seen": os.environ["CUDA_VISIBLE_DEVICES"]}

workflow = MaClient().create_workflow()
look = workflow.add_task(look)
result = workflow.show_results(workflow.run())
print("seen", result["task_results"][look.task_id]["seen"])
""")
    done = mark.run("run", "--gpus", "1", "--gpu-mem", "9000", script)
    assert "seen 0\n" in done.stdout


@pytest.mark.parametrize(
    ("code", "status"),
    [("raise SystemExit(7)", 7), ("1 / 0", 1), ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137)],
)
def test_the_exit_code_is_the_scripts(mark, url, code, status):
    assert mark.run("run", mark.script(code), MAZE_URL=url).returncode == status


def test_an_own_cluster_ends_with_a_failing_script(mark):
    assert mark.run("run", mark.script("raise SystemExit(7)")).returncode == 7
    mark.wait_empty()


def test_the_script_is_run_as_python_would(mark, url):
    mark.script("VALUE = 5", "beside.py")
    code = "import sys, beside; print(__name__, __file__, sys.argv, sys.path[0], beside.VALUE, sys.stdin.read())"
    path = mark.script(code)
    done = mark.run("run", path, "a b", "--help", MAZE_URL=url)
    assert done.stdout == f"__main__ {path} {[path, 'a b', '--help']} {mark.home} 5 \n"


def test_an_absent_script_is_a_usage_error(mark):
    done = mark.run("run", "absent.py")
    assert done.returncode == 2
    assert "'absent.py' does not exist" in done.stderr


def test_a_configuration_for_another_cluster_does_not_reach_the_own_one(mark):
    (mark.home / "maze.toml").write_text('[head]\nhost = "0.0.0.0"\n[node]\nhead = "tcp://127.0.0.1:1"\n')
    environment = {"MAZE_CONFIG_FILE": str(mark.home / "maze.toml"), "MAZE_HEAD": "tcp://127.0.0.1:1"}
    done = mark.run("run", mark.script(DOUBLE), "4", **environment)
    assert done.stdout.endswith(" 8 ['4']\n")


@pytest.fixture
def endless(mark):
    """A `maze run` whose task is running."""
    file = mark.home / "running"
    process = mark.start("run", mark.script(ENDLESS), str(file))
    assert process.stdout.readline() == "submitted\n"
    wait_until(file.exists, "a running task")
    assert any("maze_node.spawner" in line for line in mark.alive().values())
    yield process
    process.kill()
    process.communicate()


def test_ctrl_c_ends_everything_with_130(mark, endless):
    os.killpg(endless.pid, signal.SIGINT)
    assert endless.wait(15) == 130
    mark.wait_empty()


def test_ctrl_c_in_a_terminal_reaches_the_script_once(mark, url):
    ioctl = "fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
    own_terminal = f"import fcntl, os, sys, termios; os.setsid(); {ioctl}; os.execv(sys.argv[1], sys.argv[1:])"
    count = "import signal, time\nseen = []\nsignal.signal(signal.SIGINT, lambda *_: seen.append(1))"
    # The pause gives a second signal, if there were one, time to come.
    wait = "print('up', flush=True)\nwhile not seen: time.sleep(0.01)\ntime.sleep(0.3)\nraise SystemExit(4 + len(seen))"
    script = mark.script(f"{count}\n{wait}")
    keyboard, terminal = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", own_terminal, *MAZE, "run", script], cwd=mark.home, env=mark.environment(MAZE_URL=url),
        stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(terminal)
    assert process.stdout.readline() == "up\n"
    os.write(keyboard, b"\x03")
    out, error = process.communicate(timeout=20)
    os.close(keyboard)
    assert (process.returncode, out) == (5, ""), error
    mark.wait_empty()


def test_a_signal_to_maze_run_alone_is_handed_on(mark, endless):
    endless.send_signal(signal.SIGINT)
    assert endless.wait(15) == 130
    mark.wait_empty()


def test_sigterm_ends_everything(mark, endless):
    endless.send_signal(signal.SIGTERM)
    assert endless.wait(15) == 143
    mark.wait_empty()


def test_kill_9_ends_everything_all_the_same(mark, endless):
    endless.kill()
    endless.wait()
    mark.wait_empty()


def test_the_death_of_its_node_is_told_and_ends_the_script(mark, endless):
    node = next(pid for pid, line in mark.alive().items() if " -m maze_node " in line)
    os.kill(node, signal.SIGKILL)
    assert endless.wait(15) == 1
    assert "its node-1 ended (SIGKILL), so the script cannot go on" in endless.stderr.read()
    mark.wait_empty()


def test_a_script_that_ignores_signals_loses_at_the_third(mark, url):
    refuse = "import signal\nsignal.signal(signal.SIGTERM, lambda *_: print('no', flush=True))"
    code = f"{refuse}\nprint('up', flush=True)\nwhile True: signal.pause()"
    process = mark.start("run", mark.script(code), MAZE_URL=url)
    for answer in ("up\n", "no\n", "no\n"):
        assert process.stdout.readline() == answer
        process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 137
    process.communicate()
    mark.wait_empty()
