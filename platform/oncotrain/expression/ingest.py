"""From a hospital's three tables to a published `samples` dataset."""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from pyspark.sql import SparkSession

from oncotrain import __version__
from oncotrain.config.expression import ExpressionConfig
from oncotrain.errors import DataError
from oncotrain.expression.genes import resolve_genes
from oncotrain.expression.matrix import open_matrix
from oncotrain.expression.parts import PartWriter, constant_genes
from oncotrain.expression.refusal import record_refusals
from oncotrain.expression.response import read_responses
from oncotrain.expression.samples import match_profiles, match_responses, read_roster
from oncotrain.expression.schema import samples_schema
from oncotrain.expression.source import open_source
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import require_layout
from oncotrain.lake.manifest import Manifest, canonical_json, dataset_versions, read_manifest
from oncotrain.lake.names import require_slug
from oncotrain.lake.pseudonym import pseudonymize, site_key
from oncotrain.lake.publish import staging
from oncotrain.lake.writer import write_dataset
from oncotrain.log import get_logger

_CHUNK = 8 << 20


def ingest_expression(
    spark: SparkSession,
    lake: Lake,
    site: str,
    expression: str,
    samples: str,
    response: str,
    config: ExpressionConfig,
    name: str = "samples",
) -> dict[str, Any]:
    """Publish the samples of `site` that have an expression profile, with clinical values and responses.

    `expression`, `samples`, `response` are local paths or URIs that every Spark executor can open. What is refused goes
    to quarantine with its reason and the rest goes on. Unchanged inputs publish nothing. Returns the job's summary.
    Raises UserError for a mistake in the call or the configuration, DataError if nothing is accepted.
    """
    log = get_logger(site=require_slug("site", site), stage="ingest_expression")
    require_layout(lake)
    key = site_key(lake)
    inputs = _fingerprints(
        {
            "expression": expression,
            "samples": samples,
            "response": response,
            "genes": config.genes.file,
            "translation": config.genes.table,
        },
        {"site": site, "key": pseudonymize(key, "key", site), "config": config.model_dump(mode="json")},
    )
    newest = _newest(lake, name)
    if newest is not None and (newest.inputs, newest.code_version) == (inputs, __version__):
        log.info("inputs are those of %s/%s: nothing to do", name, newest.version)
        return {**_summary(newest), "unchanged": True}

    roster = read_roster(samples, config, site, key)
    responses = read_responses(response, config.response, config.columns)
    matrix = open_matrix(expression, config.orientation, roster.known)
    genes = resolve_genes(matrix.genes, config.genes, expression)
    log.info("%d profiles of %d genes, %s", len(matrix.samples), len(matrix.genes), matrix.orientation)
    matched, without_match = match_profiles(matrix.samples, roster, key)
    pairs, without_sample = match_responses(responses, roster, matched, key)
    records = {position: {**roster.records[sample], **pairs[sample]} for position, sample in matched.items()}

    schema = samples_schema(len(genes.names), config.clinical)
    with staging(lake) as staged:
        writer = PartWriter(matrix, genes.positions, schema, lake, staged)
        spans = writer.spans(records, tasks=spark.sparkContext.defaultParallelism)
        written = spark.sparkContext.parallelize(spans, max(1, len(spans))).map(writer.write).collect()
        unreadable = [refusal for span in written for refusal in span.refused]
        refused = [*roster.refused, *without_match, *unreadable, *responses.refused, *without_sample, *genes.refused]
        quarantined = record_refusals(lake, name, refused)
        parts = [part for span in written for part in span.parts]
        if not parts:
            raise DataError(f"{expression}: no sample was accepted; the reasons are in {lake.path('quarantine', name)}")
        features = _features(genes.names, responses.drugs, config)
        manifest = write_dataset(
            spark, lake, name, kind="samples", schema=schema, parts=parts, features=features, inputs=inputs
        )
    summary = {
        **_summary(manifest),
        "unchanged": False,
        "responses": sum(span.responses for span in written),
        "quarantined": quarantined,
        "constant_genes": int(np.count_nonzero(constant_genes(written))),
    }
    log.info("published %s/%s: %d rows, %d refused", name, manifest.version, manifest.rows, quarantined)
    return summary


def _features(genes: tuple[str, ...], drugs: tuple[str, ...], config: ExpressionConfig) -> dict[str, Any]:
    """The manifest's `features`: what a task derives its contract from."""
    return {
        "kind": "samples",
        "genes": list(genes),
        "drugs": list(drugs),
        "response": config.response.measure,
        "clinical": {
            name: field.model_dump(mode="json", exclude={"column"}) for name, field in config.clinical.items()
        },
    }


def _summary(manifest: Manifest) -> dict[str, Any]:
    return {
        "dataset": manifest.name,
        "version": manifest.version,
        "sha256": manifest.sha256,
        "rows": manifest.rows,
        "genes": len(manifest.features["genes"]),
        "drugs": len(manifest.features["drugs"]),
    }


def _newest(lake: Lake, name: str) -> Manifest | None:
    versions = dataset_versions(lake, name)
    return read_manifest(lake, name, versions[-1]) if versions else None


def _fingerprints(files: Mapping[str, str | None], settings: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of each file that is given, and of the settings as canonical JSON."""
    prints = {what: _hash(path) for what, path in files.items() if path is not None}
    return prints | {"settings": hashlib.sha256(canonical_json(settings)).hexdigest()}


def _hash(path: str) -> str:
    """SHA-256 of the file's content, decompressed, so that packing a table anew changes nothing."""
    digest = hashlib.sha256()
    with open_source(path) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
