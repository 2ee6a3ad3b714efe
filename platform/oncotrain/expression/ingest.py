"""From a hospital's three tables to a published `samples` dataset."""

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from pyspark.sql import SparkSession

from oncotrain import __version__
from oncotrain.config.expression import ExpressionConfig
from oncotrain.errors import DataError
from oncotrain.expression.genes import Genes, resolve_genes
from oncotrain.expression.matrix import ExpressionMatrix, open_matrix
from oncotrain.expression.parts import PART_BYTES, PartWriter, constant_genes
from oncotrain.expression.refusal import Refusal, record_refusals
from oncotrain.expression.response import read_responses
from oncotrain.expression.samples import Roster, leave_out, match_profiles, match_responses, read_roster
from oncotrain.expression.schema import samples_schema
from oncotrain.expression.source import hash_source
from oncotrain.lake.filesystem import Lake
from oncotrain.lake.layout import require_layout
from oncotrain.lake.manifest import Manifest, canonical_json, dataset_versions, read_manifest
from oncotrain.lake.names import require_slug
from oncotrain.lake.pseudonym import Pseudonyms
from oncotrain.lake.publish import write_summary
from oncotrain.lake.staging import staging
from oncotrain.lake.withdrawal import withdraw_late, withdrawn
from oncotrain.lake.writer import write_dataset
from oncotrain.log import get_logger
from oncotrain.spark import run_tasks


class Selection(NamedTuple):
    """What is to be written: rows less their expression by position in the matrix, and what was refused so far."""

    matrix: ExpressionMatrix
    genes: Genes
    drugs: tuple[str, ...]
    records: dict[int, dict[str, Any]]
    refused: list[Refusal]


def ingest_expression(
    spark: SparkSession,
    lake: Lake,
    site: str,
    expression: str,
    samples: str,
    response: str,
    config: ExpressionConfig,
    name: str = "samples",
    part_bytes: int = PART_BYTES,
) -> dict[str, Any]:
    """Publish the samples of `site` that have an expression profile, with clinical values and responses.

    `expression`, `samples`, `response` are local paths or URIs that every Spark executor can open; a task holds some
    `part_bytes` of expression at a time. What is refused goes to quarantine with its reason and the rest goes on;
    unchanged inputs publish nothing. Returns the job's summary.

    Raises UserError for a mistake in the call or the configuration, DataError if nothing is accepted.
    """
    log = get_logger(site=require_slug("site", site), stage="ingest_expression")
    require_layout(lake)
    pseudonyms = Pseudonyms(lake)
    inputs = _fingerprints(
        {
            "expression": expression,
            "samples": samples,
            "response": response,
            "genes": config.genes.file,
            "translation": config.genes.table,
        },
        {"site": site, "pseudonyms": pseudonyms.make("site", site), "config": config.model_dump(mode="json")},
    )
    newest = _newest(lake, name)
    if newest is not None and (newest.inputs, newest.code_version) == (inputs, __version__):
        log.info("inputs are those of %s/%s: nothing to do", name, newest.version)
        return _summary(newest, site, unchanged=True)

    gone = withdrawn(lake)
    roster = leave_out(read_roster(samples, config, site, pseudonyms), gone)
    selection = _select(expression, roster, response, config, pseudonyms)
    pseudonyms.save()
    matrix, genes = selection.matrix, selection.genes
    log.info("%d profiles of %d genes, %s", len(matrix.samples), len(matrix.genes), matrix.orientation)
    schema = samples_schema(len(genes.names), config.clinical)
    with staging(lake) as staged:
        writer = PartWriter(matrix, genes.positions, schema, lake, staged, part_bytes)
        spans = writer.spans(selection.records, tasks=spark.sparkContext.defaultParallelism)
        written = run_tasks(spark, spans, writer.write)
        unreadable = [refusal for span in written for refusal in span.refused]
        quarantined = record_refusals(lake, name, [*selection.refused, *unreadable])
        parts = [part for span in written for part in span.parts]
        if not parts:
            raise DataError(f"{expression}: no sample was accepted; the reasons are in {lake.path('quarantine', name)}")
        features = _features(genes.names, selection.drugs, config)
        manifest, new = write_dataset(
            spark, lake, name, kind="samples", schema=schema, parts=parts, features=features, inputs=inputs
        )
    if withdraw_late(spark, lake, site, gone, {record["patient"] for record in selection.records.values()}):
        log.warning("consent was withdrawn meanwhile: once more, without that patient")
        return ingest_expression(spark, lake, site, expression, samples, response, config, name, part_bytes)
    summary = {
        **_summary(manifest, site, unchanged=not new),
        "responses": sum(span.responses for span in written),
        "quarantined": quarantined,
        "constant_genes": int(np.count_nonzero(constant_genes(written))),
    }
    write_summary(lake, name, summary)
    verb = "published" if new else "another job has already published"
    log.info("%s %s/%s: %d rows, %d refused", verb, name, manifest.version, manifest.rows, quarantined)
    return summary


def _select(
    expression: str, roster: Roster, response: str, config: ExpressionConfig, pseudonyms: Pseudonyms
) -> Selection:
    """Match the three tables; only names are read of the matrix."""
    responses = read_responses(response, config.response, config.columns)
    matrix = open_matrix(expression, config.orientation, roster.known)
    genes = resolve_genes(matrix.genes, config.genes, expression)
    matched, without_match = match_profiles(matrix.samples, roster, pseudonyms)
    pairs, without_sample = match_responses(responses, roster, matched, pseudonyms)
    return Selection(
        matrix,
        genes,
        responses.drugs,
        {position: {**roster.records[sample], **pairs[sample]} for position, sample in matched.items()},
        [*roster.refused, *without_match, *responses.refused, *without_sample, *genes.refused],
    )


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


def _summary(manifest: Manifest, site: str, *, unchanged: bool) -> dict[str, Any]:
    return {
        "site": site,
        "dataset": manifest.name,
        "version": manifest.version,
        "unchanged": unchanged,
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
    prints = {what: hash_source(path) for what, path in files.items() if path is not None}
    return prints | {"settings": hashlib.sha256(canonical_json(settings)).hexdigest()}
