"""A node: the agent of one machine, its spawner and its workers. docs/adr/0009-workers.md tells why they are three."""
