"""Histology: nuclei on stained tissue, segmented, classified and counted."""

from oncotrain.tasks.histology.task import create

__all__ = ["create"]
