"""TIAToolbox's part of slide_ingest.py, in an environment of its own: its pins are not those of the platform.

    uv run --isolated --no-project --with tiatoolbox==2.1.3 tests/benchmarks/tiatoolbox_patches.py \\
        SLIDE SPOTS_JSON TILE FOLDER

Two processes cut the tiles at SPOTS_JSON (pairs of x and y at level 0) and save each as PNG, its documentation's way:
a sliding window under a mask, which has one pixel for each tile of the grid, so that exactly these tiles are cut.
Prints the seconds from when both are ready until both are done.
"""

import json
import multiprocessing
import sys
import time
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from tiatoolbox.tools.patchextraction import SlidingWindowPatchExtractor
from tiatoolbox.utils.misc import imwrite
from tiatoolbox.wsicore.wsireader import WSIReader

PROCESSES = 2


def extract(slide: str, spots: list[tuple[int, int]], tile: int, folder: str, part: int, ready: Any) -> None:
    wsi, own = WSIReader.open(Path(slide)), np.asarray(spots[part::PROCESSES])
    mask = np.zeros([ceil(size / tile) for size in wsi.slide_dimensions(0, "level")[::-1]], bool)
    mask[own[:, 1] // tile, own[:, 0] // tile] = True
    extractor = SlidingWindowPatchExtractor(
        wsi, (tile, tile), input_mask=mask, resolution=0, units="level", pad_constant_values=255
    )
    if extractor.coordinate_list[:, :2].tolist() != own[np.lexsort(own.T)].tolist():
        raise ValueError("other tiles than those asked for")
    ready.wait()
    for number, patch in enumerate(extractor):
        imwrite(Path(folder) / f"{part}-{number}.png", patch)


def main() -> None:
    slide, spots, tile, folder = sys.argv[1:]
    Path(folder).mkdir(exist_ok=True)
    ready = multiprocessing.Barrier(PROCESSES + 1)
    arguments = (slide, json.loads(Path(spots).read_text()), int(tile), folder)
    processes = [multiprocessing.Process(target=extract, args=(*arguments, part, ready)) for part in range(PROCESSES)]
    for process in processes:
        process.start()
    ready.wait()
    began = time.perf_counter()
    for process in processes:
        process.join()
    seconds = time.perf_counter() - began
    if any(process.exitcode for process in processes):
        sys.exit("a process failed")
    print(seconds)


if __name__ == "__main__":
    main()
