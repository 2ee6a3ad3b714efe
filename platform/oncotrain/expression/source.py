"""Opening what a hospital delivers: a local path, or a URI of a file system that holds the landing zone."""

import hashlib
from pathlib import Path

import pyarrow as pa

from oncotrain.errors import UserError
from oncotrain.lake.received import open_received

_DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t", ".gct": "\t"}
_CHUNK = 8 << 20
FORMATS = ".csv, .tsv, .txt, of a matrix .gct, .mtx (each plain or .gz) and .h5ad, .parquet"


def open_source(path: str) -> pa.NativeFile:
    """A stream over `path`, decompressed where its name ends in `.gz`. Raises UserError if there is no such file."""
    stream = pa.PythonFile(open_received(path), mode="r")
    return pa.CompressedInputStream(stream, "gzip") if path.endswith(".gz") else stream


def hash_source(path: str) -> str:
    """SHA-256 of the file as it is stored. Raises UserError if there is no such file."""
    digest = hashlib.sha256()
    with open_received(path) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def is_parquet(path: str) -> bool:
    """Whether the name says Parquet."""
    return path.endswith(".parquet")


def is_gct(path: str) -> bool:
    """Whether the name says GCT."""
    return path.removesuffix(".gz").endswith(".gct")


def is_market(path: str) -> bool:
    """Whether the name says MatrixMarket."""
    return path.removesuffix(".gz").endswith(".mtx")


def delimiter(path: str) -> str:
    """The cell separator that the name implies. Raises UserError for a name that says no known format."""
    suffix = Path(path.removesuffix(".gz")).suffix.lower()
    if suffix not in _DELIMITERS:
        raise UserError(f"{path}: its name says no known format; allowed: {FORMATS}")
    return _DELIMITERS[suffix]
