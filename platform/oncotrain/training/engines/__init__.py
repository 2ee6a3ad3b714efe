"""What runs a function on N ranks."""

from oncotrain.training.engines.engine import Engine, create_engine

__all__ = ["Engine", "create_engine"]
