"""The wire of Maze, without I/O: messages, codec, sessions, run events, graph and resource rules.

Rules of this package
* No clock, randomness, logging, socket or pickle; time comes in as an argument.
* Standard data modules and msgspec only. `declare`, `graph`, `ids` and `errors` need no msgspec either, so that
  the SDK can use them before anything heavy is loaded.
* This file imports nothing: `import maze_protocol.ids` must stay cheap.
"""
