"""Which token is found for a head, in which order, and for which address only."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from maze._daemon.access import Access, bearer, find_access
from maze._daemon.connection import ConnectionInfo, enlist, listed, write_connection
from maze._daemon.errors import SecretUnusable
from maze._daemon.secret_files import create_secret

OWN, OTHER = "own" * 11, "other" * 7
PORT = 54_321


class Home:
    """A user's files, and a head that runs (it is this process)."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.token = home / "auth-token"
        create_secret(self.token, OWN)

    def write(self, place: str = "state/connection.json", **told: Any) -> Path:
        """Write the connection file of a head."""
        plain = ConnectionInfo(
            f"http://127.0.0.1:{PORT}", "tcp://h:1", "tcp://h:2", "tcp://h:3", os.getpid(),
            listens="127.0.0.1", token_file=str(self.token),
        )  # fmt: skip
        path = self.home / place
        self.info = replace(plain, **told)
        write_connection(path, self.info)
        return path


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in [name for name in os.environ if name.startswith("MAZE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MAZE_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("MAZE_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg-state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg-config"))
    return Home(tmp_path)


def test_the_order(user: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{PORT}"
    assert find_access(url) == Access(url)
    user_file = user.home / "xdg-config" / "maze" / "token"
    user_file.parent.mkdir(parents=True)
    create_secret(user_file, "user" * 5)
    assert find_access(url) == Access(url, "user" * 5, str(user_file))
    user.write()
    assert find_access(url) == Access(url, OWN, str(user.token))
    create_secret(user.home / "named", OTHER)
    monkeypatch.setenv("MAZE_TOKEN_FILE", str(user.home / "named"))
    assert find_access(url).token == OTHER
    monkeypatch.setenv("MAZE_TOKEN", "variable" * 3)
    assert find_access(url) == Access(url, "variable" * 3, "MAZE_TOKEN")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2", "[::1]"])
def test_a_local_name_leads_to_the_address_that_the_head_is_bound_to(user: Home, host: str) -> None:
    user.write()
    assert find_access(f"http://{host}:{PORT}") == Access(f"http://127.0.0.1:{PORT}", OWN, str(user.token))


@pytest.mark.parametrize(
    ("listens", "place"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]"), ("127.0.0.3", "127.0.0.3")]
)
def test_so_does_one_of_a_head_that_is_bound_to_more(user: Home, listens: str, place: str) -> None:
    user.write(url=f"http://head.example:{PORT}", listens=listens)
    assert find_access(f"http://localhost:{PORT}").url == f"http://{place}:{PORT}"
    assert find_access(f"http://head.example:{PORT}") == Access(f"http://head.example:{PORT}", OWN, str(user.token))


@pytest.mark.parametrize(
    "url",
    [
        f"http://localhost:{PORT + 1}", f"http://evil.example:{PORT}", f"http://127.0.0.1.evil.example:{PORT}",
        f"http://10.0.0.1:{PORT}", f"https://127.0.0.1:{PORT}", f"http://127.0.0.1:{PORT}/proxied", "http://127.0.0.1",
        f"http://localhost.evil:{PORT}", f"http://127.0.0.1@evil.example:{PORT}",
    ],
)  # fmt: skip
def test_the_token_goes_nowhere_else(user: Home, url: str) -> None:
    user.write()
    assert find_access(url) == Access(url)


def test_a_head_that_is_bound_to_another_address_is_not_here(user: Home) -> None:
    user.write(url=f"http://10.0.0.5:{PORT}", listens="10.0.0.5")
    assert not find_access(f"http://localhost:{PORT}").token
    assert find_access(f"http://10.0.0.5:{PORT}").token == OWN


def test_where_a_head_has_died_anybody_may_listen(user: Home) -> None:
    user.write(pid=2**22 + 1)  # above what Linux gives out
    assert find_access(f"http://127.0.0.1:{PORT}") == Access(f"http://127.0.0.1:{PORT}")


def test_a_certificate_says_who_answers(user: Home) -> None:
    user.write(url=f"https://head.example:{PORT}")
    assert find_access(f"https://localhost:{PORT}") == Access(f"https://localhost:{PORT}", OWN, str(user.token))


def test_a_head_with_its_state_elsewhere_is_found_by_its_port(user: Home) -> None:
    path = user.write("elsewhere/connection.json")
    delist = enlist(path, user.info)
    assert find_access(f"http://localhost:{PORT}").token == OWN
    assert listed(PORT).is_symlink()
    delist()
    assert not listed(PORT).is_symlink()
    assert not find_access(f"http://localhost:{PORT}").token


def test_a_head_takes_only_its_own_entry_out_and_forgets_the_dead(user: Home) -> None:
    first = user.write("first/connection.json")
    delist = enlist(first, user.info)
    second = user.write("second/connection.json")
    enlist(second, user.info)
    delist()
    assert listed(PORT).readlink() == second
    second.unlink()
    other = user.write("third/connection.json", url="http://127.0.0.1:1")
    enlist(other, user.info)
    assert [path.name for path in listed(PORT).parent.iterdir()] == [listed(1).name]


def test_where_no_list_can_be_kept_a_head_starts_all_the_same(user: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    (user.home / "file").touch()
    path = user.write()
    monkeypatch.setenv("XDG_STATE_HOME", str(user.home / "file"))
    enlist(path, user.info)()
    (user.home / "open" / "maze" / "heads").mkdir(parents=True, mode=0o755)
    (user.home / "open" / "maze" / "heads").chmod(0o777)
    monkeypatch.setenv("XDG_STATE_HOME", str(user.home / "open"))
    enlist(path, user.info)()
    assert os.listdir(user.home / "open" / "maze" / "heads") == []


@pytest.mark.parametrize(
    "token", ["short", "with space in it 123456", "new\nline" * 4, "ä" * 20, "x" * 513, "a\r\nX: y" * 4]
)
def test_what_cannot_be_a_token_is_refused_and_not_shown(
    user: Home, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("MAZE_TOKEN", token)
    with pytest.raises(SecretUnusable, match="MAZE_TOKEN holds no token") as caught:
        find_access("http://localhost:1")
    assert token not in str(caught.value)


def test_a_named_file_that_cannot_be_used_is_an_error_and_nothing_takes_its_place(
    user: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    user.write()
    monkeypatch.setenv("MAZE_TOKEN_FILE", str(user.home / "absent"))
    with pytest.raises(SecretUnusable, match="absent cannot be read"):
        find_access(f"http://127.0.0.1:{PORT}")


def test_a_token_is_in_no_repr() -> None:
    assert OWN not in repr(Access("http://h:1", OWN, "MAZE_TOKEN"))
    assert bearer("") == {}
    assert bearer(OWN) == {"Authorization": f"Bearer {OWN}"}
