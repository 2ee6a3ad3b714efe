import threading
import time
from contextlib import closing
from itertools import islice

import pytest

from oncotrain.training.loader import EARLY, prefetch


def wait_until(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_order_whatever_finishes_first(threads: int) -> None:
    def make(item: int) -> int:
        time.sleep(0.01 if item % 2 else 0)
        return item * item

    assert list(prefetch(make, iter(range(20)), threads)) == [item * item for item in range(20)]


def test_fetching_runs_ahead_of_making_and_no_further() -> None:
    fetched: list[int] = []
    with closing(prefetch(lambda item: item, range(100), early=fetched.append)) as made:
        assert list(islice(made, 3)) == [0, 1, 2]
        wait_until(lambda: len(fetched) == EARLY + 3)
        time.sleep(0.05)
        assert fetched == list(range(EARLY + 3))
        assert len(list(made)) == 97
    assert fetched == list(range(len(fetched)))  # the last ones may be called off


def test_what_fetching_raises_is_left_to_making() -> None:
    def fail(item: int) -> None:
        raise OSError(item)

    def make(item: int) -> int:
        return item if item < 5 else fail(item)

    made = prefetch(make, range(10), 2, early=fail)
    assert list(islice(made, 5)) == [0, 1, 2, 3, 4]
    with pytest.raises(OSError, match="5"):
        next(made)


def test_closing_ends_the_threads() -> None:
    made = prefetch(lambda item: item, range(100), 2, early=lambda item: item)
    next(made)
    assert any(thread.name.startswith("fetcher") for thread in threading.enumerate())
    made.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("loader", "fetcher"))]
