"""A survey of Python's own standard library: every module is parsed, in parallel, and measured.

    maze run examples/stdlib_survey.py [REPORT]

The modules are dealt into batches, a task parses each batch with `ast`, one more task merges what they found. The table
is printed and written to REPORT (default: stdlib_survey.txt).
"""

import sys
import sysconfig
from pathlib import Path

from maze import MaClient, task

BATCHES = 16
ROWS = 12


@task(inputs=["root", "paths"], outputs=["modules", "unreadable"])
def measure(params):
    """Parse modules, and count what is in each."""
    import ast
    import tokenize
    from pathlib import Path

    blocks = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.AsyncFor, ast.AsyncWith, ast.Match)

    def opens_level(parent, node):
        # `elif` is an `if` within the `else` of another one, but nobody reads it as one level deeper.
        is_elif = isinstance(parent, ast.If) and parent.orelse == [node]
        return isinstance(node, blocks) and not is_elif

    def levels(node):
        """Return how deep compound statements are nested within a function."""
        return max((levels(child) + opens_level(node, child) for child in ast.iter_child_nodes(node)), default=0)

    modules, unreadable = [], []
    for name in params["paths"]:
        try:
            with tokenize.open(Path(params["root"]) / name) as file:
                source = file.read()
            tree = ast.parse(source, name)
        except (SyntaxError, ValueError):
            unreadable.append(name)  # the library's own tests keep broken files on purpose
            continue
        nodes = list(ast.walk(tree))
        functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        depth, deepest, line = max(((levels(each), each.name, each.lineno) for each in functions), default=(0, "", 0))
        modules.append(
            {
                "name": name,
                "lines": source.count("\n"),
                "functions": len(functions),
                "classes": sum(isinstance(node, ast.ClassDef) for node in nodes),
                "nodes": len(nodes),
                "depth": depth,
                "deepest": f"{deepest}, line {line}",
            }
        )
    return {"modules": modules, "unreadable": unreadable}


@task(inputs=["batches", "unreadable", "rows"], outputs=["totals", "largest", "deepest"], data_types={"rows": "int"})
def merge(params):
    """Bring the batches together and pick what the report shows."""
    modules = [module for batch in params["batches"] for module in batch]
    totals = {key: sum(module[key] for module in modules) for key in ("lines", "functions", "classes", "nodes")}
    totals["modules"] = len(modules)
    totals["unreadable"] = sum(len(names) for names in params["unreadable"])

    def top(key):
        return sorted(modules, key=lambda module: (-module[key], module["name"]))[: params["rows"]]

    return {"totals": totals, "largest": top("lines"), "deepest": top("depth")}


def find_modules(root):
    """Return the library's Python files, without installed packages and without its tests."""
    skipped = {"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
    found = (path.relative_to(root) for path in root.rglob("*.py"))
    return sorted(str(path) for path in found if not skipped.intersection(path.parts))


def report(totals, largest, deepest):
    """Return the tables as text."""
    title = f"The standard library of Python {sys.version.split()[0]}"
    lines = [title, "=" * len(title), ""]
    lines += [f"{totals[key]:>12,}  {key}" for key in ("modules", "lines", "functions", "classes", "nodes")]
    if totals["unreadable"]:
        lines.append(f"{totals['unreadable']:>12,}  modules that cannot be parsed")
    lines += ["", "Largest modules", f"{'lines':>8} {'functions':>10} {'classes':>8}  module"]
    lines += [f"{m['lines']:>8,} {m['functions']:>10,} {m['classes']:>8,}  {m['name']}" for m in largest]
    lines += ["", "Deepest functions", f"{'levels':>8}  function"]
    lines += [f"{m['depth']:>8}  {m['name']}: {m['deepest']}" for m in deepest]
    return "\n".join(lines) + "\n"


def main():
    output = Path(sys.argv[1] if len(sys.argv) > 1 else "stdlib_survey.txt")
    root = Path(sysconfig.get_path("stdlib"))
    paths = find_modules(root)

    workflow = MaClient().create_workflow()
    # Dealt like cards, so that no batch gets all the large packages.
    batches = [
        workflow.add_task(measure, inputs={"root": str(root), "paths": paths[n::BATCHES]}, task_name=f"batch {n + 1}")
        for n in range(BATCHES)
    ]
    merged = workflow.add_task(
        merge,
        inputs={
            "batches": [batch.outputs["modules"] for batch in batches],
            "unreadable": [batch.outputs["unreadable"] for batch in batches],
            "rows": ROWS,
        },
    )

    print(f"Parsing {len(paths)} modules in {BATCHES} tasks …")
    run_id = workflow.run()
    # show_results() would print every batch in full; here only the merged result is of interest.
    messages = workflow.get_results(run_id, verbose=False)
    failures = [message["data"]["result"] for message in messages if message["type"] == "task_exception"]
    if failures:
        return f"the survey failed:\n{failures[0]}"
    text = report(**workflow.get_task_result(run_id, merged.task_id)["result"])
    output.write_text(text, encoding="utf-8")
    print(f"\n{text}\nWritten to {output}")
    return None


if __name__ == "__main__":
    sys.exit(main())
