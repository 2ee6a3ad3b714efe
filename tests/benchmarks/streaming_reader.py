"""mosaicml-streaming's part of reader.py, in an environment of its own: its pins are not those of the platform.

    uv run --isolated --no-project --with mosaicml-streaming==0.13.0 \\
        tests/benchmarks/streaming_reader.py PNG_FILES SHARDS --workers 2 --epochs 10

PNG_FILES holds reader.py's tiles; SHARDS is made from them at the first call. Prints the size of each batch it reads.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from streaming import MDSWriter, StreamingDataLoader, StreamingDataset

BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("files", type=Path)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=0)
    options = parser.parse_args()
    if not options.shards.exists():
        _write(options.files, options.shards)
    if not options.epochs:
        return
    dataset = _Tiles(local=str(options.shards), shuffle=True, batch_size=BATCH)
    loader = StreamingDataLoader(dataset, batch_size=BATCH, num_workers=options.workers, persistent_workers=True)
    for _ in range(options.epochs):
        for batch in loader:
            print(len(batch["pixels"]), flush=True)


class _Tiles(StreamingDataset):
    def __getitem__(self, at: int) -> dict[str, Any]:
        return {name: np.array(image) for name, image in super().__getitem__(at).items()}


def _write(files: Path, shards: Path) -> None:
    """The tiles as MDS shards, losslessly: PNG is what streaming offers for images."""
    with MDSWriter(out=str(shards), columns={"pixels": "png", "instances": "png"}) as writer:
        for pixels in sorted(files.glob("*-pixels.png")):
            instances = pixels.with_name(pixels.name.replace("pixels", "instances"))
            writer.write({"pixels": Image.open(pixels), "instances": Image.open(instances)})


if __name__ == "__main__":
    main()
