"""What runs a function on N ranks."""

from pyspark.sql import SparkSession

from oncotrain.errors import UserError
from oncotrain.training.engines.ddp import Ddp
from oncotrain.training.engines.engine import Engine, RankLost
from oncotrain.training.engines.horovod import Horovod
from oncotrain.training.engines.single import Single

__all__ = ["Engine", "RankLost", "create_engine"]


def create_engine(name: str, spark: SparkSession | None) -> Engine:
    """The engine `name`: horovod, ddp or single. Raises UserError where it needs Spark and there is none."""
    if name == "single":
        return Single()
    if spark is None:
        raise UserError(f"engine {name} runs its ranks in Spark tasks, but there is no Spark session")
    return Ddp(spark) if name == "ddp" else Horovod(spark)
