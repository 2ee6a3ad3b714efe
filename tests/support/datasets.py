"""Small datasets of both kinds, written through the real write path, for whoever needs one in a test."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
from petastorm.unischema import Unischema
from pyspark.sql import SparkSession

from oncotrain.lake.filesystem import Lake
from oncotrain.lake.manifest import Manifest
from oncotrain.lake.schema import image, scalar, vector
from oncotrain.lake.staging import staging
from oncotrain.lake.writer import write_dataset, write_part

KEYS = [scalar("site", str), scalar("patient", str), scalar("cohort", str), scalar("part", str)]


def tiles_schema(tile: int) -> Unischema:
    """The schema of kind `tiles`, `tile` pixels a side."""
    shape = (tile, tile)
    return Unischema(
        "tiles",
        [
            *KEYS,
            scalar("slide", str),
            scalar("region", np.int32),
            scalar("x", np.int64),
            scalar("y", np.int64),
            scalar("spacing", np.float32),
            image("pixels", np.uint8, (*shape, 3)),
            image("instances", np.int32, shape),
            image("classes", np.uint8, shape),
            image("valid", np.uint8, shape),
            image("labelled", np.uint8, shape),
            scalar("tissue", np.float32),
        ],
    )


def samples_schema(genes: int) -> Unischema:
    """The schema of kind `samples` with `genes` genes and the clinical columns `sex` and `age`."""
    return Unischema(
        "samples",
        [
            *KEYS,
            scalar("sample", str),
            vector("expression", np.float32, genes),
            scalar("clinical_sex", str, nullable=True),
            scalar("clinical_age", np.float64, nullable=True),
            vector("drug", np.int32),
            vector("response", np.float32),
        ],
    )


def write_tiles(
    spark: SparkSession,
    lake: Lake,
    site: str,
    *,
    patients: int = 6,
    slides: int = 1,
    tiles: int = 4,
    tile: int = 32,
    classes: Sequence[str] = ("epithelial", "lymphocyte"),
    row_group_tiles: int = 3,
    seed: int = 0,
    name: str = "tiles",
) -> Manifest:
    """Publish `patients` x `slides` slides of a row of `tiles` adjacent tiles with square nuclei, at 0.25 µm/px.

    Nuclei are dark on a light ground, every second slide has classes, every third patient is declared test.
    """
    rng = np.random.default_rng(seed)

    def rows(patient: int, slide: int) -> Iterator[dict[str, Any]]:
        for number in range(tiles):
            instances = np.zeros((tile, tile), np.int32)
            corners = [(y, x) for y in range(2, tile - 8, 10) for x in range(2, tile - 8, 10) if rng.random() < 0.7]
            for nucleus, (y, x) in enumerate(corners, start=1 + 1000 * number):
                instances[y : y + 6, x : x + 6] = nucleus
            has_classes = slide % 2 == 0
            shade = np.where(instances > 0, 90, 220)[..., None] + rng.integers(-20, 20, (tile, tile, 3))
            yield {
                "site": site,
                "patient": f"{site}-p{patient:03d}",
                "cohort": "",
                "part": "test" if patient % 3 == 2 else "train",
                "slide": f"{site}-p{patient:03d}-s{slide}",
                "region": 0,
                "x": number * tile,
                "y": 0,
                "spacing": 0.25,
                "pixels": shade.astype(np.uint8),
                "instances": instances,
                "classes": ((instances % len(classes) + 1) * (instances > 0) * has_classes).astype(np.uint8),
                "valid": np.ones((tile, tile), np.uint8),
                "labelled": np.full((tile, tile), 3 if has_classes else 1, np.uint8),
                "tissue": 1.0,
            }

    sources = {f"{p:03d}-{s}": rows(p, s) for p in range(patients) for s in range(slides)}
    features = {"kind": "tiles", "spacing": 0.25, "tile": tile, "classes": list(classes)}
    # A row group is closed once full, so a part's row groups hold `row_group_tiles` rows at least as long as a tile
    # takes no more than its raw pixels.
    return _write(spark, lake, name, tiles_schema(tile), sources, features, row_group_tiles * tile * tile * 2)


def write_samples(
    spark: SparkSession,
    lake: Lake,
    site: str,
    *,
    patients: int = 20,
    genes: int = 12,
    drugs: Sequence[str] = ("afatinib", "bosutinib", "cisplatin"),
    observed: float = 0.8,
    noise: float = 0.1,
    responders: Callable[[np.ndarray], np.ndarray] | None = None,
    missing: Collection[str] = (),
    leak: bool = False,
    row_group_patients: int = 8,
    seed: int = 0,
    name: str = "samples",
) -> Manifest:
    """Publish one sample a patient; a drug's response is a linear function of the expression, plus noise.

    The weights are those of the drug's name, so that sites agree on the signal. Each (sample, drug) pair is observed
    with probability `observed`, and one at least. Every third patient is declared test. `responders` makes classes (0
    or 1) of the numbers; `missing` are clinical columns that the site does not record; with a `leak` the first gene
    holds the response to the first drug, where it is known.
    """
    rng = np.random.default_rng(seed)
    drugs = sorted(drugs)
    weights = np.stack([np.random.default_rng(list(drug.encode())).normal(size=genes) for drug in drugs])

    def rows(patient: int) -> Iterator[dict[str, Any]]:
        expression = rng.normal(size=genes)
        indices = np.flatnonzero(rng.random(len(drugs)) < observed)
        indices = indices if len(indices) else np.array([0])
        response = weights[indices] @ expression / np.sqrt(genes) + noise * rng.normal(size=len(indices))
        if responders is not None:
            response = responders(response)
        if leak and indices[0] == 0:
            expression[0] = response[0]
        clinical = {
            "sex": None if patient % 5 == 4 else ("female", "male")[patient % 2],
            "age": None if patient % 7 == 6 else float(40 + patient % 30),
        }
        yield {
            "site": site,
            "patient": f"{site}-p{patient:03d}",
            "cohort": "",
            "part": "test" if patient % 3 == 2 else "train",
            "sample": f"{site}-p{patient:03d}",
            "expression": expression.astype(np.float32),
            **{f"clinical_{name}": None if name in missing else value for name, value in clinical.items()},
            "drug": indices.astype(np.int32),
            "response": response.astype(np.float32),
        }

    features = {
        "kind": "samples",
        "genes": [f"ENSG{number:011d}" for number in range(genes)],
        "drugs": drugs,
        "response": "LN_IC50" if responders is None else "responder",
        "clinical": {
            "sex": {"type": "category", "categories": ["female", "male"]},
            "age": {"type": "number", "unit": "years", "min": 0, "max": 120},
        },
    }
    sources = {f"{patient:03d}": rows(patient) for patient in range(patients)}
    return _write(spark, lake, name, samples_schema(genes), sources, features, row_group_patients * 600)


def _write(
    spark: SparkSession,
    lake: Lake,
    name: str,
    schema: Unischema,
    sources: dict[str, Iterator[dict[str, Any]]],
    features: dict[str, Any],
    row_group_bytes: int,
) -> Manifest:
    with staging(lake) as folder:
        for source, rows in sources.items():
            write_part(lake.fs, f"{folder}/{source}.parquet", schema, rows, row_group_bytes)
        return write_dataset(
            spark,
            lake,
            name,
            kind=features["kind"],
            schema=schema,
            parts=[f"{folder}/{source}.parquet" for source in sources],
            features=features,
            inputs=dict.fromkeys(sources, "0" * 64),
            row_group_bytes=row_group_bytes,
            file_bytes=4 * row_group_bytes,
        ).manifest
