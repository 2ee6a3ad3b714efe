"""Settings of the drug response task, the keys beside `name` under `task` in a run's YAML."""

from typing import Annotated

from pydantic import Field

from oncotrain.config import Frozen


class NetworkConfig(Frozen):
    """A small ensemble of multi-task networks that share nothing but their input."""

    members: int = Field(default=4, ge=1)
    """Networks whose predictions are averaged; each is trained on its own loss."""
    width: int = Field(default=256, ge=1)
    depth: int = Field(default=1, ge=1)
    """Hidden layers."""
    input_dropout: float = Field(default=0.2, ge=0, lt=1)
    dropout: float = Field(default=0.5, ge=0, lt=1)
    """Of the hidden layers."""


class DrugResponseConfig(Frozen):
    """The whole of the settings."""

    clinical: tuple[str, ...] = ()
    """Clinical columns that the network sees, named as in the ingest's YAML."""
    auxiliary: tuple[str, ...] = ()
    """Labels of responses (the ingest's `response.auxiliary`) that are learned from and not judged by."""
    clinical_weight: float = Field(default=1.0, gt=0)
    """Factor on the clinical inputs: a few indicators beside thousands of genes that are penalized alike."""
    network: NetworkConfig = NetworkConfig()
    shrinkage: Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(min_length=1)] = (1.0,)
    """Candidate factors between the drug's training mean (0) and the network (1), chosen on validation patients."""
    minimum_samples: int = Field(default=10, ge=2)
    """Fewest observed samples with which a drug enters the per-drug means."""
