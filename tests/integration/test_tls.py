"""A head that speaks TLS, and programs that check its certificate: the SDK, its event socket, the commands."""

from __future__ import annotations

import http.client
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from maze import HeadUnavailableError, MaClient, task
from maze._http import close_connection
from support.head_process import environment, running_head
from support.tls import write_pair


@task(inputs=[], outputs=["y"])
def one(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": 1}


def ps(url: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "maze", "ps"], env=environment() | {"MAZE_URL": url} | settings,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_https_and_wss_with_a_certificate_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cert, key = write_pair(tmp_path)
    with running_head(
        tmp_path / "state", f"--tls-cert={cert}", f"--tls-key={key}", "--allow-host=proxy.example"
    ) as head:
        url = head.ready["url"]
        assert url.startswith("https://127.0.0.1:")
        with MaClient(url) as stranger, pytest.raises(HeadUnavailableError, match="MAZE_CA"):
            stranger.list_workflows()
        close_connection(url)

        monkeypatch.setenv("MAZE_CA", str(cert))
        with MaClient(url) as client:
            workflow = client.create_workflow("safe")
            workflow.add_task(one)
            run_id = workflow.run()
            client.cancel_run(run_id)
            assert [event["type"] for event in client.subscribe(run_id)][-1] == "cancel_workflow"
        assert ps(url, MAZE_CA=str(cert)).returncode == 0
        refused = ps(url)
        assert refused.returncode == 69
        assert "certificate" in refused.stderr
        assert ps(url, MAZE_CA=str(tmp_path / "absent")).returncode == 2

        plain = http.client.HTTPConnection(url.removeprefix("https://"), timeout=20)
        plain.request("GET", "/api/v1/livez")
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            plain.getresponse()
        plain.close()
    assert "Traceback" not in head.log


def test_a_name_that_was_allowed_is_answered(tmp_path: Path) -> None:
    with running_head(tmp_path / "state", "--allow-host=proxy.example") as head:
        for name, status in (("proxy.example", 200), ("PROXY.example:443", 200), ("evil.example", 421)):
            connection = http.client.HTTPConnection(head.ready["url"].removeprefix("http://"), timeout=20)
            connection.request("GET", "/api/v1/livez", headers={"Host": name})
            assert connection.getresponse().status == status
            connection.close()
