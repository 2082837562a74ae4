"""Puts the HTTP API together: middlewares, the router from the table of routes, and its description."""

from __future__ import annotations

from functools import cache

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from maze_head.api.access import admit
from maze_head.api.call import TRAFFIC, Shared, Traffic
from maze_head.api.connection import CROWD
from maze_head.api.crowd import Crowd
from maze_head.api.encoder import EventEncoder
from maze_head.api.errors import catch_errors
from maze_head.api.expect import go_on, go_on_later
from maze_head.api.guard import guard
from maze_head.api.openapi import description
from maze_head.api.routes import OPENAPI_PATH, ROUTES, endpoint, scopes
from maze_head.api.services import Services
from maze_head.api.views import RunViews
from maze_protocol.limits import MAX_REQUEST_BODY

__all__ = ["make_app"]


def make_app(services: Services, encoder: EventEncoder | None = None) -> web.Application:
    """Build the application; with an `encoder` it shares encoded events with whoever else uses that one.

    Serve it by a `connection.Site`: what aiohttp answers by itself gets the one error body there.
    """
    traffic = Traffic()
    shared = Shared(services, encoder or EventEncoder(services.hub), RunViews(services.hub), traffic)
    # Outermost first: every answer is counted, and every failure below, the guard's included, gets its body.
    needed = scopes(ROUTES, seed_open=services.seed_open)
    middlewares = [
        _count(traffic), catch_errors, guard(services.hosts, services.origins),
        admit(services.tokens, needed, traffic), go_on,
    ]  # fmt: skip
    app = web.Application(middlewares=middlewares, client_max_size=MAX_REQUEST_BODY)
    app[TRAFFIC], app[CROWD] = traffic, Crowd()
    app.router.add_routes([endpoint(route, shared) for route in ROUTES])

    @cache
    def document() -> bytes:
        return msgspec.json.encode(description(ROUTES, services.info().version))

    async def openapi(request: web.Request) -> web.Response:
        return web.Response(body=document(), content_type="application/json")

    app.router.add_get(OPENAPI_PATH, openapi, allow_head=False, expect_handler=go_on_later)
    return app


def _count(traffic: Traffic) -> Middleware:
    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        traffic.requests_total += 1
        response = await handler(request)
        if response.status >= 500:
            traffic.failed_total += 1
        elif response.status >= 400:
            traffic.refused_total += 1
        return response

    return count
