"""What Spark does in most jobs. `setup.sh` submits this once, and keeps the classes that the JVM loaded for it."""

import tempfile

from oncotrain.spark import run_tasks, spark_session

if __name__ == "__main__":
    spark = spark_session("spark_classes", "local[2]")
    squares = run_tasks(spark, [1, 2, 3], lambda number: number * number)
    with tempfile.TemporaryDirectory() as folder:
        frame = spark.createDataFrame([(number, str(number)) for number in squares], "number int, text string")
        frame.write.parquet(f"{folder}/squares")
        spark.read.parquet(f"{folder}/squares").groupBy("text").count().orderBy("text").collect()
    spark.stop()
