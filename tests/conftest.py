"""Settings for the whole suite: Hypothesis profiles, byte code for the processes that tests start, a home that is
not the developer's, and a collector of garbage that leaves the thousands of collected tests alone.

Where Python is told to write none (PYTHONDONTWRITEBYTECODE), each head that a test starts would compile all of its
sources: half of the time that it takes to be ready.
"""

from __future__ import annotations

import compileall
import gc
import os
import signal
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("wide", deadline=None, max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure(config: pytest.Config) -> None:
    """Compile the library, as pip does when it installs one, and let processes be interrupted."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell that starts this in the background says so, and all that tests start would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for part in ("maze", "maze_head", "maze_node", "maze_protocol"):
        spec = find_spec(part)
        if spec is not None and spec.origin is not None:
            compileall.compile_dir(Path(spec.origin).parent, quiet=2)


def pytest_collection_finish() -> None:
    """Spare what stays until the end anyway: going through it again and again was a twentieth of all the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let no test find the developer's own heads and tokens, nor enter its heads among them."""
    for name in ("XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        os.environ[name] = str(tmp_path_factory.mktemp(name.lower()))
