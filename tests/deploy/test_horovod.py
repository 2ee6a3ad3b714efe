"""What the patched wheel of Horovod is for, on two ranks of this machine."""

import horovod
import pytest
import torch

NUMBERS = 4_000_003  # not a multiple of the eight that are added at once
ENDS = [0, 1, 998, 999, -4, -3, -2, -1]


def reduce_both() -> dict[str, tuple[float, list[float]]]:
    """Median processor seconds of ten sums of each precision on this rank, and the last one's numbers at ENDS."""
    import statistics
    import time

    import horovod.torch as hvd

    hvd.init()
    torch.set_num_threads(1)
    found = {}
    for dtype in (torch.float32, torch.float16):
        mine = (torch.arange(NUMBERS) % 1000 * (1 + hvd.rank()) / 7).to(dtype)
        hvd.allreduce(mine, op=hvd.Sum, name="warm-up")
        took = []
        for _ in range(10):
            began = time.process_time()
            total = hvd.allreduce(mine, op=hvd.Sum, name="sum")
            took.append(time.process_time() - began)
        found[str(dtype)] = statistics.median(took), total[ENDS].tolist()
    return found


@pytest.mark.timeout(120)
def test_halves_are_added_to_their_rounding_in_less_time_than_floats() -> None:
    """Added one by one, in software, they took more than twice as long as floats."""
    for rank in horovod.run(reduce_both, num_proc=2, use_gloo=True, network_interfaces=["lo"]):
        (floats, _), (halves, ends) = rank["torch.float32"], rank["torch.float16"]
        numbers = (torch.arange(NUMBERS) % 1000)[ENDS]
        assert ends == ((numbers / 7).half() + (numbers * 2 / 7).half()).tolist()
        assert halves < floats
