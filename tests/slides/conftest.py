"""A hospital's delivery: two good demo slides, a good image with a mask, and whatever can be wrong with a slide."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oncotrain.config import load_yaml
from oncotrain.config.slides import SlidesConfig
from oncotrain.demo.slides import write_slides
from support.slides import SITE, Delivery

COLUMNS = ("slide", "patient", "mpp", "annotations", "mask")


@pytest.fixture(scope="session")
def slides_config() -> SlidesConfig:
    """The shipped configuration, with smaller tiles."""
    shipped = load_yaml(Path(__file__).parents[2] / "jobs" / "configs" / "ingest_slides.yaml", SlidesConfig)
    return shipped.model_copy(update={"tile": 256})


@pytest.fixture
def delivery(demo_slides: Path, tmp_path: Path) -> Delivery:
    """A folder that a test may change."""
    folder = tmp_path / "inbox"
    folder.mkdir()
    rows: list[dict[str, str]] = []
    with demo_slides.open(encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            rows.append({"slide": row["slide"], "patient": row["patient"], "annotations": row["annotations"]})
            for name in (row["slide"], row["annotations"]):
                (folder / name).write_bytes((demo_slides.parent / name).read_bytes())
    whole = (folder / rows[0]["slide"]).read_bytes()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(60, 200, (300, 280, 3), dtype=np.uint8)).save(folder / "crop.png")
    mask = np.zeros((300, 280), np.uint16)
    mask[10:20, 250:270] = 7
    Image.fromarray(mask).save(folder / "mask.png")
    Image.fromarray(mask[:, 1:]).save(folder / "small.png")
    good = [*(row["slide"] for row in rows), "crop.png"]
    rows.append({"slide": "crop.png", "patient": "Jane Doe", "mpp": "0.25", "mask": "mask.png"})

    (folder / "no_mpp.png").write_bytes((folder / "crop.png").read_bytes())
    (folder / "other_mask.png").write_bytes((folder / "crop.png").read_bytes())
    (folder / "truncated.svs").write_bytes(whole[: len(whole) // 2])
    (folder / "flipped.svs").write_bytes(whole[:60_000] + b"\0" * 40_000 + whole[100_000:])
    (folder / "text.svs").write_text("This is not a slide.")
    (folder / "empty.svs").touch()
    (folder / "scribble.svs").write_bytes(whole)
    (folder / "scribble.geojson").write_text("{")
    (tmp_path / "outside.svs").write_bytes(whole)
    bad = {
        "no_mpp.png": "does not state its spacing",
        "other_mask.png": "mask is 279 x 300 px, the slide 280 x 300",
        "truncated.svs": "is damaged",
        "flipped.svs": "is damaged",
        "text.svs": "is neither a slide",
        "empty.svs": "is neither a slide",
        "scribble.svs": "annotations are not a GeoJSON file",
        "../outside.svs": "leaves the manifest's folder",
        "gone.svs": "does not exist",
    }
    rows += [{"slide": name, "patient": "John Roe"} for name in bad]
    rows[[row["slide"] for row in rows].index("other_mask.png")] |= {"mpp": "0.25", "mask": "small.png"}
    rows[[row["slide"] for row in rows].index("scribble.svs")] |= {"annotations": "scribble.geojson"}
    manifest = folder / "slides.csv"
    with manifest.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return Delivery(manifest, good, bad)


@pytest.fixture(scope="session")
def demo_slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifest of two small demo slides; not to be changed."""
    return write_slides(tmp_path_factory.mktemp("demo"), SITE, seed=3, patients=2, size=768)
