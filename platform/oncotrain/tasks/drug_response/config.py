"""Settings of the drug response task, the keys beside `name` under `task` in a run's YAML."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from oncotrain.config import Frozen
from oncotrain.tasks.drug_response.batches import Method
from oncotrain.tasks.drug_response.fingerprint import fingerprint

MOST_OF_EACH = 128
"""Components of a ridge that needs one Gram matrix a pattern."""


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


class RidgeConfig(Frozen):
    """A ridge beside the network. What sites send for it is exact, so a private run refuses it."""

    responses: Literal["shared", "each"] = "shared"
    """`shared`: all responses together, each direction of them with a penalty of its own; a site sends one Gram matrix.
    `each`: every drug on the samples it was tested on; a site sends one for each pattern of missing responses."""
    components: int = Field(default=512, ge=1, le=1024)
    """Of the inputs; what a site sends grows with their square."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.responses == "each" and self.components > MOST_OF_EACH:
            raise ValueError(f"components is at most {MOST_OF_EACH} where responses is each, with its many matrices")
        return self


class BatchConfig(Frozen):
    """Takes off what measuring in batches did to genes and clinical numbers, by each batch's moments, which add up."""

    by: Literal["site", "cohort"]
    """The column that names a row's batch."""
    method: Method
    """`standardize`: each batch by its own mean and deviation. `combat`: a gene's location and scale in a batch are
    drawn to what the batch's genes have in common, the more the fewer its rows are."""


class DrugResponseConfig(Frozen):
    """The whole of the settings."""

    outcome: Literal["continuous", "binary"] = "continuous"
    """`binary` where responses are 1 (responder) and 0, as the ingest's `response.classes` makes them."""
    clinical: tuple[str, ...] = ()
    """Clinical columns that the network sees, named as in the ingest's YAML."""
    auxiliary: tuple[str, ...] = ()
    """Labels of responses (the ingest's `response.auxiliary`) that are learned from and not judged by."""
    terms: dict[str, tuple[str, ...]] = Field(default={})
    """What is known of drugs beforehand: drug -> terms, such as `{Erlotinib: [target EGFR, pathway EGFR signaling]}`.
    With any, or with `smiles`, the network also learns what the drugs of a term have in common, and tells which samples
    respond to a drug that no training sample was tested with; not how potent it is."""
    smiles: dict[str, str] = Field(default={})
    """Drug -> its structure, such as `{Aspirin: CC(=O)OC1=CC=CC=C1C(=O)O}`; the bits of its fingerprint are terms."""
    clinical_weight: float = Field(default=1.0, gt=0)
    """Factor on the clinical inputs: a few indicators beside thousands of genes that are penalized alike."""
    batch: BatchConfig | None = None
    """None: all rows are one batch. A row of a batch that training did not see has the scale of all."""
    normalization: Literal["moments", "quantiles"] = "moments"
    """Of genes: standardized; or then turned into normal scores, by quantiles that follow from sums over sites."""
    network: NetworkConfig = NetworkConfig()
    ridge: RidgeConfig | None = None
    """With it a prediction is the mean of the network's and a ridge's; None: the network's alone."""
    shrinkage: Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(min_length=1)] = (1.0,)
    """Candidate factors between the drug's training mean (0) and the network (1), chosen on validation patients."""
    minimum_samples: int = Field(default=10, ge=2)
    """Fewest observed samples with which a drug enters the per-drug means of a continuous outcome."""

    @field_validator("smiles")
    @classmethod
    def _are_structures(cls, value: dict[str, str]) -> dict[str, str]:
        for drug, smiles in value.items():
            try:
                fingerprint(smiles)
            except ValueError as error:
                raise ValueError(f"{drug}: {error}") from None
        return value

    def described(self) -> dict[str, tuple[str, ...]]:
        """The terms of each drug of which something is known, those of its structure among them."""
        structures = {drug: fingerprint(smiles) for drug, smiles in self.smiles.items()}
        return {drug: (*self.terms.get(drug, ()), *structures.get(drug, ())) for drug in {**self.terms, **structures}}
