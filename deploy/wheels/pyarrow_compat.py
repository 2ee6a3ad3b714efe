"""The part of pyarrow's legacy Parquet dataset that Petastorm is written against, on fsspec filesystems.

pyarrow 15 dropped ``ParquetDatasetPiece``, hive partitions by dictionary index, and the ``_common_metadata`` attribute.
Petastorm needs them to address single row groups; here they are, and nothing more.
"""

import operator
import posixpath

import numpy as np
import pyarrow as pa
from pyarrow.parquet import ParquetFile, read_metadata

__all__ = ["ParquetDataset", "ParquetDatasetPiece", "ParquetPartitions", "PartitionSet", "read_metadata"]

_COMPARISONS = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda value, allowed: value in allowed,
    "not in": lambda value, refused: value not in refused,
}


class PartitionSet:
    """The distinct values of one hive partition column; a piece refers to them by index."""

    def __init__(self, name, keys):
        self.name = name
        self.keys = keys

    @property
    def dictionary(self):
        """The values as an Arrow array: int64 if every one of them is an integer, strings otherwise."""
        try:
            return pa.array([int(key) for key in self.keys], pa.int64())
        except ValueError:
            return pa.array(self.keys, pa.string())


class ParquetPartitions:
    """The partition columns of a dataset, outermost first; empty, hence false, for a flat one."""

    def __init__(self, levels):
        self.levels = levels

    @property
    def partition_names(self):
        return {level.name for level in self.levels}

    def __len__(self):
        return len(self.levels)

    def __getitem__(self, index):
        return self.levels[index]


class ParquetDatasetPiece:
    """One Parquet file, or one row group of it. ``partition_keys`` is a list of (column, index into its values)."""

    def __init__(self, path, open_file_func, row_group=None, partition_keys=()):
        self.path = path
        self.row_group = row_group
        self.partition_keys = list(partition_keys)
        self._open = open_file_func

    def get_metadata(self):
        with self._open(self.path, "rb") as handle:
            return read_metadata(handle)

    def read(self, columns=None, partitions=None):
        """An Arrow table, its columns in file order, partition columns appended as dictionary arrays."""
        with self._open(self.path, "rb") as handle:
            parquet = ParquetFile(handle)
            wanted = None if columns is None else [name for name in parquet.schema_arrow.names if name in columns]
            table = parquet.read(wanted) if self.row_group is None else parquet.read_row_group(self.row_group, wanted)
        for level, (name, index) in enumerate(self.partition_keys):
            indices = pa.array(np.full(len(table), index, dtype=np.int32))
            table = table.append_column(name, pa.DictionaryArray.from_arrays(indices, partitions[level].dictionary))
        return table


class ParquetDataset:
    """The Parquet files below a directory, a single file, or a list of files.

    ``filters`` are (partition column, comparison, value) triples, all of which must hold, or a list of such lists, one
    of which must hold. They select files: a column that the dataset is not partitioned by is an error.
    """

    def __init__(self, path_or_paths, filesystem, validate_schema=False, metadata_nthreads=1, filters=None):
        del validate_schema, metadata_nthreads  # accepted for the callers' sake: schemas are not compared here
        self.fs = filesystem
        self.paths = path_or_paths
        self.metadata_path = self.common_metadata_path = None
        if isinstance(path_or_paths, list):
            files = list(path_or_paths)
        elif filesystem.isdir(path_or_paths):
            files = self._walk(path_or_paths)
        elif filesystem.isfile(path_or_paths):
            files = [path_or_paths]
        else:
            raise FileNotFoundError(f"No Parquet file or directory at {path_or_paths}")
        keys = [self._partition_values(path) for path in files]
        names = list(dict(pair for pairs in keys for pair in pairs))
        values = {name: sorted({dict(pairs)[name] for pairs in keys if name in dict(pairs)}) for name in names}
        self.partitions = ParquetPartitions([PartitionSet(name, values[name]) for name in names])
        self.pieces = [
            ParquetDatasetPiece(path, self.fs.open, partition_keys=[(n, values[n].index(v)) for n, v in pairs])
            for path, pairs in zip(files, keys, strict=True)
            if self._selected(pairs, filters)
        ]
        self.metadata = self._read_summary(self.metadata_path)
        self.common_metadata = self._read_summary(self.common_metadata_path)

    def _walk(self, directory):
        files = []
        for entry in sorted(self.fs.ls(directory, detail=True), key=lambda entry: entry["name"]):
            name = posixpath.basename(entry["name"].rstrip("/"))
            if entry["type"] == "directory":
                if not name.startswith(("_", ".")) or "=" in name:
                    files += self._walk(entry["name"])
            elif name == "_common_metadata":
                self.common_metadata_path = self.common_metadata_path or entry["name"]
            elif name == "_metadata":
                self.metadata_path = self.metadata_path or entry["name"]
            elif not name.startswith(("_", ".")) and not name.endswith((".crc", "_$folder$")):
                files.append(entry["name"])
        return files

    def _partition_values(self, path):
        if isinstance(self.paths, list):
            return []
        directories = posixpath.relpath(posixpath.dirname(path), self.paths).split("/")
        return [tuple(directory.split("=", 1)) for directory in directories if "=" in directory]

    def _selected(self, pairs, filters):
        if not filters:
            return True
        values = dict(pairs)

        def holds(column, comparison, reference):
            if column not in values:
                known = sorted(self.partitions.partition_names)
                raise ValueError(f"Cannot filter by {column!r}: the dataset is partitioned by {known}")
            value = values[column]
            sample = next(iter(reference)) if comparison in ("in", "not in") else reference
            return _COMPARISONS[comparison](type(sample)(value), reference)

        alternatives = [filters] if isinstance(filters[0], tuple) else filters
        return any(all(holds(*condition) for condition in conditions) for conditions in alternatives)

    def _read_summary(self, path):
        if path is None:
            return None
        with self.fs.open(path, "rb") as handle:
            return read_metadata(handle)
