"""Schemathesis over the head's own description, with a token and without: no answer may be 500 or worse.

501 is the stated answer of the original's routes that Maze does not have.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CHECKS = "not_a_server_error,content_type_conformance"
"""Bodies are held against their schemas by integration/test_api_schemas.py."""
NOT_SERVED = r"^/(.*_langgraph_task|get_head_ray_port|start_worker|.*_llm_instance)"
"""Routes whose stated answer is 501."""


def schemathesis(
    url: str, headers: dict[str, str], seconds: int, seed: int, *, stranger: bool = False
) -> dict[str, Any]:
    """Ask a head everything that its description allows, and much that it does not; a stranger shows no token."""
    if find_spec("schemathesis") is None:
        return {"skipped": "schemathesis is not installed (pip install 'maze-cluster[fuzz]')"}
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", f"--url={url}", f"--checks={CHECKS}",
        f"--max-time={max(1, seconds)}", f"--seed={seed}", f"--exclude-path-regex={NOT_SERVED}", "--no-color",
        "--phases=coverage,fuzzing", "--continue-on-failure", "--generation-database=none", "--request-timeout=70",
        "--warnings=off", "--suppress-health-check=all",
    ]  # fmt: skip
    for name, value in () if stranger else headers.items():
        command.append(f"--header={name}: {value}")
    with tempfile.TemporaryDirectory() as folder:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/openapi.json", headers=headers)) as answer:
            Path(folder, "openapi.json").write_bytes(answer.read())
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, cwd=folder)
    lines = [line.strip() for line in done.stdout.splitlines()]
    failures = list(dict.fromkeys(line for line in lines if line.startswith("- "))) if done.returncode else []
    findings: list[dict[str, Any]] = [{"what": line} for line in failures]
    if done.returncode and not findings:
        findings.append({"what": f"ended with {done.returncode}", "error": (done.stdout + done.stderr)[-1_500:]})
    return {
        "summary": [line for line in lines if line.endswith("generated") or "passed" in line or "tested" in line][-8:],
        "findings": findings[:20], "findings_total": len(findings),
        "story": json.dumps(done.stdout[-6_000:]) if findings else "",
    }  # fmt: skip
