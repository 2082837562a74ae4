"""Costs of one call, in a forked process as workers are: exec hands down the peak of the parent, fork does not."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import os, time
from maze_node.meter import Meter
if os.fork():
    raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
first = Meter()
data = bytearray(b"x") * (60 << 20)
first.stop()
del data
second = Meter()
end = time.process_time() + 0.02
while time.process_time() < end:
    pass
second.stop()
assert first.peak_kib > 60 * 1024, first.peak_kib
assert second.peak_kib < first.peak_kib - 30 * 1024, (first.peak_kib, second.peak_kib)
assert second.cpu_ms >= 19 and second.wall_ms >= 19
"""


def test_wall_cpu_and_a_peak_that_starts_anew() -> None:
    assert subprocess.run([sys.executable, "-c", CODE], check=False).returncode == 0
