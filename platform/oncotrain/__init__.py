"""oncotrain: centralized and federated training for precision oncology on Hadoop and Spark, compared fairly."""

__version__ = "0.1.0"
