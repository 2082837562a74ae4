"""Let tox find the interpreters that deploy/venv.sh found (pyenv keeps all but one off the PATH), and no others.

Environments are built by uv (tox-uv): seconds instead of half a minute each. It shall download no interpreter, and
trust the certificates that the machine trusts. It compiles nothing: to compile all that is installed takes six seconds
for each environment, the tests import a tenth of it, and the first process that does writes the byte code for all.
"""

import os
from pathlib import Path

_FOUND = Path(__file__).parent / ".venv" / "pythons"
os.environ["PATH"] = os.pathsep.join([str(_FOUND), os.environ.get("PATH", os.defpath)])
os.environ.setdefault("UV_PYTHON_DOWNLOADS", "never")
os.environ.setdefault("UV_NATIVE_TLS", "true")
