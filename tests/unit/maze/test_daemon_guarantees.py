"""What holds on which machine."""

from __future__ import annotations

import pytest

from maze._daemon.guarantees import Guarantee, guarantees


class Machine:
    """A well-equipped Linux, less what a test takes away."""

    name = "Linux 6"

    def __init__(self, *missing: str, files: dict[str, str] | None = None) -> None:
        self.missing = missing
        self.files = {
            "/proc/vmstat": "nr_free_pages 1\noom_kill 0",
            "/proc/self/status": "Name:\tx\nRssAnon:\t1 kB",
            "/proc/sys/user/max_user_namespaces": "9",
        }
        self.files |= files or {}

    def prctl(self, option: int) -> bool:
        return f"prctl {option}" not in self.missing

    def read(self, path: str) -> str | None:
        return None if path in self.missing else self.files.get(path)

    def exists(self, path: str) -> bool:
        return path not in self.missing

    def has_boottime(self) -> bool:
        return "boottime" not in self.missing

    def in_first_pid_namespace(self) -> bool:
        return "first namespace" not in self.missing

    def makes_unnamed_files(self) -> bool:
        return "tmpfile" not in self.missing


def on(*missing: str, **options: dict[str, str]) -> dict[str, Guarantee]:
    return {each.name: each for each in guarantees(Machine(*missing, **options))}


def test_all_holds_on_a_common_linux() -> None:
    assert all(each.holds for each in on().values())


@pytest.mark.parametrize(
    ("missing", "name", "reason"),
    [
        ("prctl 2", "end of a node", "PR_SET_PDEATHSIG"),
        ("prctl 37", "strays of tasks", "no PR_SET_CHILD_SUBREAPER"),
        ("/proc/self/stat", "strays of tasks", "no the processes in /proc"),
        ("boottime", "suspend", "no clock"),
        ("/proc/vmstat", "lack of memory", "does not count"),
        ("/proc/self/status", "claims of memory", "does not tell"),
        ("first namespace", "claims of GPU memory", "of its own"),
        ("tmpfile", "waiting results", "no O_TMPFILE"),
    ],
)
def test_what_is_missing_breaks_its_promise_and_no_other(missing: str, name: str, reason: str) -> None:
    found = on(missing)
    assert [each.name for each in found.values() if not each.holds] == [name]
    assert reason in found[name].found
    assert found[name].without


def test_control_groups_of_either_version_do() -> None:
    paths = ["/sys/fs/cgroup/cgroup.controllers", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/cpu"]
    assert "version 2" in on()["limits"].found
    assert "version 1" in on(paths[0])["limits"].found
    assert not on(*paths)["limits"].holds


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("/proc/sys/user/max_user_namespaces", "0", "none"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "for root"),
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "restricted by AppArmor"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "1", "available"),
    ],
)
def test_user_namespaces_are_told(path: str, value: str, said: str) -> None:
    assert on(files={path: value})["strays of tasks"].found.endswith(f"not used yet: {said}")


def test_this_machine_is_looked_at_without_harm() -> None:
    assert len(guarantees()) == 8
