"""TIAToolbox's part of slide_ingest.py, in an environment of its own: its pins are not those of the platform.

    uv run --isolated --no-project --with tiatoolbox==2.1.3 tests/benchmarks/tiatoolbox_patches.py \\
        SLIDE SPOTS_JSON TILE FOLDER

Two processes cut the tiles at SPOTS_JSON (pairs of x and y at level 0) and save each as PNG, its documentation's way.
Prints the seconds from when both are ready until both are done.
"""

import json
import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from tiatoolbox.tools.patchextraction import PointsPatchExtractor
from tiatoolbox.utils.misc import imwrite

PROCESSES = 2


def extract(slide: str, spots: list[tuple[int, int]], tile: int, folder: str, part: int, ready: Any) -> None:
    middles = np.asarray(spots[part::PROCESSES]) + tile // 2
    extractor = PointsPatchExtractor(
        input_img=Path(slide), locations_list=middles, patch_size=(tile, tile), resolution=0, units="level"
    )
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
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main()
