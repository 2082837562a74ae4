"""deploy/venv.sh with stand-ins for every tool it may call: which Python it picks, and the order of its ways out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "deploy" / "venv.sh"

# Answers `-c` as a Python of that version; makes environments, unless told that it cannot; pretends to install.
PYTHON = """#!/bin/sh
echo "$0 $*" | head -n 1 >>"$CALLS"
case "$1" in
    --version) echo "Python {version}.1"; exit ;;
    -c) shift; code=$1; shift
        exec "{real}" -c "import sys; sys.version_info = tuple(map(int, '{version}'.split('.'))) + (1, 'final', 0)
$code" "$@" ;;
    -m) [ "$2" = pip ] && {{ [ "$3" = --version ] || {maze}; exit 0; }}
        [ "$2" = venv ] || exit 1
        {venv} ;;
esac
"""
MAKE = 'mkdir -p .venv/bin && cp "$ENVPYTHON" .venv/bin/python'
FAIL = "mkdir -p .venv/half; exit 1"
INSTALL = "printf '#!/bin/sh\\n' >.venv/bin/maze && chmod +x .venv/bin/maze"


class Machine:
    """A directory with a checkout and a PATH of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.checkout = root / "checkout"
        self.calls = root / "calls"
        (self.checkout / "deploy").mkdir(parents=True)
        self.bin.mkdir()
        self.calls.touch()
        shutil.copy(SCRIPT, self.checkout / "deploy")
        (self.checkout / "pyproject.toml").write_text("[project]\n")
        for tool in ("sh", "cat", "cksum", "dirname", "rm", "mkdir", "cp", "chmod", "head", "id"):
            (self.bin / tool).symlink_to(shutil.which(tool))
        self.env_python = self.script(root / "envpython", self.python_text("3.12", venv="exit 1"))

    def python_text(self, version: str, venv: str) -> str:
        return PYTHON.format(version=version, real=sys.executable, venv=venv, maze=INSTALL)

    def python(self, name: str, version: str, venv: str = MAKE) -> None:
        self.script(self.bin / name, self.python_text(version, venv))

    def tool(self, name: str, body: str) -> None:
        self.script(self.bin / name, f'#!/bin/sh\necho "{name} $*" >>"$CALLS"\n{body}\n')

    def script(self, path: Path, text: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": str(self.bin), "HOME": str(self.root), "CALLS": str(self.calls), "ENVPYTHON": str(self.env_python),
        }  # fmt: skip
        command = ["sh", "checkout/deploy/venv.sh", *arguments]
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)

    def called(self, text: str) -> bool:
        return text in self.calls.read_text()


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_the_newest_python_that_works_is_taken(machine):
    machine.script(machine.bin / "python3.13", "#!/bin/sh\necho 'pyenv: python3.13: command not found' >&2\nexit 127\n")
    machine.python("python3.12", "3.12")
    machine.python("python3.11", "3.11")
    done = machine.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert "making .venv with Python 3.12.1" in done.stdout
    assert machine.called("pip install --quiet --disable-pip-version-check --editable .\n")
    assert (machine.checkout / ".venv/bin/maze").exists()


def test_repeating_it_does_nothing(machine):
    machine.python("python3", "3.12")
    machine.run()
    machine.calls.write_text("")
    done = machine.run()
    assert done.stdout == "maze: ready; try: .venv/bin/maze run examples/quickstart.py\n"
    assert not machine.called("install")


def test_a_changed_project_is_installed_again(machine):
    machine.python("python3", "3.12")
    machine.run()
    machine.calls.write_text("")
    (machine.checkout / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    machine.run()
    assert machine.called("pip install")


@pytest.mark.parametrize("tool", ["uv", "virtualenv"])
def test_other_tools_step_in_where_venv_fails(machine, tool):
    machine.python("python3", "3.11", venv=FAIL)
    machine.tool(tool, f"[ ! -e .venv ] && {MAKE}")
    done = machine.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.called(f"{tool} ")


def test_as_root_the_system_package_is_the_last_way(machine):
    machine.python("python3", "3.12", venv=f"[ -e ../installed ] && {MAKE}")
    machine.tool("apt-get", 'case "$*" in *install*python3.12-venv) : >../installed ;; esac')
    (machine.bin / "id").unlink()
    machine.tool("id", "echo 0")
    done = machine.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.called("apt-get -qq install -y python3.12-venv")


def test_without_any_way_the_line_to_type_is_shown(machine):
    machine.python("python3", "3.12", venv=FAIL)
    (machine.bin / "id").unlink()
    machine.tool("id", "echo 1000")
    machine.tool("apt-get", "exit 1")
    done = machine.run("test")
    assert done.returncode == 1
    assert "type: sudo apt-get install -y python3-venv && sh deploy/venv.sh test" in done.stderr
    assert not (machine.checkout / ".venv").exists()
    assert not machine.called("apt-get")


def test_an_old_python_is_none(machine):
    machine.python("python3", "3.10")
    done = machine.run()
    assert done.returncode == 1
    assert "no Python 3.11 or newer on PATH; type: " in done.stderr


def test_a_python_of_pyenv_is_better_than_none(machine):
    machine.script(machine.root / ".pyenv/versions/3.12.4/bin/python3", machine.python_text("3.12", venv=MAKE))
    assert machine.run().returncode == 0


def test_tests_find_all_pythons(machine):
    machine.python("python3", "3.12")
    machine.script(machine.root / ".pyenv/versions/3.13.0/bin/python3", machine.python_text("3.13", venv=MAKE))
    done = machine.run("test")
    assert done.returncode == 0
    assert "ready for tests on python3.12 python3.13;" in done.stdout
    assert machine.called("--editable .[dev]\n")
    names = sorted(os.listdir(machine.checkout / ".venv/pythons"))
    assert names == ["python3.12", "python3.13"]


def test_an_environment_that_broke_is_made_anew(machine):
    machine.python("python3", "3.12")
    machine.run()
    (machine.checkout / ".venv/bin/python").unlink()
    done = machine.run()
    assert "making .venv" in done.stdout
    assert done.returncode == 0


def test_unknown_words_are_a_usage_error(machine):
    done = machine.run("tests")
    assert (done.returncode, done.stderr) == (2, "usage: sh deploy/venv.sh [test]\n")
