"""The head of a cluster: one process that owns every decision (core/) and every fact (journal), and its shells.

Rules of this package
* Direction of imports: cli > app > (api | transport | publisher | hub | journal) > driver > core; only cli imports app.
  core/ is pure; everything that touches a socket, a file, a clock or a thread lives beside it.
* The head never executes or unpickles what users send; user code and values are opaque bytes here.
* This file imports nothing.
"""
