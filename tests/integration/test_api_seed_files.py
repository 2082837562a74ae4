"""The file endpoints that the original's front client calls."""

from __future__ import annotations

import io
import json
from pathlib import Path

from aiohttp import FormData
from tests.integration.test_api_seed import OriginalClient, original

from maze_protocol.files import pack_header
from maze_protocol.values import FILE, Value


async def upload(
    client: OriginalClient, workflow_id: str, name: str, data: bytes, field: str = "file"
) -> tuple[int, dict[str, str]]:
    form = FormData()
    form.add_field("more", "text")
    form.add_field(field, io.BytesIO(data), filename=name)
    async with client.head.http.post(f"/upload_file/{workflow_id}", data=form) as response:
        answer = json.loads(await response.text())
        return response.status, answer


async def download(client: OriginalClient, workflow_id: str, path: str) -> tuple[int, bytes]:
    async with client.head.http.get(f"/download_file/{workflow_id}", params={"file_path": path}) as response:
        return response.status, await response.read()


@original
async def test_what_was_uploaded_is_there_until_it_is_cleaned_up(client: OriginalClient) -> None:
    workflow_id, other = await client.workflow(), await client.workflow()
    data = bytes(range(256)) * 10_000
    status, answer = await upload(client, workflow_id, "cat.png", data)
    assert (status, answer["status"]) == (200, "success")
    path = answer["server_path"]
    assert Path(path).read_bytes() == data
    assert Path(path).name == "cat.png"
    assert await download(client, workflow_id, path) == (200, data)
    assert (await download(client, other, path))[0] == 404
    await client.success(f"/cleanup_workflow/{workflow_id}")
    assert (await download(client, workflow_id, path))[0] == 404
    assert not Path(path).exists()


@original
async def test_mistakes_are_told(client: OriginalClient) -> None:
    workflow_id = await client.workflow()
    assert (await upload(client, "nope", "x", b""))[0] == 404
    status, answer = await upload(client, workflow_id, "x", b"", field="other")
    assert (status, answer["detail"]) == (400, "the form has no field `file`")
    async with client.head.http.post(f"/upload_file/{workflow_id}", data="no form") as response:
        assert response.status == 400
    async with client.head.http.post(f"/upload_file/{workflow_id}", skip_auto_headers=["Content-Type"]) as response:
        assert (response.status, (await response.json())["detail"][:11]) == (400, "a multipart")
    for path in ("/etc/passwd", "", "outputs/run_x/task_x/y/z", "../x"):
        assert (await download(client, workflow_id, path))[0] == 404


@original
async def test_a_file_that_a_task_returned_is_downloaded_by_its_path(client: OriginalClient) -> None:
    body = pack_header("cat.png", 0o644, False) + b"miau"
    client.head.puppet.behaviours["one"] = lambda x: {"a/b": Value(FILE, len(body), body), "text": "x"}
    workflow_id = await client.workflow()
    await client.add_task(workflow_id, "one", {"x": 1})
    run_id = await client.run(workflow_id)
    messages = await client.results(workflow_id, run_id)
    path = next(each for each in messages if each["type"] == "finish_task")["data"]["result"]["a/b"]
    assert path.endswith("/cat.png")
    assert await download(client, workflow_id, path) == (200, b"miau")
    assert (await download(client, workflow_id, path.replace("a%2Fb", "text")))[0] == 404
