"""Fuzzers of what reads bytes, in this process: the wire's decoder and the parser of HTTP bodies.

Hypothesis runs the properties of tests/property with new seeds until the time is over. Atheris, where it is installed,
lets libFuzzer look for bytes that reach new branches; it takes the process with it, so it gets one of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import HealthCheck, seed, settings

EXAMPLES = 200
# Before the properties are made: each takes the profile of that moment, under pytest that of conftest.py.
if settings().deadline is not None:
    settings.register_profile(
        "fuzz", max_examples=EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    settings.load_profile("fuzz")

from property import test_api_bodies, test_renderings, test_wire_hostile  # noqa: E402 -- as said above

HERE = Path(__file__).resolve()
PROPERTIES: list[Callable[[], None]] = [
    test_wire_hostile.test_soup_is_refused,
    test_wire_hostile.test_every_truncation_is_refused,
    test_wire_hostile.test_mutations_are_refused_or_read,
    test_wire_hostile.test_frames_of_any_kind_are_refused_or_read,
    test_wire_hostile.test_a_flipped_bit_is_noticed_by_the_checksum,
    test_api_bodies.test_json_of_any_shape_is_read_or_refused,
    test_api_bodies.test_the_strict_parser_agrees_with_the_standard_one_on_what_it_takes,
    test_renderings.test_pictures,
    test_renderings.test_the_log,
    test_renderings.test_documents,
    test_renderings.test_refusals,
]


def hypothesis(first_seed: int, deadline: float) -> dict[str, Any]:
    """Run the properties with seeds from `first_seed` on until `time.monotonic()` is there."""
    random, rounds, findings = Random(first_seed), 0, []
    while time.monotonic() < deadline:
        number = random.getrandbits(32)
        for each in PROPERTIES:
            if time.monotonic() >= deadline:
                break
            rounds += 1
            try:
                seed(number)(each)()
            except Exception as error:  # whatever escapes is what is looked for
                findings.append({"what": f"{each.__name__}, seed {number}", "error": repr(error)[:500]})
    return {"rounds": rounds, "examples": rounds * EXAMPLES, "findings": findings[:20], "findings_total": len(findings)}


def atheris(seconds: int) -> dict[str, Any]:
    """Let libFuzzer try for some seconds, in a process of its own."""
    if find_spec("atheris") is None:
        return {"skipped": "atheris is not installed (it has no wheels for every Python)"}
    with tempfile.TemporaryDirectory() as folder:
        corpus, found = Path(folder, "corpus"), Path(folder, "found")
        corpus.mkdir()
        found.mkdir()
        limits = (f"-max_total_time={seconds}", "-max_len=4096", "-timeout=5", "-rss_limit_mb=1024")
        command = [
            sys.executable,
            str(HERE.parent / "atheris_target.py"),
            *limits,
            f"-artifact_prefix={found}/",
            str(corpus),
        ]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        findings = [{"what": path.name, "sent": path.read_bytes()[:2_000].hex()} for path in sorted(found.iterdir())]
        inputs = len(list(corpus.iterdir()))
    if done.returncode and not findings:
        findings = [{"what": f"ended with {done.returncode}", "sent": "", "error": done.stderr[-1_000:]}]
    runs = [line for line in done.stderr.splitlines() if line.startswith("Done ")]
    return {"runs": runs, "inputs_kept": inputs, "findings": findings[:20], "findings_total": len(findings)}
