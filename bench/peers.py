"""Make the environments of the systems that Maze is compared with: `python bench/peers.py [ray] [dask]`.

They go to .bench/, which git ignores, each with its own interpreter and the packages of PyPI named here.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

__all__ = ["interpreter"]

ROOT = Path(__file__).resolve().parents[1] / ".bench"
PACKAGES = {"ray": ["ray==2.60.0", "numpy", "psutil"], "dask": ["distributed==2026.8.0", "numpy", "psutil"]}


def interpreter(system: str) -> str:
    """Return the interpreter that runs a system.

    Raises:
        SystemExit: its environment has not been made.
    """
    if system not in PACKAGES:
        return sys.executable
    found = ROOT / system / "bin/python"
    if not found.exists():
        raise SystemExit(f"{system} is not there yet: python bench/peers.py {system}")
    return str(found)


def main() -> None:
    """Make what is asked for, or all."""
    for system in sys.argv[1:] or PACKAGES:
        venv.create(ROOT / system, with_pip=True)
        subprocess.run([str(ROOT / system / "bin/pip"), "install", "--quiet", *PACKAGES[system]], check=True)


if __name__ == "__main__":
    main()
