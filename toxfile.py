"""Let tox find the interpreters that deploy/venv.sh found (pyenv keeps all but one off the PATH), and no others.

Environments are built by uv (tox-uv): seconds instead of half a minute each. It shall download no interpreter, trust
the certificates that the machine trusts, and compile what it installs: the tests start hundreds of processes.
"""

import os
from pathlib import Path

_FOUND = Path(__file__).parent / ".venv" / "pythons"
os.environ["PATH"] = os.pathsep.join([str(_FOUND), os.environ.get("PATH", os.defpath)])
os.environ.setdefault("UV_PYTHON_DOWNLOADS", "never")
os.environ.setdefault("UV_NATIVE_TLS", "true")
os.environ.setdefault("UV_COMPILE_BYTECODE", "1")
