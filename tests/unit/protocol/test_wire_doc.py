"""docs/wire.md says what the code does: its tables are compared with what the code would write."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from maze_protocol.framing import decode_frames
from maze_protocol.messages import MESSAGES
from maze_protocol.moves import HEAD_MOVES, NODE_MOVES, Moves, Trigger

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "wire.md").read_text() if (DOCS / "wire.md").exists() else ""

pytestmark = pytest.mark.skipif(not PAGE, reason="only in a checkout")


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("wire_tables", DOCS / "wire_tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_those_of_the_code(writer: ModuleType) -> None:
    assert writer.rewrite(PAGE) == PAGE, "run: python docs/wire_tables.py"
    assert all(f"<!-- table {name} -->" in PAGE for name in writer.tables())


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_every_message_has_a_section_with_every_field(kind: type) -> None:
    section = PAGE.split(f"\n#### {kind.__name__}\n")[1].split("\n#### ")[0]
    assert [name for name in kind.__struct_fields__ if f"| `{name}` |" not in section] == []


@pytest.mark.parametrize(("name", "moves"), [("node_moves", NODE_MOVES), ("head_moves", HEAD_MOVES)])
def test_the_printed_moves_are_the_tables_of_the_machines(name: str, moves: Moves) -> None:
    """Read the printed table back, so that the writer's own mistakes show too."""
    lines = PAGE.split(f"<!-- table {name} -->")[1].split("<!-- end -->")[0].strip().splitlines()
    states = [cell.strip() for cell in lines[0].split("|")[2:-1]]
    printed = {}
    for line in lines[2:]:
        trigger, *cells = [cell.strip() for cell in line.split("|")[1:-1]]
        printed |= {(state, trigger): cell for state, cell in zip(states, cells, strict=True) if cell}
    real = {(state.name, trigger.value): to.name for state, row in moves.items() for trigger, to in row.items()}
    assert printed == real
    assert {trigger for _, trigger in printed} <= {trigger.value for trigger in Trigger}


def test_every_reason_to_refuse_frames_is_listed() -> None:
    source = Path(decode_frames.__code__.co_filename).read_text()
    codes = {piece.split('"')[1] for piece in source.split("return ")[1:] if piece.startswith('"')}
    codes |= {piece.split('"')[1] for piece in source.replace("(\n", "(").split("raise ")[1:] if '("' in piece[:30]}
    assert codes >= {"frame_count", "magic", "checksum"}
    assert [code for code in codes if f"`{code}`" not in PAGE] == []
