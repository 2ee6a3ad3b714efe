"""200 damaged and hostile files in one delivery, among them two good ones: the job takes these and goes on."""

import csv
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from pyspark.sql import SparkSession

from oncotrain.config.slides import SlidesConfig
from oncotrain.demo.slides import draw_slide, write_slides
from oncotrain.lake.dataset import open_dataset
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.pseudonym import pseudonymize, site_key
from oncotrain.lake.quarantine import list_refused
from oncotrain.slides.guarded import PATIENCE
from oncotrain.slides.ingest import ingest_slides
from oncotrain.slides.state import load_state
from support.dicom import write_dicom
from support.slides import SITE

pytestmark = pytest.mark.faults
CONFIG = SlidesConfig(spacing=0.5, tile=128, min_tissue=0, classes=(), missing_spacing={"image": 0.25, "tiff": 0.25})
Mutation = Callable[[bytes, np.random.Generator], bytes]


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Good files of each format, by ending."""
    folder = tmp_path_factory.mktemp("originals")
    write_slides(folder, SITE, seed=2, patients=1, size=512)
    pixels = draw_slide(np.random.default_rng(0), SITE, 512)[0]
    write_dicom(folder / "a.dcm", pixels)
    write_dicom(folder / "bare.dcm", pixels, ImageType=None)
    tiled = {"tile": (128, 128), "compression": "zlib", "photometric": "rgb"}
    metadata = {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}
    tifffile.imwrite(folder / "a.ome.tif", pixels, bigtiff=True, ome=True, metadata=metadata, **tiled)
    Image.fromarray(pixels).save(folder / "a.png")
    names = {"svs": f"{SITE}-S26-0001.svs", "png": "a.png", "ome.tif": "a.ome.tif"}
    names |= {"dcm": "a.dcm", "bare.dcm": "bare.dcm"}
    return {ending: (folder / name).read_bytes() for ending, name in names.items()}


def cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(len(data) * rng.uniform(0.02, 0.6))]


def flip(data: bytes, rng: np.random.Generator) -> bytes:
    """A hundred bytes anywhere, and some at the beginning, where the headers are."""
    changed = bytearray(data)
    for at in (*rng.integers(0, len(data), 100), *rng.integers(4, 400, 8)):
        changed[at] ^= int(rng.integers(1, 256))
    return bytes(changed)


def zero(data: bytes, rng: np.random.Generator) -> bytes:
    """A tenth of the file, from the beginning on or further in."""
    length = len(data) // 10
    at = int(rng.choice([0, int(rng.integers(0, len(data) - length))]))
    return data[:at] + bytes(length) + data[at + length :]


def swap(data: bytes, rng: np.random.Generator) -> bytes:
    """Two halves in the wrong order."""
    at = int(rng.integers(len(data) // 4, len(data) // 2))
    return data[at:] + data[:at]


def huge(data: bytes, rng: np.random.Generator) -> bytes:
    """Width and height as the headers of TIFF, DICOM and PNG state them, a million or more."""
    size = int(rng.integers(1 << 20, 1 << 30))
    for order in "<>":
        for code in "HIQ":
            stated = size % 65_521 if code == "H" else size
            data = data.replace(struct.pack(f"{order}{code}", 512), struct.pack(f"{order}{code}", stated), 8)
    return data


def bomb() -> bytes:
    """A PNG of some kilobytes that claims, and holds, 900 million pixels."""
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(1 + 30_000 * 3)) for _ in range(30_000)) + rows.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def mutants(originals: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    rng = np.random.default_rng(0)
    for mutation, count in ((cut, 8), (flip, 11), (zero, 8), (swap, 5), (huge, 6)):
        for ending, data in originals.items():
            for number in range(count):
                yield f"{mutation.__name__}{number}.{ending}", mutation(data, rng)
    yield "bomb.png", bomb()
    yield "empty.svs", b""
    yield "text.svs", b"Not a slide."
    yield "picture.svs", originals["png"][:100]
    yield "noise.dcm", b"\0" * 128 + b"DICM" + rng.bytes(5000)
    yield "noise.tif", b"II*\0" + rng.bytes(5000)
    yield "loop.tif", b"II*\0" + struct.pack("<IH", 8, 0) + struct.pack("<I", 8)
    buffer = io.BytesIO()
    Image.new("L", (64, 64)).save(buffer, "PNG")
    yield "grey.png", buffer.getvalue()


@pytest.mark.timeout(900)
def test_the_job_goes_on_and_gives_a_reason_for_each(
    spark: SparkSession, lake: Lake, tmp_path: Path, originals: dict[str, bytes]
) -> None:
    folder = tmp_path / "inbox"
    folder.mkdir()
    files = dict(mutants(originals)) | {f"good.{ending}": originals[ending] for ending in ("svs", "dcm")}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (tmp_path / "outside.svs").write_bytes(originals["svs"])
    names = [*files, "../outside.svs", "/etc/passwd", "missing.svs"]
    assert len(names) >= 200
    with (folder / "slides.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerow(("slide", "patient"))
        csv.writer(stream).writerows((name, f"P{number}") for number, name in enumerate(names))

    summary = ingest_slides(spark, lake, SITE, folder / "slides.csv", CONFIG)
    refused = {one.source: one.reason for one in list_refused(lake, "tiles")}
    assert summary["accepted"] + summary["quarantined"] == len(names)
    assert len(refused) == summary["quarantined"]
    assert all(refused.values())
    assert all(reason.isascii() for reason in refused.values())  # no text of a header

    key = site_key(lake)
    dataset = open_dataset(lake, "tiles")
    rows = dataset.index(["slide"])["slide"].value_counts()
    for name in names:
        slide = pseudonymize(key, "slide", name)
        assert (slide in rows.index) != (name in refused), name
        state = load_state(lake, "tiles", slide, 0)
        if state is not None:
            assert sum(state.seconds.values()) < PATIENCE + 10, name
            assert sum(output.rows for output in state.outputs) == rows.get(slide, 0), name
    accepted = [name for name in names if name not in refused]
    print(refused, "accepted", accepted)  # shown where the test fails
    assert {"good.svs", "good.dcm"} <= set(accepted)
    # What is still decoded as a whole slide is damage that a picture survives: some grey values, a label, a text.
    assert {name.split(".")[0].rstrip("0123456789") for name in accepted} <= {"good", "flip", "zero", "huge"}
    assert sum(1 for _ in dataset.iterate(list(dataset.schema.fields))) == summary["rows"]
