"""The simulated cluster under faults that Hypothesis chooses: what it finds, it makes short.

The oracle is the account of the journal (history.py) with all the rules that the seeds are judged by (watch.py).
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from sim.knobs import FAULTS, Knobs
from sim.world import World

OUTAGES = (0.2, 1.0, 4.0, 14.0)


class ClusterMachine(RuleBasedStateMachine):
    world: World | None = None

    @initialize(
        seed=st.integers(0, 1_000),
        nodes=st.integers(1, 3),
        cpus=st.integers(1, 2),
        durability=st.sampled_from(("process", "power")),
        loss=st.sampled_from((0.0, 0.02)),
        lost_after=st.sampled_from((5.0, 10.0)),
    )
    def begin(self, seed: int, nodes: int, cpus: int, durability: str, loss: float, lost_after: float) -> None:
        self.world = World(
            seed, Knobs(nodes=nodes, cpus=cpus, durability=durability, loss=loss, lost_after=lost_after, storm=0.0)
        )
        self.world.begin()

    @rule(fault=st.sampled_from(FAULTS), outage=st.sampled_from(OUTAGES))
    def strike(self, fault: str, outage: float) -> None:
        assert self.world is not None
        self.world.knobs.outage = outage
        self.world.knobs.faults = (*self.world.knobs.faults, fault)
        self.world.nemesis.strike(fault)

    @rule(seconds=st.sampled_from((0.05, 0.5, 2.0, 6.0)))
    def pass_time(self, seconds: float) -> None:
        assert self.world is not None
        self.world.clock.run(self.world.clock.now + seconds)

    def teardown(self) -> None:
        if self.world is not None:
            try:
                self.world.finish()
            finally:
                self.world.close()


TestCluster = ClusterMachine.TestCase
TestCluster.settings = settings(settings.default, max_examples=40, stateful_step_count=25)
