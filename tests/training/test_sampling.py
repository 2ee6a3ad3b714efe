"""Every row exactly once an epoch, for every world size, from every step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncotrain.training.sampling import epoch_order, rank_slice, row_rng, rows_seen, steps_per_epoch

groups = st.lists(st.integers(0, 12), min_size=1, max_size=9).filter(sum)


@st.composite
def selections(draw: st.DrawFn) -> tuple[list[int], np.ndarray]:
    sizes = draw(groups)
    kept = draw(st.lists(st.integers(0, sum(sizes) - 1), min_size=1, unique=True))
    return sizes, np.array(kept)


@given(selections(), st.integers(0, 5), st.integers(0, 3), st.integers(1, 4), st.integers(1, 20))
def test_an_epoch_covers_the_selection_exactly_for_every_world(selection, seed, epoch, shuffle_groups, batch_size):
    sizes, rows = selection
    order = epoch_order(seed, epoch, sizes, rows, shuffle_groups)
    for world in (1, 2, 3, 5):
        seen = [
            row
            for step in range(steps_per_epoch(len(rows), batch_size))
            for rank in range(world)
            for row in rank_slice(order[step * batch_size : (step + 1) * batch_size], rank, world)
        ]
        assert seen == order.tolist()
    assert sorted(order) == sorted(rows)
    one_more = 2 * steps_per_epoch(len(rows), batch_size) + 1
    assert rows_seen(one_more, len(rows), batch_size) == 2 * len(rows) + min(batch_size, len(rows))


@given(selections(), st.integers(1, 4))
def test_rows_of_few_groups_are_open_at_a_time(selection, shuffle_groups):
    sizes, rows = selection
    group_of = np.repeat(np.arange(len(sizes)), sizes)
    visited = group_of[epoch_order(0, 0, sizes, rows, shuffle_groups)]
    spans = [np.flatnonzero(visited == group)[[0, -1]] for group in np.unique(visited)]
    for position in range(len(visited)):
        assert sum(first <= position <= last for first, last in spans) <= shuffle_groups


def test_order_depends_on_seed_and_epoch_but_not_on_the_order_of_the_selection():
    sizes, rows = [10, 20, 30], np.arange(60)
    order = epoch_order(1, 2, sizes, rows, 2)
    assert np.array_equal(order, epoch_order(1, 2, sizes, rows[::-1], 2))
    assert not np.array_equal(order, epoch_order(1, 3, sizes, rows, 2))
    assert not np.array_equal(order, epoch_order(2, 2, sizes, rows, 2))
    assert not np.array_equal(np.sort(order[:10]), order[:10]), "rows of a group are permuted"


@pytest.mark.parametrize(("world", "sizes"), [(2, [2, 1]), (5, [1, 1, 1, 0, 0])])
def test_a_short_batch_leaves_the_last_ranks_short_or_empty(world, sizes):
    batch = np.array([7, 8, 9])
    assert [len(rank_slice(batch, rank, world)) for rank in range(world)] == sizes


def test_augmentation_differs_by_row_epoch_and_seed_only():
    draws = {key: row_rng(*key).random() for key in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]}
    assert len(set(draws.values())) == 4
    assert row_rng(0, 0, 1).random() == draws[0, 0, 1]
