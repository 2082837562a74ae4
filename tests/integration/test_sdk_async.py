"""The async client against a real head and node."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from maze import AsyncMaClient, MaClient, UnknownRunError, task
from support.cluster import Cluster


@task(inputs=["x"], outputs=["y"])
def double(params: dict[str, Any]) -> dict[str, Any]:
    return {"y": params["x"] * 2}


def test_the_whole_road(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        async with AsyncMaClient(cluster.url) as client:
            workflow = await client.create_workflow()
            one = workflow.add_task(double, inputs={"x": 1})
            two = workflow.add_task(double, inputs={"x": one.outputs["y"]})
            assert len(await workflow.get_tasks()) == 2
            run_id = await workflow.run()
            shown = await workflow.show_results(run_id)
            assert shown["task_results"][two.task_id] == {"y": 4}
            assert len(await workflow.get_results(run_id)) == 5
            assert workflow.list_cached_runs() == [run_id]
            assert (await client.get_run(run_id))["status"] == "finished"
            with pytest.raises(UnknownRunError):
                await workflow.get_results("nonsense")

    asyncio.run(main())
    assert "✅ Workflow execution completed!" in capsys.readouterr().out


def test_many_at_once(cluster: Cluster) -> None:
    async def one(client: AsyncMaClient, number: int) -> Any:
        workflow = await client.create_workflow()
        made = workflow.add_task(double, inputs={"x": number})
        messages = await workflow.get_results(await workflow.run(), verbose=False)
        assert messages[-1]["type"] == "finish_workflow"
        return workflow.get_task_result(workflow.list_cached_runs()[0], made.task_id)

    async def main() -> list[Any]:
        async with AsyncMaClient(cluster.url) as client:
            return await asyncio.gather(*(one(client, number) for number in range(20)))

    assert [found["result"]["y"] for found in asyncio.run(main())] == [2 * number for number in range(20)]


def test_both_clients_share_a_draft(cluster: Cluster) -> None:
    async def main(workflow_id: str) -> int:
        client = AsyncMaClient(cluster.url)
        workflow = await client.get_workflow(workflow_id)
        workflow.add_task(double, inputs={"x": 2})
        await client.close()
        return len(await workflow.get_tasks())

    with MaClient(cluster.url) as client:
        workflow = client.create_workflow()
        workflow.add_task(double, {"x": 1})
        assert asyncio.run(main(workflow.workflow_id)) == 2
        assert len(workflow.get_graph_info()["nodes"]) == 2


def test_a_cancelled_wait_leaves_the_run_alone(cluster: Cluster, tmp_path: Any) -> None:
    @task(inputs=["path"], outputs=["y"])
    def wait_for_file(params: dict[str, Any]) -> dict[str, Any]:
        import pathlib
        import time

        while not pathlib.Path(params["path"]).exists():
            time.sleep(0.01)
        return {"y": 1}

    async def main() -> None:
        async with AsyncMaClient(cluster.url) as client:
            workflow = await client.create_workflow()
            workflow.add_task(wait_for_file, inputs={"path": str(tmp_path / "go")})
            run_id = await workflow.run()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await workflow.get_results(run_id, verbose=False)
            assert workflow.list_cached_runs() == []
            (tmp_path / "go").touch()
            assert len(await workflow.get_results(run_id, verbose=False)) == 3

    asyncio.run(main())
