"""`python -m maze_node` is `maze-node`."""

from __future__ import annotations

from maze_node.cli import main

if __name__ == "__main__":
    main()
