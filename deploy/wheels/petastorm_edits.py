"""What is changed in Petastorm 0.13.1, the last release, so that it runs on a current stack and loses no row."""

from source_edits import Cut, Edit

NAME = "petastorm"
RELEASE = "0.13.1"
VERSION = "0.13.1+oncotrain4"
SHA256 = "7d073f01f65ba6b50e05fae8254d0f469881bcaf41ead2028e676517c45bbd1b"  # the wheel: there is no sdist of it
DIST_INFO = f"petastorm-{RELEASE}.dist-info"
ADDED = {"pyarrow_compat.py": "petastorm/pyarrow_compat.py", "delta_zstd.py": "petastorm/delta_zstd.py"}
DROPPED = ("examples",)  # a top-level package of that name does not belong into an environment

_LEGACY = "pyarrow 15 dropped the legacy Parquet dataset; the compatibility module has the part that is used"
_NUMPY2 = "renamed or removed in NumPy 2"
_HDFS = "pyarrow.hdfs is gone and libhdfs is not on PyPI: hdfs-native, which fails over between NameNodes itself"
_DISTUTILS = "distutils is deprecated and leaves in Python 3.12; packaging is a dependency already"
_LOCAL = "pyarrow's legacy local filesystem is gone: fsspec's"
_UNUSED_HANDLE = "a second handle on the file that nothing read and nothing closed: one footer read per row group less"
_ROW_LOSS = (
    "lost rows: between 'all queues are empty' and 'the ventilator has completed' the last items can be handed out. "
    "Ask the ventilator first: once it has completed, empty queues stay empty"
)
_UNPICKLER = "admitted every name of builtins, numpy, pyspark: eval among them. Exact class names only"
_LABEL = "tells the patched build from the release"

_IMPORT_PQ = "from pyarrow import parquet as pq\n"
_COMPAT_PQ = "from petastorm import pyarrow_compat as pq\n"

_CODEC = '''class DeltaZstdCodec(DataframeColumnCodec):
    """Lossless: differences of neighbours, then zstd. For uint8, uint16, int32 of shape (H, W) or (H, W, C)."""

    def encode(self, unischema_field, value):
        self._check(unischema_field, value.dtype, value.shape)
        return bytearray(delta_zstd.encode(value))

    def decode(self, unischema_field, value):
        # The header is checked against the schema before anything is decompressed.
        header = delta_zstd.header(value)
        self._check(unischema_field, header.dtype, header.shape)
        return delta_zstd.decode(value)

    @staticmethod
    def _check(unischema_field, dtype, shape):
        if np.dtype(unischema_field.numpy_dtype) != dtype or not _matches(shape, unischema_field.shape):
            raise ValueError('Field {}: expected {} of shape {}, got {} of shape {}'.format(
                unischema_field.name, np.dtype(unischema_field.numpy_dtype), unischema_field.shape, dtype, shape))

    def spark_dtype(self):
        import pyspark.sql.types as sql_types

        return sql_types.BinaryType()

    def __str__(self):
        return f'{type(self).__name__}()'


def _matches(shape, expected):
    """True if the shape is the expected one, where None stands for any length."""
    return len(shape) == len(expected) and all(e is None or s == e for s, e in zip(shape, expected))


'''

_ADMITTED = """# The classes that the pickled Unischema of a dataset may name: these and no others.
ADMITTED = frozenset(
    [('petastorm.unischema', name) for name in ('Unischema', 'UnischemaField')]
    + [('petastorm.codecs', name) for name in (
        'CompressedImageCodec', 'CompressedNdarrayCodec', 'DeltaZstdCodec', 'NdarrayCodec', 'ScalarCodec')]
    + [('pyspark.sql.types', name) for name in (
        'BinaryType', 'BooleanType', 'ByteType', 'DateType', 'DecimalType', 'DoubleType', 'FloatType', 'IntegerType',
        'LongType', 'ShortType', 'StringType', 'TimestampType')]
    + [('numpy', name) for name in (
        'bool', 'bool_', 'bytes_', 'datetime64', 'float16', 'float32', 'float64', 'int16', 'int32', 'int64', 'int8',
        'str_', 'uint16', 'uint32', 'uint64', 'uint8')]
    + [('collections', 'OrderedDict'), ('decimal', 'Decimal')]
)
"""

_THREAD_POOL_LOOP = """        while True:
            # Ask the ventilator before looking at the queues: once it has completed, empty queues stay empty.
            ventilation_completed = not self._ventilator or self._ventilator.completed()
            if self.all_workers_done() and ventilation_completed:
                raise EmptyResultError()

            try:
                # Items are dealt out round-robin, and results are collected in the same order. A worker that has no
                # result yet is waited for, never skipped: the order of rows depends on the seed alone.
                result = self._results_queues[self._get_results_worker_id].get(
                    timeout=_VERIFY_END_OF_VENTILATION_PERIOD)
"""

_DUMMY_POOL_LOOP = """            while True:
                # Ask the ventilator before looking at the queue: once it has completed, an empty queue stays empty.
                ventilation_completed = not self._ventilator or self._ventilator.completed()
                if not self._ventilator_queue:
                    if ventilation_completed:
                        raise EmptyResultError()
                    sleep(.001)
                    continue

"""

_PROCESS_POOL_CHECK = """            # Ask the ventilator before comparing: once it has completed, no item is added.
            ventilation_completed = not self._ventilator or self._ventilator.completed()
            if self._ventilated_items == self._ventilated_items_processed:
                if ventilation_completed:
"""

_CONNECT = '''        """
        :param url: the parsed URL: a NameNode, with or without a port, or a name service of ``HADOOP_CONF_DIR``
        :param driver: ignored, there is one
        :param user: ignored; hdfs-native takes ``HADOOP_USER_NAME`` or the Kerberos ticket
        :return: an fsspec filesystem
        """
        return HdfsFileSystem(url.hostname, url.port)

    @classmethod
    def connect_to_either_namenode(cls, list_of_namenodes, user=None):
        """
        :param list_of_namenodes: ``host:port`` of each NameNode of one name service
        :param user: ignored, see above
        :return: an fsspec filesystem that fails over between them
        """
        names = ['nn{}'.format(number) for number in range(len(list_of_namenodes))]
        config = {'dfs.namenode.rpc-address.nameservice.' + name: address
                  for name, address in zip(names, list_of_namenodes)}
        return HdfsFileSystem('nameservice', **{'dfs.ha.namenodes.nameservice': ','.join(names), **config})
'''

EDITS: tuple[Edit | Cut, ...] = (
    # pyarrow's legacy Parquet dataset
    *(
        Edit(f"petastorm/{module}.py", _IMPORT_PQ, _COMPAT_PQ, _LEGACY)
        for module in (
            "reader",
            "arrow_reader_worker",
            "py_dict_reader_worker",
            "etl/dataset_metadata",
            "etl/rowgroup_indexing",
            "etl/petastorm_generate_metadata",
            "etl/metadata_util",
        )
    ),
    *(
        Edit(f"petastorm/{module}.py", old, new, _UNUSED_HANDLE)
        for module in ("arrow_reader_worker", "py_dict_reader_worker")
        for old, new in (
            ("from pyarrow.parquet import ParquetFile\n", ""),
            (
                "        # Create pyarrow file system\n"
                "        parquet_file = ParquetFile(self._dataset.fs.open(piece.path))\n",
                "        parquet_file = None  # the piece opens the file itself\n",
            ),
        )
    ),
    # NumPy 2
    Edit("petastorm/arrow_reader_worker.py", "np.unicode_", "np.str_", _NUMPY2),
    Edit("petastorm/unischema.py", "                    np.unicode_: T.StringType(),\n", "", _NUMPY2),
    Edit("petastorm/unischema.py", "np.unicode_", "np.str_", _NUMPY2),
    Edit("petastorm/unischema.py", "np.string_", "np.bytes_", _NUMPY2, count=3),
    Edit("petastorm/tf_utils.py", "    np.unicode_: tf.string,\n", "", _NUMPY2),
    Edit("petastorm/tf_utils.py", "np.unicode_", "np.str_", _NUMPY2, count=3),
    Edit("petastorm/tf_utils.py", "np.string_", "np.bytes_", _NUMPY2),
    Edit("petastorm/predicates.py", "np.in1d", "np.isin", _NUMPY2),
    Edit("petastorm/weighted_sampling_reader.py", "dtype=np.float)", "dtype=np.float64)", _NUMPY2),
    # filesystems
    Edit("petastorm/fs_utils.py", "import pyarrow\n", "", _LOCAL),
    Edit(
        "petastorm/fs_utils.py",
        "from fsspec.core import strip_protocol\n",
        "from fsspec.core import strip_protocol\nfrom fsspec.implementations.local import LocalFileSystem\n",
        _LOCAL,
    ),
    Edit("petastorm/fs_utils.py", "_filesystem = pyarrow.localfs", "_filesystem = LocalFileSystem()", _LOCAL),
    Edit("petastorm/fs_utils.py", "lambda: pyarrow.localfs", "LocalFileSystem", _LOCAL),
    Edit("petastorm/hdfs/namenode.py", "import functools\nimport inspect\n", "", _HDFS),
    Edit("petastorm/hdfs/namenode.py", "from distutils.version import LooseVersion\n", "", _DISTUTILS),
    Edit(
        "petastorm/hdfs/namenode.py",
        "import pyarrow\nimport six\nfrom pyarrow.hdfs import HadoopFileSystem\nfrom pyarrow.lib import ArrowIOError\n",
        "from hdfs_native.fsspec import HdfsFileSystem\n",
        _HDFS,
    ),
    Cut("petastorm/hdfs/namenode.py", "class HdfsConnectError(IOError):\n", "class HdfsConnector(object):", "", _HDFS),
    Cut(
        "petastorm/hdfs/namenode.py",
        '        """\n        Performs HDFS connect in one place',
        "",
        _CONNECT,
        _HDFS,
    ),
    Edit(
        "petastorm/utils.py",
        "import pyarrow\n",
        "import pyarrow.parquet\n",
        "the submodule is used and was imported by chance",
    ),
    Edit(
        "petastorm/utils.py",
        "from pyarrow.filesystem import LocalFileSystem\n",
        "from fsspec.implementations.local import LocalFileSystem\n",
        _LOCAL,
    ),
    Edit("petastorm/utils.py", "import logging\nimport os\n", "import io\nimport logging\nimport os\n", _HDFS),
    Edit(
        "petastorm/utils.py",
        "        pyarrow.parquet.write_metadata(schema, metadata_file)\n",
        "        buffer = io.BytesIO()\n"
        "        pyarrow.parquet.write_metadata(schema, buffer)\n"
        "        metadata_file.write(buffer.getvalue())\n",
        "hdfs-native's write stream has no tell(), which pyarrow asks for",
    ),
    Edit(
        "petastorm/spark/spark_dataset_converter.py",
        "from distutils.version import LooseVersion\n",
        "",
        _DISTUTILS,
    ),
    Edit(
        "petastorm/spark/spark_dataset_converter.py",
        "from pyarrow import LocalFileSystem\n",
        "from fsspec.implementations.local import LocalFileSystem\nfrom packaging.version import Version\n",
        _LOCAL,
    ),
    Edit("petastorm/spark/spark_dataset_converter.py", "LooseVersion(", "Version(", _DISTUTILS, count=4),
    # rows
    Cut(
        "petastorm/workers_pool/thread_pool.py",
        "        # If shuffle_rows is enabled and the seed is not set, we need to use a non-blocking\n",
        "                # If the result is a VentilatedItemProcessedMessage,",
        _THREAD_POOL_LOOP,
        _ROW_LOSS + ". And a worker without a result was skipped or spun on: rows came in another order with one seed",
    ),
    Cut(
        "petastorm/workers_pool/dummy_pool.py",
        "            while self._ventilator_queue or (",
        "                # If we do have some tasks, then process a task from the head of a queue\n",
        _DUMMY_POOL_LOOP,
        _ROW_LOSS,
    ),
    Edit(
        "petastorm/workers_pool/dummy_pool.py",
        "                    return self._results_queue.pop(0)\n\n            raise EmptyResultError()\n",
        "                    return self._results_queue.pop(0)\n",
        "the loop above ends in it",
    ),
    Edit(
        "petastorm/workers_pool/process_pool.py",
        "            if self._ventilated_items == self._ventilated_items_processed:\n"
        "                # We also need to check if we are using a ventilator and if it is completed\n"
        "                if not self._ventilator or self._ventilator.completed():\n",
        _PROCESS_POOL_CHECK,
        _ROW_LOSS,
    ),
    Edit(
        "petastorm/workers_pool/process_pool.py",
        "            started_indicator = _keep_retrying_while_zmq_again(\n"
        "                _KEEP_TRYING_WHILE_ZMQ_AGAIN_IS_RAIZED_TIMEOUT_S,\n",
        "            started_indicator = _keep_retrying_while_zmq_again(\n"
        "                _WORKERS_STARTED_TIMEOUT_S,\n",
        "the wait for workers had the constant of another wait",
    ),
    Edit(
        "petastorm/workers_pool/process_pool.py",
        "_WORKERS_STARTED_TIMEOUT_S = 20\n",
        "_WORKERS_STARTED_TIMEOUT_S = 120\n",
        "on a busy machine a worker's imports alone take 20 s",
    ),
    Edit(
        "petastorm/reader.py",
        '        print("Cache cleanup complete.")\n',
        "",
        "stdout belongs to results: the last line of a job is its summary",
    ),
    # unpickling
    Cut(
        "petastorm/etl/legacy.py",
        "# List of packages which symbols are allowed to be loaded\n",
        "\n\nclass RestrictedUnpickler(",
        _ADMITTED,
        _UNPICKLER,
    ),
    Edit(
        "petastorm/etl/legacy.py",
        '        """Only allow safe classes from builtins"""\n'
        '        package_name = module.split(".")[0]\n'
        "        if package_name in safe_modules:\n",
        "        if (module, name) in ADMITTED:\n",
        _UNPICKLER,
    ),
    # our codec
    Edit(
        "petastorm/codecs.py",
        "import numpy as np\n\n\n",
        "import numpy as np\n\nfrom petastorm import delta_zstd\n\n\n",
        "a lossless codec that decodes tiles about three times faster than PNG",
    ),
    Edit(
        "petastorm/codecs.py",
        "def _is_compliant_shape(",
        _CODEC + "def _is_compliant_shape(",
        "it has to live here: schemas are pickled, and the unpickler admits this module's codecs",
    ),
    # the package itself
    Edit("petastorm/__init__.py", f"'{RELEASE}'", f"'{VERSION}'", _LABEL),
    Edit(f"{DIST_INFO}/METADATA", f"Version: {RELEASE}\n", f"Version: {VERSION}\n", _LABEL),
    Edit(f"{DIST_INFO}/METADATA", "Requires-Dist: setuptools<70\n", "", "nothing here needs it, and torch wants >=77"),
    Edit(
        f"{DIST_INFO}/METADATA",
        "Requires-Dist: pyarrow>=6.0.1\n",
        "Requires-Dist: pyarrow>=16\nRequires-Dist: zstandard\nRequires-Dist: hdfs-native\n"
        "Requires-Dist: opencv-python-headless\n",
        "what the patched modules import",
    ),
    Edit(f"{DIST_INFO}/top_level.txt", "examples\n", "", "dropped"),
)
