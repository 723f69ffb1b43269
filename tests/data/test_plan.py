"""The partition plan: every piece has one reader, shares are balanced, layouts are respected."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom_algo.contract.channel import Distribution
from cleanroom_algo.data.plan import PARTS_PER_SPAN, Readers, assign, plan_parts, readers_of, share_of
from cleanroom_algo.data.world import World

sizes = st.lists(st.integers(0, 10**12), max_size=200)
layouts = st.tuples(st.integers(1, 5), st.integers(1, 8), st.integers(1, 4))


@given(sizes, st.integers(1, 40))
def test_every_piece_has_exactly_one_reader_in_order(weights: list[int], readers: int) -> None:
    owners = assign(weights, readers)

    assert len(owners) == len(weights)
    assert all(0 <= owner < readers for owner in owners)
    assert (np.diff(owners) >= 0).all()


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=100), st.integers(1, 40))
def test_shares_differ_from_the_mean_by_at_most_one_piece(weights: list[int], readers: int) -> None:
    parts = plan_parts(weights, readers)
    pieces = [size / count for size, count in zip(weights, parts, strict=True) for _ in range(count)]
    owners = assign(np.array(pieces), readers)
    mean = sum(weights) / readers

    shares = [sum(piece for piece, owner in zip(pieces, owners, strict=True) if owner == r) for r in range(readers)]

    assert max(shares) <= mean + max(pieces) + 1e-6 * mean
    if readers > 1:
        assert max(pieces) <= mean / PARTS_PER_SPAN + 1


@given(layouts, st.sampled_from(Distribution))
def test_loaders_of_the_group_are_counted_once_each(layout: tuple[int, int, int], distribution: Distribution) -> None:
    hosts, ranks, workers = layout
    seen: dict[int, set[int]] = {}
    for host in range(hosts):
        for rank in range(ranks):
            for worker in range(workers):
                group = readers_of(World(hosts, host, ranks, rank, workers, worker), distribution)
                key = host if distribution is Distribution.SHARDED_BY_S3_KEY else 0
                assert group.index not in seen.setdefault(key, set())
                seen[key].add(group.index)
                assert group.count == (ranks * workers if key or len(seen) > 1 else group.count)

    expected = ranks * workers * (1 if distribution is Distribution.SHARDED_BY_S3_KEY else hosts)
    assert all(indices == set(range(expected)) for indices in seen.values())


@settings(max_examples=100)
@given(
    layouts,
    st.sampled_from(Distribution),
    st.lists(st.one_of(st.integers(0, 9), st.integers(0, 10**6), st.integers(10**9, 10**12)), max_size=30),
)
def test_over_all_loaders_each_part_of_each_object_is_read_once(
    layout: tuple[int, int, int], distribution: Distribution, sizes: list[int]
) -> None:
    hosts, ranks, workers = layout
    sharded = distribution is Distribution.SHARDED_BY_S3_KEY
    keys = [(number, size) for number, size in enumerate(sizes)]
    seen: Counter[tuple[int, int]] = Counter()
    counts: dict[int, int] = {}
    for host in range(hosts):
        held = keys[host::hosts] if sharded else keys  # objects are whole, and a host may have none
        of = [size for _, size in held]
        for rank in range(ranks):
            for worker in range(workers):
                readers = readers_of(World(hosts, host, ranks, rank, workers, worker), distribution)
                for position, own, count in share_of(of, readers).runs():
                    key = held[position][0]
                    assert counts.setdefault(key, count) == count
                    seen.update((key, part) for part in own)

    assert set(counts) == set(range(len(sizes)))
    assert seen == Counter((key, part) for key, count in counts.items() for part in range(count))


def test_a_million_objects_are_planned_at_once() -> None:
    sizes = np.random.default_rng(0).integers(0, 10**9, 1_000_000)
    shares = [share_of(sizes, Readers(40, index)) for index in (0, 39)]
    assert [int(share.objects[place]) for share, place in zip(shares, (0, -1), strict=True)] == [0, 999_999]


def test_one_giant_object_among_none() -> None:
    assert list(plan_parts([], 8)) == []
    assert list(assign([], 8)) == []
    assert plan_parts([10**12], 40)[0] == 40 * PARTS_PER_SPAN
    assert list(plan_parts([0, 0], 3)) == [1, 1]


@pytest.mark.parametrize("places", [(1, 1, 1, 0), (1, 0, 1, 1)])
def test_a_place_outside_the_layout_is_refused(places: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="is not below"):
        World(*places)
