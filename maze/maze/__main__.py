"""`python -m maze` is the `maze` command."""

from maze.cli import main

if __name__ == "__main__":
    main()
