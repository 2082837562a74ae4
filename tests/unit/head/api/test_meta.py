"""The head about itself."""

from __future__ import annotations

import msgspec

from maze_head.core.events import CountersAsked
from support.api_double import INFO, asynchronous, serving


@asynchronous
async def test_readyz_follows_the_driver_and_the_stop() -> None:
    async with serving() as head:

        async def ready() -> tuple[int, str | None]:
            async with head.http.get("/api/v1/readyz") as response:
                return response.status, response.headers.get("Retry-After")

        assert await ready() == (200, None)
        head.driver.running = False
        assert await ready() == (503, "1")
        head.driver.running = True
        head.services.shutting_down.set()
        assert await ready() == (503, "1")
        async with head.http.get("/api/v1/livez") as response:
            assert response.status == 200


@asynchronous
async def test_readyz_is_false_while_the_disk_is_full() -> None:
    async with serving() as head:
        object.__setattr__(head.services, "info", lambda: msgspec.structs.replace(INFO, read_only=True))
        async with head.http.get("/api/v1/readyz") as response:
            assert response.status == 503
            assert "disk" in (await response.json())["error"]["message"]
        async with head.http.get("/api/v1/info") as response:
            assert (await response.json())["read_only"] is True


@asynchronous
async def test_metrics_gather_core_shells_and_api() -> None:
    async with serving() as head:
        head.driver.answers[CountersAsked] = {"runs_submitted": 2}
        for _ in range(2):
            async with head.http.get("/api/v1/runs/bad") as response:
                assert response.status == 400
        async with head.http.get("/api/v1/metrics") as response:
            counters = (await response.json())["counters"]
        assert counters["runs_submitted"] == 2
        assert counters["journal_commits_total"] == 3
        assert (counters["http_requests_total"], counters["http_refused_total"]) == (3, 2)
        assert (counters["http_failed_total"], counters["http_streams_open"]) == (0, 0)
