"""How arrays travel: many small ones in few blocks, since each array is three requests to Flower's server.

Strategies and sites see arrays as they are; `pack` and `unpack` are called beside the connection alone. A block is a
vector of consecutive arrays of one dtype, and is decoded by itself, so that memory holds one of them beside the arrays.
"""

import json
import math
from collections.abc import Iterable, Sequence

import numpy as np
from flwr.app import Array, ArrayRecord, RecordDict

from oncotrain.federation.wire.parcel import ARRAYS, CONFIG

BLOCK_BYTES = 2**25
"""A block is closed before it would be larger; an array that is larger is one of its own."""
_LAYOUT = "blocks"
"""Key of the shapes in each block: JSON."""


def pack(contents: Iterable[RecordDict]) -> None:
    """Put the arrays of messages to be sent into blocks, in place; those that several contents share, once."""
    made: dict[int, tuple[ArrayRecord, ArrayRecord, str]] = {}
    for content in {id(each): each for each in contents}.values():
        arrays = content.array_records.get(ARRAYS)
        if arrays is None:
            continue
        if id(arrays) not in made:
            made[id(arrays)] = (arrays, *_blocks(arrays))
        _, content[ARRAYS], content.config_records[CONFIG][_LAYOUT] = made[id(arrays)]
    for arrays, _, _ in made.values():
        arrays.clear()  # it refers to itself: dropped alone, it would stay until the garbage collector comes


def unpack(content: RecordDict) -> None:
    """Put the arrays of a message that came back as they were, in place.

    Raises ValueError, KeyError or TypeError if the blocks are not those that their layout tells.
    """
    layout = content.config_records[CONFIG].pop(_LAYOUT, None)
    blocks = content.array_records.get(ARRAYS)
    if blocks is None:
        return
    arrays = ArrayRecord()
    for key, shapes in zip(list(blocks), json.loads(str(layout)), strict=True):
        vector = blocks.pop(key).numpy()
        ends = np.cumsum([math.prod(shape) for shape in shapes])
        if vector.ndim != 1 or (ends.size and ends[-1]) != vector.size:
            raise ValueError(f"block {key} has shape {vector.shape}, and its arrays {shapes}")
        for piece, shape in zip(np.split(vector, ends[:-1]), shapes, strict=True):
            arrays[str(len(arrays))] = Array(piece.reshape(shape))
    content[ARRAYS] = arrays


def _blocks(arrays: ArrayRecord) -> tuple[ArrayRecord, str]:
    blocks, layout, pending = ArrayRecord(), list[list[tuple[int, ...]]](), list[np.ndarray]()

    def close() -> None:
        vectors = [each.reshape(-1) for each in pending]
        blocks[str(len(layout))] = Array(np.concatenate(vectors) if len(vectors) > 1 else vectors[0])
        layout.append([each.shape for each in pending])
        pending.clear()

    for array in (each.numpy() for each in arrays.values()):
        if pending and not _fits(array, pending):
            close()
        pending.append(array)
    if pending:
        close()
    return blocks, json.dumps(layout)


def _fits(array: np.ndarray, pending: Sequence[np.ndarray]) -> bool:
    return array.dtype == pending[0].dtype and array.nbytes + sum(each.nbytes for each in pending) <= BLOCK_BYTES
