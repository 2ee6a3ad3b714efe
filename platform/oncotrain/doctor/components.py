"""Each function uses one Python component for real and returns its version, or raises whatever goes wrong.

Imports are inside the functions: each runs in an interpreter of its own, with only that component at stake.
"""

import os
import pickle
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path


def spark() -> str:
    """Runs a job of two tasks."""
    from oncotrain.spark import spark_session

    session = spark_session("oncotrain-doctor", "local[2]")
    total = session.sparkContext.parallelize(range(10), 2).map(lambda number: number * number).sum()
    session.stop()
    _require(total == 285, f"a job summed the squares below 10 to {total}")
    return version("pyspark")


def petastorm() -> str:
    """Writes a small dataset with the codec that the patched build adds, and reads it."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    from fsspec.implementations.local import LocalFileSystem
    from petastorm import make_reader, pyarrow_compat, utils
    from petastorm.codecs import DeltaZstdCodec
    from petastorm.etl.dataset_metadata import ROW_GROUPS_PER_FILE_KEY, UNISCHEMA_KEY
    from petastorm.unischema import Unischema, UnischemaField

    field = UnischemaField("pixels", np.uint8, (8, 8, 3), DeltaZstdCodec(), False)
    pixels = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    with tempfile.TemporaryDirectory() as folder:
        table = pa.table({"pixels": pa.array([bytes(DeltaZstdCodec().encode(field, pixels))], pa.binary())})
        pq.write_table(table, f"{folder}/part.parquet")
        dataset = pyarrow_compat.ParquetDataset(folder, LocalFileSystem())
        utils.add_to_dataset_metadata(dataset, UNISCHEMA_KEY, pickle.dumps(Unischema("doctor", [field])))
        utils.add_to_dataset_metadata(dataset, ROW_GROUPS_PER_FILE_KEY, b'{"part.parquet": 1}')
        with make_reader(f"file://{folder}", workers_count=1) as reader:
            rows = [row.pixels for row in reader]
    _require(len(rows) == 1 and np.array_equal(rows[0], pixels), "what was read is not what was written")
    return version("petastorm")


def horovod() -> str:
    """Sums over two ranks through Gloo."""
    command = [str(Path(sys.executable).parent / "horovodrun"), "-np", "2", "--gloo"]
    code = "from oncotrain.doctor import components; components.horovod_rank()"
    subprocess.run([*command, sys.executable, "-c", code], check=True, stdout=sys.stderr)
    return version("horovod")


def horovod_rank() -> None:
    """What each of the two ranks does."""
    import horovod.torch as hvd
    import torch

    hvd.init()
    total = hvd.allreduce(torch.tensor([hvd.rank() + 1.0]), op=hvd.Sum).item()
    _require(total == 3, f"two ranks summed 1 and 2 to {total}")


def torch() -> str:
    """Differentiates x squared at 3."""
    import torch

    x = torch.tensor(3.0, requires_grad=True)
    (x * x).backward()
    _require(x.grad is not None and x.grad.item() == 6, f"the derivative of x*x at 3 is {x.grad}")
    devices = f"{torch.cuda.device_count()} GPU" if torch.cuda.is_available() else "CPU"
    return f"{version('torch')} ({devices})"


def openslide() -> str:
    """Opens a small slide, which is written first, and reads a region."""
    import numpy as np
    import openslide
    import tifffile

    pixels = np.zeros((256, 256, 3), np.uint8)
    pixels[:128] = 200
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "slide.tiff"
        tifffile.imwrite(path, pixels, tile=(128, 128), photometric="rgb")
        with openslide.OpenSlide(path) as slide:
            region = np.asarray(slide.read_region((0, 64), 0, (256, 128)).convert("RGB"))
    _require(np.array_equal(region, pixels[64:192]), "a region read from a slide is not what was written")
    return f"{openslide.__library_version__} (openslide-python {openslide.__version__})"


def flower() -> str:
    """Imports what a coordinator and a site use of it, and finds the program that is started as a process."""
    from flwr import serverapp
    from flwr.supernode.fleet_http_client import FleetHttpClient

    program = Path(sys.executable).parent / "flower-superlink"
    _require(program.is_file(), f"{program} is missing")
    _require(
        hasattr(serverapp, "ServerApp") and hasattr(FleetHttpClient, "PullMessages"), "flwr lacks what we use of it"
    )
    return version("flwr")


def hdfs() -> str:
    """Imports the client, and says which configuration it would read."""
    from hdfs_native.fsspec import HdfsFileSystem

    _require(HdfsFileSystem.protocol == "hdfs", "hdfs_native.fsspec does not serve hdfs://")
    configuration = os.environ.get("HADOOP_CONF_DIR")
    if configuration:
        _require(Path(configuration).is_dir(), f"HADOOP_CONF_DIR={configuration} is not a directory")
    return f"{version('hdfs-native')} (HADOOP_CONF_DIR {configuration or 'not set'})"


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise RuntimeError(otherwise)
