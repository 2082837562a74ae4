"""Limits and projects: what is set for them and what is held, and how operators change it."""

from __future__ import annotations

from maze_head.api.call import Call
from maze_head.core.events import ListLimits, RemoveLimit, RemoveProject, SetLimit, SetProject
from maze_protocol.cluster import LimitBody, LimitList, LimitRequest, ProjectBody, ProjectList, ProjectRequest

__all__ = ["list_all", "list_projects", "put", "put_project", "remove", "remove_project"]


async def list_all(call: Call) -> LimitList:
    """List all limits and projects."""
    found: LimitList = await call.ask(ListLimits)
    return found


async def list_projects(call: Call) -> ProjectList:
    """List all projects."""
    return ProjectList((await list_all(call)).projects)


async def put(call: Call) -> LimitBody:
    """Set or change a limit; it counts from the answer on."""
    name = call.path("name")
    request: LimitRequest = call.body
    limit: LimitBody = await call.ask(lambda ticket: SetLimit(ticket, name, request))
    return limit


async def remove(call: Call) -> LimitBody:
    """Remove a limit; return what was set."""
    name = call.path("name")
    limit: LimitBody = await call.ask(lambda ticket: RemoveLimit(ticket, name))
    return limit


async def put_project(call: Call) -> ProjectBody:
    """Set or change the weight and the cap of a project."""
    name = call.path("name")
    request: ProjectRequest = call.body
    project: ProjectBody = await call.ask(lambda ticket: SetProject(ticket, name, request))
    return project


async def remove_project(call: Call) -> ProjectBody:
    """Let a project be like any other again; return what was set."""
    name = call.path("name")
    project: ProjectBody = await call.ask(lambda ticket: RemoveProject(ticket, name))
    return project
