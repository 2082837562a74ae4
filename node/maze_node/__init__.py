"""A node: the agent of one machine, its spawner and its workers. docs/node.md tells how they fit together."""
