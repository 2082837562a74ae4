"""What projects hold: dominant shares, weights, caps, and that nothing is left of who holds nothing."""

from __future__ import annotations

import pytest

from maze_head.core.shares import Cap, Rules, Shares
from maze_protocol.declare import normalise_resources
from maze_protocol.resources import Claim, DeviceClaim, Request


def request(**resources: float) -> Request:
    return Request.of(normalise_resources(resources))


def cluster() -> Shares:
    """Return the shares of a cluster of 10 CPUs, 1,000 MiB, 4 devices of 100 MiB."""
    shares = Shares()
    shares.set_total(10_000, 1_000, 4_000, 400)
    return shares


@pytest.mark.parametrize(
    ("claim", "share"),
    [
        (Claim(1000, 0), 0.1),
        (Claim(1000, 300), 0.3),
        (Claim(1000, 0, (DeviceClaim(0, 1000, 100), DeviceClaim(1, 1000, 100))), 0.5),
        (Claim(1000, 0, (DeviceClaim(0, 0, 80),)), 0.2),
        (Claim(1000, 0, (DeviceClaim(0, 500, 0),)), 0.125),
    ],
)
def test_the_share_is_the_largest_part_of_any_resource(claim: Claim, share: float) -> None:
    shares = cluster()
    shares.take("a", claim)
    assert shares.share("a") == pytest.approx(share)
    assert shares.share("b") == 0.0


def test_a_weight_divides_the_share() -> None:
    shares = cluster()
    shares.set("a", Rules(weight=2.0))
    shares.take("a", Claim(4000, 0))
    shares.take("b", Claim(2000, 0))
    assert shares.share("a") == pytest.approx(shares.share("b"))
    shares.remove("a")
    assert shares.share("a") == pytest.approx(0.4)


def test_shares_follow_the_capacity_of_the_members() -> None:
    shares = Shares()
    shares.take("a", Claim(1000, 500))
    assert shares.share("a") == 0.0
    shares.set_total(2000, 0, 0, 0)  # a node that does not know its memory
    assert shares.share("a") == pytest.approx(0.5)
    shares.set_total(2000, 500, 0, 0)
    assert shares.share("a") == pytest.approx(1.0)


def test_nothing_is_left_of_a_project_that_holds_nothing() -> None:
    shares = cluster()
    claims = [Claim(1000, 10), Claim(1, 0, (DeviceClaim(3, 0, 80),)), Claim(1, 1, (DeviceClaim(1, 1000, 100),))]
    for claim in claims:
        shares.take("a", claim)
    for claim in claims:
        shares.give_back("a", claim)
    assert shares.held == {}


def test_more_than_was_taken_never_comes_back() -> None:
    shares = cluster()
    with pytest.raises(KeyError):
        shares.give_back("a", Claim(1, 0))


@pytest.mark.parametrize(
    ("cap", "asked", "said"),
    [
        (Cap(cpu_milli=3000), request(cpu=2.5), "1 of 3 CPUs"),
        (Cap(mem_mib=300), request(cpu_mem=201), "100 of 300 MiB of memory"),
        (Cap(gpu_milli=1500), request(gpu=1), "1 of 1.5 GPUs"),
        (Cap(gpu_milli=1500), request(gpu=0.6), "1 of 1.5 GPUs"),
        (Cap(gpu_milli=1500), request(gpu_mem=51), "1 of 1.5 GPUs"),
        (Cap(tasks=1), request(), "1 of 1 tasks"),
    ],
)
def test_a_cap_lets_nothing_cross_it_and_says_how_much_is_held(cap: Cap, asked: Request, said: str) -> None:
    shares = cluster()
    shares.set("a", Rules(cap=cap))
    shares.take("a", Claim(1000, 100, (DeviceClaim(0, 1000, 100),)))
    assert not shares.has_room("a", asked)
    assert shares.lacking("a", asked) == said
    assert shares.has_room("b", asked)
    shares.give_back("a", Claim(1000, 100, (DeviceClaim(0, 1000, 100),)))
    assert shares.has_room("a", asked)


def test_exactly_the_cap_fits() -> None:
    shares = cluster()
    shares.set("a", Rules(cap=Cap(cpu_milli=3000, mem_mib=300, gpu_milli=1500, tasks=2)))
    shares.take("a", Claim(1000, 100, (DeviceClaim(0, 1000, 100),)))
    assert shares.has_room("a", request(cpu=2, cpu_mem=200, gpu=0.5))
    assert shares.has_room("a", request(cpu=2, cpu_mem=200, gpu_mem=50))


def test_shares_by_memory_alone_count_as_their_part_of_an_average_device() -> None:
    shares = cluster()
    shares.set("a", Rules(cap=Cap(gpu_milli=1000)))
    for _ in range(3):
        assert shares.has_room("a", request(gpu_mem=33))
        shares.take("a", Claim(1, 0, (DeviceClaim(0, 0, 33),)))
    assert shares.gpu_milli(shares.held["a"]) == 990
    assert not shares.has_room("a", request(gpu_mem=2))
    assert shares.has_room("a", request(gpu_mem=1))
    assert shares.has_room("a", request(cpu=9))


def test_a_task_on_several_nodes_counts_on_each() -> None:
    shares = cluster()
    shares.set("a", Rules(cap=Cap(cpu_milli=4000, tasks=3)))
    assert shares.has_room("a", request(cpu=1), nodes=3)
    assert shares.lacking("a", request(cpu=1), nodes=4) == "0 of 3 tasks"
    assert shares.lacking("a", request(cpu=2), nodes=3) == "0 of 4 CPUs"


def test_what_crosses_a_cap_even_alone_is_impossible() -> None:
    shares = cluster()
    shares.set("a", Rules(cap=Cap(gpu_milli=0, cpu_milli=2000)))
    shares.take("a", Claim(2000, 0))
    assert shares.impossible("a", request(gpu_mem=1)) == "0 of 0 GPUs"
    assert shares.impossible("a", request(cpu=2)) is None
    assert shares.impossible("a", request(cpu=2), nodes=2) == "0 of 2 CPUs"
    assert shares.impossible("b", request(gpu=4)) is None


def test_what_a_share_would_be_with_more() -> None:
    shares = cluster()
    shares.set("a", Rules(weight=2.0))
    assert shares.most == 0.0
    shares.take("a", Claim(4000, 0))
    assert shares.most == pytest.approx(0.2)
    assert shares.share_with("a", request(cpu=1), 2) == pytest.approx(0.3)
    assert shares.share_with("b", request(gpu=1), 1) == pytest.approx(0.25)
    assert shares.share_with("b", request(gpu_mem=300), 1) == pytest.approx(0.75)
    assert shares.share("b") == 0.0
