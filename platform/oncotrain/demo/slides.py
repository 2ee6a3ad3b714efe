"""Demo slides: what a hospital's scanner and pathologist would deliver, with an exact truth, from a seed.

Each hospital gets pyramidal slides in Aperio's format (with the identifying texts and images that a scanner adds), a
QuPath GeoJSON of every nucleus, and a manifest. Nuclei look alike everywhere; the stain differs by hospital.
"""

import csv
import json
import uuid
from collections.abc import Sequence
from math import log
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile

from oncotrain.demo.nuclei import Nucleus, paint, place

MPP = 0.25
NUCLEI_PER_MM2 = 4000
COLOURS = {
    "epithelial": (200, 0, 0),
    "lymphocyte": (0, 80, 220),
    "macrophage": (230, 160, 0),
    "neutrophil": (0, 150, 60),
}

STAINS = {
    "chu-grenoble": ((0.65, 0.70, 0.29), (0.07, 0.99, 0.11), (1.00, 1.00)),
    "uz-leuven": ((0.55, 0.76, 0.34), (0.12, 0.88, 0.30), (0.75, 1.25)),
    "charite-berlin": ((0.74, 0.62, 0.26), (0.05, 0.80, 0.50), (1.15, 0.80)),
}
"""Site -> optical density of haematoxylin and of eosin in red, green and blue (Ruifrok and Johnston, Anal. Quant.
Cytol. Histol. 23, 2001, varied by hospital), and how strongly each is applied."""


def write_slides(folder: Path, site: str, seed: int, patients: int = 6, size: int = 1536) -> Path:
    """Write one slide of `size` x `size` pixels for each patient, and return the manifest.

    The same arguments give the same bytes. The last third of the patients are the manifest's test part.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(1, patients + 1):
        rng = np.random.default_rng([seed, *site.encode(), number])
        patient, name = f"{site}-MRN{700000 + number:06d}", f"{site}-S26-{number:04d}"
        pixels, nuclei = draw_slide(rng, site, size)
        _write_svs(folder / f"{name}.svs", pixels, patient, name)
        (folder / f"{name}.geojson").write_text(json.dumps(_geojson(rng, nuclei)), encoding="utf-8")
        part = "test" if number > patients - patients // 3 else "train"
        rows.append((f"{name}.svs", patient, f"{name}.geojson", "demo", part))
    manifest = folder / "slides.csv"
    with manifest.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("slide", "patient", "annotations", "cohort", "part"), *rows])
    return manifest


def draw_slide(rng: np.random.Generator, site: str, size: int) -> tuple[np.ndarray, list[Nucleus]]:
    """A piece of tissue on glass: uint8 (size, size, 3) RGB, and its nuclei."""
    tissue = _tissue(rng, size)
    fibres = _noise(rng, size, 40) + 0.6 * _noise(rng, size, 9)
    eosin = (0.24 + 0.07 * fibres + 0.02 * _noise(rng, size, 2)) * cv2.GaussianBlur(tissue, (0, 0), 3)
    haematoxylin = (0.06 + 0.02 * _noise(rng, size, 25)).clip(0) * tissue
    nuclei = place(rng, tissue > 0.5, int(NUCLEI_PER_MM2 * tissue.sum() * (MPP / 1000) ** 2), MPP)
    paint(rng, nuclei, haematoxylin, eosin)
    colour_h, colour_e, strength = (np.asarray(value, np.float32) for value in STAINS[site])
    strength = strength * rng.normal(1, 0.05, 2).astype(np.float32)
    eosin = eosin.clip(0.05 * tissue)
    density = (strength[0] * haematoxylin)[..., None] * colour_h + (strength[1] * eosin)[..., None] * colour_e
    density = cv2.GaussianBlur(density, (0, 0), 0.7)
    light = 244 * np.exp(-log(10) * density) + rng.standard_normal((size, size, 1), np.float32) * 1.5
    return light.clip(0, 255).astype(np.uint8), nuclei


def _tissue(rng: np.random.Generator, size: int) -> np.ndarray:
    """A blob with a wavy edge that leaves glass around it: float32, 1 inside, 0 outside."""
    angle = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    radius = np.full(angle.shape, 0.43)
    for wave in range(2, 7):
        radius += rng.normal(0, 0.012) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    corners = size * (0.5 + np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius[:, None])
    canvas = np.zeros((size, size), np.uint8)
    cv2.fillPoly(canvas, [corners.round().astype(np.int32)], 1)
    return canvas.astype(np.float32)


def _noise(rng: np.random.Generator, size: int, grain: int) -> np.ndarray:
    """Smooth noise with blobs of about `grain` pixels: float32, mean 0, standard deviation about 1."""
    small = rng.standard_normal((size // grain + 3, size // grain + 3), np.float32)
    return cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)


def _geojson(rng: np.random.Generator, nuclei: Sequence[Nucleus]) -> dict[str, object]:
    features = [
        {
            "type": "Feature",
            "id": str(uuid.UUID(bytes=rng.bytes(16), version=4)),
            "geometry": {"type": "Polygon", "coordinates": [[*nucleus.outline.tolist(), nucleus.outline[0].tolist()]]},
            "properties": {
                "objectType": "detection",
                "classification": {"name": nucleus.population.name, "color": COLOURS[nucleus.population.name]},
            },
        }
        for nucleus in nuclei
    ]
    return {"type": "FeatureCollection", "features": features}


def _write_svs(path: Path, pixels: np.ndarray, patient: str, name: str) -> None:
    """Baseline, thumbnail, a level four times smaller, label, macro: the order and texts of an Aperio scanner."""
    size = pixels.shape[0]
    small = cv2.resize(pixels, (size // 4, size // 4), interpolation=cv2.INTER_AREA)
    thumbnail = cv2.resize(pixels, (256, 256), interpolation=cv2.INTER_AREA)
    header = "Aperio Image Library v12.0.15\n"
    facts = f"|AppMag = 40|MPP = {MPP:.4f}|Filename = {name}|Patient = {patient}|User = Dr. A. Example|Date = 03/14/26"
    jpeg: dict[str, Any] = {
        "compression": "jpeg",
        "compressionargs": {"level": 92},
        "photometric": "rgb",
        "metadata": None,
    }
    tiled: dict[str, Any] = {**jpeg, "tile": (256, 256)}
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(
            pixels, **tiled, description=f"{header}{size}x{size} [0,0 {size}x{size}] (256x256) JPEG/RGB Q=92{facts}"
        )
        tiff.write(thumbnail, **jpeg, description=f"{header}{size}x{size} -> 256x256 - {facts}")
        tiff.write(
            small,
            **tiled,
            description=f"{header}{size}x{size} (256x256) -> {size // 4}x{size // 4} JPEG/RGB Q=92{facts}",
        )
        tiff.write(_written(patient, (160, 320)), **jpeg, subfiletype=1, description=f"{header}label 320x160")
        macro = np.concatenate([_written(name, (160, 160)), cv2.resize(thumbnail, (320, 160))], axis=1)
        tiff.write(macro, **jpeg, subfiletype=9, description=f"{header}macro 480x160")


def _written(text: str, shape: tuple[int, int]) -> np.ndarray:
    """A paper label with `text` on it, uint8 (height, width, 3)."""
    paper = np.full((*shape, 3), 235, np.uint8)
    return cv2.putText(paper, text, (6, shape[0] // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 60), 1, cv2.LINE_AA)
