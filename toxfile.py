"""Let tox find the interpreters that deploy/venv.sh linked (pyenv keeps all but one off the PATH)."""

import os
from pathlib import Path

_LINKS = Path(__file__).parent / ".venv" / "pythons"
os.environ["PATH"] = os.pathsep.join([str(_LINKS), os.environ.get("PATH", os.defpath)])
