"""The node's decisions: `Agent.handle(event, now) -> effects`. No clock, I/O, randomness, logging, set iteration."""
