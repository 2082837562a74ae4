"""The code blocks of the API reference, read from `reference/*.rst`.

The text of each block is the reference's own, with the line breaks and the indentation that it lost restored and
nothing else touched; `INDEX.txt` proves it. One block is named by the member that it documents and by its heading.
"""

from __future__ import annotations

import hashlib
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "reference"
INDEX = FOLDER / "INDEX.txt"
_MEMBER = re.compile(r"\.\. py:\w+:: ([\w ]+)")
_HEADING = re.compile(r"\*\*(.+?):?\*\*$")
_BLOCK = re.compile(r"\.\. code-block:: (\w+)$")


@dataclass(frozen=True)
class Block:
    """One code block: `member` and `heading` name it."""

    member: str
    heading: str
    language: str
    code: str
    where: str

    @property
    def digest(self) -> str:
        """Return a hash of everything but white space."""
        return hashlib.sha256("".join(self.code.split()).encode()).hexdigest()[:16]

    def comment_after(self, marker: str) -> str:
        """Return the comment lines below the comment `# marker`, without their `#`."""
        lines = iter(self.code.splitlines())
        found = any(line.strip() == f"# {marker}" for line in lines)
        assert found, f"{self.where} has no comment {marker!r}"
        taken = []
        for line in lines:
            if not line.strip().startswith("#"):
                break
            taken.append(line.strip()[1:])
        return "\n".join(taken)

    def run(self, names: dict[str, object]) -> dict[str, object]:
        """Execute the block in `names`, as a script would; return `names`."""
        names.setdefault("__name__", "__main__")
        exec(compile(self.code, self.where, "exec"), names)
        return names

    def value(self, names: dict[str, object] | None = None) -> object:
        """Evaluate a block that is one expression; lines of `...` stand for more of the same."""
        code = "\n".join(line for line in self.code.splitlines() if line.strip() != "...")
        return eval(compile(code, self.where, "eval"), names or {})


def read(path: Path) -> Iterator[Block]:
    """Yield the blocks of one file in order."""
    member = heading = "-"
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if found := _MEMBER.match(line):
            member, heading = found[1].strip(), "-"
        elif found := _HEADING.match(line):
            heading = found[1]
        elif found := _BLOCK.match(line):
            code = _indented(lines[number + 1 :])
            yield Block(member, heading, found[1], code, f"{path.name}:{number + 2}")


def _indented(lines: list[str]) -> str:
    taken: list[str] = []
    for line in lines:
        if line and not line.startswith("    "):
            break
        taken.append(line)
    return textwrap.dedent("\n".join(taken)).strip("\n") + "\n"


BLOCKS = [block for path in sorted(FOLDER.glob("*.rst")) for block in read(path)]
BY_NAME = {(block.member, block.heading): block for block in BLOCKS}
