"""How the end of an attempt is told to the head: from a worker's report, or from its death."""

from __future__ import annotations

from typing import Final

import msgspec

from maze_node.core.events import NO_OUTPUT, Instant, LogTails, WorkerExited, WorkerReported
from maze_node.core.leases import Ending, Lease
from maze_node.frames import ReportFrame
from maze_protocol.limits import LOG_TAIL
from maze_protocol.messages import CANCELLED, CRASHED, FAILED, OK, TIMED_OUT, ErrorInfo, Outcome
from maze_protocol.values import OutputValue

__all__ = ["of_exit", "of_refusal", "of_report", "of_vanished", "under", "without_objects"]

STDERR_IN_ERROR: Final = 4096
TIMEOUT_BASES: Final = ("maze.TaskTimeout", "builtins.TimeoutError")
"""What `retry_on` knows the end of a time limit by."""
_KINDS: Final[dict[Ending, tuple[int, str, str]]] = {
    Ending.CANCELLED: (CANCELLED, "cancelled", "Cancelled"),
    Ending.TIMED_OUT: (TIMED_OUT, "timeout", "TaskTimeout"),
    Ending.MEMORY: (FAILED, "memory", "MemoryExceeded"),
    Ending.DEVICE_MEMORY: (FAILED, "memory", "DeviceMemoryExceeded"),
    Ending.DRAINED: (CRASHED, "node_lost", "NodeLeft"),
    Ending.ABANDONED: (CRASHED, "node_lost", "Abandoned"),
    Ending.DROPPED: (CANCELLED, "cancelled", "Cancelled"),
}


def of_report(lease: Lease, pid: int, event: WorkerReported) -> Outcome:
    """Return the outcome of an attempt that its worker reported; a result stands, also if it came during its end."""
    report, tails = event.report, event.tails
    status, error = report.status, report.error
    if lease.ending is not None and status != OK:
        status, error = _ended(lease, lease.ending)
    outcome = Outcome(
        lease.token,
        status,
        report.started_at or lease.started_wall,
        report.wall_ms,
        report.outputs if report.lease == lease.token else _renamed(report.outputs, lease.token),
        error,
        report.cpu_ms,
        max(report.peak_rss_kib, lease.peak_kib),
        b"",
        b"",
        0,
        0,
        report.warnings,
        pid,
    )
    return outcome if tails is NO_OUTPUT else _with_logs(outcome, tails)


def without_objects(report: ReportFrame) -> ReportFrame:
    """Return a report of which the objects could not be taken: this process may have no more descriptors."""
    error = ErrorInfo("node_lost", "TooManyObjects", "the node has no descriptors left for what the task returned")
    return msgspec.structs.replace(report, status=CRASHED, outputs=(), error=error, on_disk=())


def under(outcome: Outcome, lease: int) -> Outcome:
    """Return an outcome as that of another lease, by which its objects are called, too."""
    return msgspec.structs.replace(outcome, lease=lease, outputs=_renamed(outcome.outputs, lease))


def _renamed(outputs: tuple[OutputValue, ...], lease: int) -> tuple[OutputValue, ...]:
    return tuple(_renamed_one(output, lease) for output in outputs)


def _renamed_one(output: OutputValue, lease: int) -> OutputValue:
    ref = output.value.ref
    if ref is None:
        return output
    value = msgspec.structs.replace(output.value, ref=msgspec.structs.replace(ref, lease=lease))
    return msgspec.structs.replace(output, value=value)


def of_exit(lease: Lease, pid: int, event: WorkerExited, now: Instant) -> Outcome:
    """Return the outcome of an attempt whose worker died under it."""
    if lease.ending is not None:
        status, error = _ended(lease, lease.ending)
    else:
        status, error = CRASHED, _crash(lease, event)
    wall_ms = max(0.0, (now.mono - lease.started_mono) * 1000)
    outcome = Outcome(
        lease.token,
        status,
        lease.started_wall,
        wall_ms,
        error=error,
        cpu_ms=event.cpu_ms,
        peak_rss_kib=max(event.peak_rss_kib, lease.peak_kib),
        pid=pid,
    )
    return _with_logs(outcome, event.tails)


def of_refusal(lease: int, kind: str, type_name: str, message: str, now: Instant) -> Outcome:
    """Return the outcome of an attempt that could not begin."""
    return Outcome(lease, FAILED, now.wall, 0.0, error=ErrorInfo(kind, type_name, message))


def of_vanished(lease: int, started_wall: float) -> Outcome:
    """Return the outcome of an attempt that was ended because nobody wanted it any more, until somebody did."""
    error = ErrorInfo("node_lost", "Abandoned", "the attempt was given up and ended before its head asked for it again")
    return Outcome(lease, CRASHED, started_wall, 0.0, error=error)


def _ended(lease: Lease, ending: Ending) -> tuple[int, ErrorInfo]:
    status, kind, type_name = _KINDS[ending]
    bases = TIMEOUT_BASES if ending is Ending.TIMED_OUT else ()
    return status, ErrorInfo(kind, type_name, lease.reason or ending.value, bases=bases, peak_mib=lease.excess_mib)


def _crash(lease: Lease, event: WorkerExited) -> ErrorInfo:
    kind, type_name = ("node_lost", "SpawnerLost") if event.blameless else ("crash", "WorkerCrashed")
    return ErrorInfo(
        kind,
        type_name,
        _crash_message(lease, event),
        signal=event.signal,
        exit_code=event.exit_code,
        oom=event.oom,
        stderr_tail=_last_lines(event.tails.stderr).decode("utf-8", "replace"),
    )


def _last_lines(stderr: bytes) -> bytes:
    """Return the end of it, from the beginning of a line if there is one."""
    tail = stderr[-STDERR_IN_ERROR:]
    return tail[tail.find(b"\n") + 1 :] if len(tail) < len(stderr) else tail


def _crash_message(lease: Lease, event: WorkerExited) -> str:
    if event.blameless:
        return "the process that owns the node's workers died, and the worker with it"
    claim = lease.assignment.claim.mem_mib
    claimed = f", cpu_mem claimed {claim:,} MiB" if claim else ""
    memory = f"peak memory of the worker {event.peak_rss_kib // 1024:,} MiB{claimed}"
    if event.exit_code is not None and not event.signal:
        return f"exit code {event.exit_code} (the worker process ended without returning a result; {memory})"
    if event.oom:
        return f"{event.signal} (out of memory: the kernel killed processes on this machine; {memory})"
    if event.signal == "SIGKILL":
        return f"SIGKILL (killed from outside; the kernel counted no lack of memory; {memory})"
    return f"{event.signal} (the worker process was killed by it; {memory})"


def _with_logs(outcome: Outcome, tails: LogTails) -> Outcome:
    stdout, stderr = _share(tails.stdout, tails.stderr)
    return msgspec.structs.replace(
        outcome,
        stdout_tail=stdout,
        stderr_tail=stderr,
        stdout_size=tails.stdout_size,
        stderr_size=tails.stderr_size,
    )


def _share(stdout: bytes, stderr: bytes) -> tuple[bytes, bytes]:
    """Cut two tails so that they fit LOG_TAIL together; what one does not need is the other's."""
    half = LOG_TAIL // 2
    for_stderr = min(len(stderr), max(half, LOG_TAIL - len(stdout)))
    for_stdout = min(len(stdout), LOG_TAIL - for_stderr)
    return stdout[len(stdout) - for_stdout :], stderr[len(stderr) - for_stderr :]
