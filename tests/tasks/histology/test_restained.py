import numpy as np

from oncotrain.slides.stain import REFERENCE, UNSTAINED, find_stains
from oncotrain.tasks.histology.config import HistologyConfig
from oncotrain.tasks.histology.task import Histology
from support.tiles import tile_features, tile_row

HOSPITALS = {
    "chu-grenoble": np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]]),
    "charite-berlin": np.array([[0.74, 0.62, 0.26], [0.05, 0.80, 0.50]]),
}


def test_tiles_of_two_hospitals_come_into_one_stain_and_stored_pixels_stay() -> None:
    rng = np.random.default_rng(0)
    amounts = rng.uniform(0.1, 1.8, (256, 256, 2)) * rng.choice([[1, 0], [0, 1], [1, 1]], (256, 256))
    task = Histology(HistologyConfig(stain="macenko"))
    assert "stain" in task.columns
    assert "stain" not in Histology(HistologyConfig()).columns
    features = tile_features(256)
    adapt = task.adapt(features, task.contract(features))
    seen, stored = [], []
    for vectors in HOSPITALS.values():
        pixels = (240 * np.exp(-(amounts @ vectors))).clip(0, 255).round().astype(np.uint8)
        stains = find_stains(pixels)
        assert stains is not None
        row = tile_row(0, side=256) | {"pixels": pixels, "stain": stains.flat()}
        kept = pixels.copy()
        seen.append(adapt(row)["pixels"].astype(int))
        stored.append(pixels.astype(int))
        np.testing.assert_array_equal(row["pixels"], kept)
    assert np.abs(seen[0] - seen[1]).mean() < 6 < np.abs(stored[0] - stored[1]).mean()
    found = find_stains(seen[0].astype(np.uint8))
    assert found is not None
    expected = REFERENCE.vectors / np.linalg.norm(REFERENCE.vectors, axis=1, keepdims=True)
    assert (found.vectors * expected).sum(axis=1).min() > 0.99


def test_a_tile_without_stains_stays_and_what_was_not_scanned_stays_white() -> None:
    task = Histology(HistologyConfig(stain="macenko"))
    features = tile_features(64)
    adapt = task.adapt(features, task.contract(features))
    row = tile_row(0, valid=(40, 64)) | {"stain": UNSTAINED}
    assert adapt(row) is row
    stained = adapt(row | {"stain": REFERENCE.flat()})
    assert (stained["pixels"][40:] == 255).all()
