"""Frozen models of every YAML file, one module a file kind, and the one loader."""

from oncotrain.config.load import Frozen, load_yaml, parse

__all__ = ["Frozen", "load_yaml", "parse"]
