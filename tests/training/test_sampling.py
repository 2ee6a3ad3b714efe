"""Every row exactly once an epoch, for every world size, from every step."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncotrain.training.sampling import (
    epoch_order,
    poisson_sample,
    rank_slice,
    row_rng,
    rows_of_patients,
    rows_seen,
    sample_rate,
    steps_per_epoch,
)

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


def taking_part(secret: int, steps: int, patients: int, rate: float) -> np.ndarray:
    """(steps, patients) bool."""
    return np.stack(
        [np.isin(np.arange(patients), poisson_sample(secret, step, patients, rate)) for step in range(steps)]
    )


@pytest.mark.parametrize("rate", [0.02, 0.3, 0.9])
def test_each_patient_takes_part_as_often_as_the_rate_says(rate):
    part = taking_part(secret=1, steps=3000, patients=40, rate=rate)
    error = (rate * (1 - rate) / 3000) ** 0.5
    assert np.abs(part.mean(axis=0) - rate).max() < 4.5 * error, "each patient"
    assert part.mean() == pytest.approx(rate, abs=4.5 * error / 40**0.5)
    assert part.sum(axis=1).var() == pytest.approx(40 * rate * (1 - rate), rel=0.15), "batches vary as a binomial"


def test_steps_and_patients_are_sampled_independently():
    part = taking_part(secret=2, steps=4000, patients=30, rate=0.3).astype(float)
    between_patients = np.corrcoef(part.T) - np.eye(30)
    next_step = [np.corrcoef(part[:-1, one], part[1:, one])[0, 1] for one in range(30)]
    assert np.abs(between_patients).max() < 0.08  # 435 pairs, each with an error of 0.016
    assert np.abs(next_step).max() < 0.07


def test_a_sample_is_a_function_of_secret_and_step_alone():
    assert np.array_equal(poisson_sample(5, 9, 100, 0.4), poisson_sample(5, 9, 100, 0.4))
    others = [poisson_sample(6, 9, 100, 0.4), poisson_sample(5, 10, 100, 0.4), poisson_sample(5 + 2**100, 9, 100, 0.4)]
    assert not any(np.array_equal(poisson_sample(5, 9, 100, 0.4), other) for other in others)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=40), st.randoms())
def test_rows_of_patients_are_all_rows_by_patient(owners, random):
    rows = np.array(random.sample(range(100), len(owners)))
    groups = rows_of_patients(rows, [f"p{owner}" for owner in owners])
    owner_of = dict(zip(rows.tolist(), owners, strict=True))
    assert sorted(np.concatenate(groups)) == sorted(rows)
    assert [{owner_of[row] for row in group} for group in map(np.ndarray.tolist, groups)] == [
        {owner} for owner in sorted(set(owners))
    ]


def test_the_rate_is_no_more_than_certainty():
    assert sample_rate(200, 10) == 0.05
    assert sample_rate(3, 10) == 1
