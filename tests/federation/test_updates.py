"""Updates on disk, and their mean."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from oncotrain.federation.strategies.updates import Updates

COMMON = [np.zeros((2, 3), np.float32), np.zeros((), np.int64), np.zeros(0, np.float64)]


@given(
    st.lists(arrays(np.float32, (2, 3), elements=st.floats(-1e3, 1e3, width=32)), min_size=1, max_size=6),
    st.lists(st.floats(0, 1e4), min_size=6, max_size=6),
    st.randoms(),
)
def test_the_mean_is_that_of_the_weights_in_any_order(sent, weights, random):
    sites = {f"site-{number}": array for number, array in enumerate(sent)}
    wanted = dict(zip(sites, weights, strict=False))
    wanted["site-0"] += 1
    order = list(sites)
    with Updates(COMMON) as updates, Updates(COMMON) as shuffled:
        for site in order:
            updates.add(site, [sites[site], np.array(3), np.zeros(0)])
        random.shuffle(order)
        for site in order:
            shuffled.add(site, [sites[site], np.array(3), np.zeros(0)])
        found, other = updates.mean(wanted), shuffled.mean(wanted)
    expected = np.average(np.stack(sent).astype(np.float64), axis=0, weights=list(wanted.values()))
    assert np.allclose(found[0], expected, rtol=1e-6, atol=1e-6)
    assert [array.dtype for array in found] == [array.dtype for array in COMMON]
    assert [array.shape for array in found] == [array.shape for array in COMMON]
    assert all(np.array_equal(a, b) for a, b in zip(found, other, strict=True))


def test_one_that_comes_again_counts_once_and_one_left_out_does_not():
    with Updates(COMMON[:1]) as updates:
        for site, value in (("a", 7.0), ("b", 3.0), ("c", 100.0), ("a", 1.0)):
            updates.add(site, [np.full((2, 3), value, np.float32)])
        assert (updates.mean({"a": 1.0, "b": 1.0})[0] == 2.0).all()


def test_weights_without_a_sum():
    with Updates(COMMON[:1]) as updates:
        updates.add("a", COMMON[:1])
        with pytest.raises(ValueError, match="the weights of a add up to 0"):
            updates.mean({"a": 0.0})


def test_nothing_is_left_on_disk():
    with Updates(COMMON[:1]) as updates:
        updates.add("a", COMMON[:1])
        folder = Path(updates._folder.name)
        assert folder.stat().st_mode & 0o077 == 0
        assert len(list(folder.iterdir())) == 1
    assert not folder.exists()
