"""`python watched_head.py NOTES PYTHON -m maze_head …`: a real head whose process notes each class that it unpickles.

An audit hook cannot be taken out again, and `pickle.find_class` is raised by the C and the Python unpickler alike. That
it fires here is proven twice in this very process, before the head begins and after it has ended. NOTES gets a line for
each event: `begin` and `end` around the life of the head, else what was found.
"""

from __future__ import annotations

import pickle
import runpy
import sys
from fractions import Fraction


def watch(path: str) -> None:
    """Note everything that is unpickled from now on, and each import of a library that is there for it."""
    notes = open(path, "a", buffering=1)  # noqa: SIM115 -- for the life of the process

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event == "pickle.find_class":
            print("unpickled", *arguments, file=notes)
        elif event == "import" and str(arguments[0]).partition(".")[0] in ("cloudpickle", "dill"):
            print("imported", arguments[0], file=notes)
        elif event == "maze.test":
            print(*arguments, file=notes)

    sys.addaudithook(hook)


def prove() -> None:
    """Do what the head must never do."""
    assert pickle.loads(pickle.dumps(Fraction(1, 2))) == Fraction(1, 2)


def main() -> None:
    """Run the head under watch."""
    watch(sys.argv[1])
    module, arguments = sys.argv[4], sys.argv[5:]
    prove()
    sys.audit("maze.test", "begin")
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        sys.audit("maze.test", "end")
        prove()


if __name__ == "__main__":
    main()
