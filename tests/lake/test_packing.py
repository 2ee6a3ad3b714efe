from hypothesis import given
from hypothesis import strategies as st

from oncotrain.lake.packing import Piece, plan_files

SIZES = st.lists(st.integers(1, 60), max_size=60)


@given(SIZES, st.integers(1, 30), st.integers(1, 120))
def test_every_piece_is_packed_once_in_order(sizes: list[int], row_group: int, file: int) -> None:
    pieces = [Piece("part", number, size) for number, size in enumerate(sizes)]
    packed = [piece for plan in plan_files(pieces, row_group, file) for group in plan for piece in group]
    assert packed == pieces


@given(SIZES, st.integers(1, 30), st.integers(1, 120))
def test_row_groups_and_files_keep_their_limits(sizes: list[int], row_group: int, file: int) -> None:
    plans = plan_files([Piece("part", number, size) for number, size in enumerate(sizes)], row_group, file)
    groups = [group for plan in plans for group in plan]
    assert all(sum(piece.bytes for piece in group) <= 2 * row_group or len(group) == 1 for group in groups)
    assert all(sum(piece.bytes for group in plan for piece in group) <= file or len(plan) == 1 for plan in plans)


def test_small_pieces_fill_row_groups_of_at_least_half_the_limit() -> None:
    mb = 1_000_000
    plans = plan_files([Piece("part", number, 3 * mb) for number in range(200)])
    sizes = [sum(piece.bytes for piece in group) for plan in plans for group in plan]
    assert all(8 * mb <= size <= 32 * mb for size in sizes)
    assert all(100 * mb <= sum(p.bytes for group in plan for p in group) <= 1 << 27 for plan in plans[:-1])


def test_a_large_slides_last_pieces_make_no_small_row_group() -> None:
    of_a_range = [16_100_000, 5_500_000]
    plans = plan_files([Piece("part", number, size) for number, size in enumerate(of_a_range * 40)])
    sizes = [sum(piece.bytes for piece in group) for plan in plans for group in plan]
    assert 16_000_000 <= min(sizes) <= max(sizes) <= 32_000_000
