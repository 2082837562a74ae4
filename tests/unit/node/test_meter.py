"""Costs of one call, in a forked process as workers are: exec hands down the peak of the parent, fork does not."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import os, time
from maze_node.meter import Meter
if os.fork():
    raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
meter = Meter()
meter.start()
data = bytearray(b"x") * (60 << 20)
meter.stop()
high = meter.peak_kib
del data
assert high > 60 * 1024, high
# After a call that raised the peak, also a brief one has its own; those behind it have the same.
for _ in range(2):
    meter.start()
    meter.stop()
    assert 1024 < meter.peak_kib < high - 30 * 1024, (high, meter.peak_kib)
meter.start()
end = time.process_time() + 0.02
while time.process_time() < end:
    pass
if os.fork() == 0:
    while time.process_time() < 0.02:
        pass
    os._exit(0)
os.wait()
meter.stop()
assert meter.peak_kib < high - 30 * 1024, (high, meter.peak_kib)
assert meter.cpu_ms >= 38 and meter.wall_ms >= 19, (meter.cpu_ms, meter.wall_ms)
meter.reset()
assert (meter.cpu_ms, meter.peak_kib) == (0, 0)
"""


def test_wall_cpu_and_a_peak_that_starts_anew() -> None:
    assert subprocess.run([sys.executable, "-c", CODE], check=False).returncode == 0
