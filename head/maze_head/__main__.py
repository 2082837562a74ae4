"""`python -m maze_head`: the command, without needing the script on PATH."""

from maze_head.cli import main

if __name__ == "__main__":
    main()
