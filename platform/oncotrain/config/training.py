"""A run's YAML: the task with its settings, the data, and how the model is trained."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from oncotrain.config.federation import FederatedConfig
from oncotrain.config.load import Frozen, parse
from oncotrain.config.privacy import Privacy, PrivacyConfig
from oncotrain.config.split import SplitRule


class OptimizerConfig(Frozen):
    """The update rule, `torch.optim.AdamW` or `torch.optim.SGD`."""

    name: Literal["adamw", "sgd"] = "adamw"
    lr: float = Field(default=1e-3, gt=0)
    """The peak learning rate; the schedule scales it."""
    base_batch: int | None = Field(default=None, ge=1)
    """Rows a step for which `lr` is meant: it is scaled linearly to `batch_size` (Goyal et al. 2017, arXiv:1706.02677).
    None: `lr` is used as it is."""
    weight_decay: float = Field(default=0.0, ge=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    """For sgd only."""


class ScheduleConfig(Frozen):
    """How the learning rate follows the step."""

    name: Literal["cosine", "constant"] = "cosine"
    warmup: float = Field(default=0.0, ge=0, lt=1)
    """Fraction of the steps over which the rate rises linearly to its peak."""


class TrainConfig(Frozen):
    """Everything that, with the data, determines the trained parameters; and where the work is done."""

    seed: int = Field(default=0, ge=0)
    steps: int = Field(ge=1)
    """Gradient steps of the whole run: the length of the schedule too."""
    batch_size: int = Field(ge=1)
    """Rows a step: over all ranks; of each site in federated mode. With `privacy`, patients expected a step."""
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    clip_norm: float | None = Field(default=None, gt=0)
    """Largest L2 norm of the gradient; None does not clip."""
    micro_batch: int | None = Field(default=None, ge=1)
    """Rows that a rank computes at once: of more, gradients are accumulated. Changes memory, not the result."""
    precision: Literal["float32", "bfloat16", "float16", "float64"] = "float32"
    """bfloat16 and float16 compute the forward pass in mixed precision; parameters stay float32. float16 scales the
    loss, and skips steps whose gradient overflows: for GPUs without bfloat16."""
    compression: Literal["none", "float16"] = "none"
    """How gradients travel between ranks: as they are, or as means rounded to float16, in half the bytes."""
    privacy: Privacy | None = None
    """Differential privacy at the site; None: none."""
    augment: bool = True
    shuffle_groups: int = Field(default=8, ge=1)
    """Row groups whose rows are mixed: more mix better and keep more encoded row groups in memory."""
    validate_every: int = Field(default=100, ge=1)
    """Steps between validations; a checkpoint is written at each."""
    patience: int | None = Field(default=None, ge=1)
    """Validations in a row without a better primary figure that end the training; None trains all steps. Federated
    rounds are always trained to the end."""
    keep: int = Field(default=2, ge=1)
    """Newest checkpoints that are kept, beside the best."""
    attempts: int = Field(default=3, ge=1)
    """Times that the ranks are started: one that is lost costs the steps since the newest checkpoint."""
    engine: Literal["horovod", "ddp", "single"] = "horovod"
    ranks: int = Field(default=2, ge=1)
    threads: int = Field(default=1, ge=1)
    """Threads that a rank computes with."""
    readers: int = Field(default=1, ge=1)
    """Threads that read, decode and augment for a rank, beside those that compute."""
    disk_cache_gib: float | None = Field(default=None, gt=0)
    """Local disk of a machine for row groups of a lake that is far away; None: each epoch reads them again."""

    @model_validator(mode="after")
    def _single_is_one(self) -> Self:
        if self.engine == "single" and self.ranks != 1:
            raise ValueError(f"engine single has 1 rank; found ranks: {self.ranks}")
        return self

    @model_validator(mode="after")
    def _private_steps_are_all_taken(self) -> Self:
        if self.privacy and self.precision == "float16":
            raise ValueError("privacy excludes precision float16, which skips steps as the data have it; use bfloat16")
        return self


class SplitConfig(Frozen):
    """Which patients train, validate and test."""

    name: str
    """Name of the frozen split in the lake."""
    rule: SplitRule | None = None
    """What makes the split where the lake has none of that name; None: it must be there."""


class RunConfig(Frozen):
    """The YAML of `jobs/configs/`."""

    task: dict[str, Any]
    """`name`, and the task's own settings."""
    dataset: str | None = None
    """Name of the curated dataset; None is the task's default."""
    split: SplitConfig
    train: TrainConfig
    federated: FederatedConfig | None = None

    @model_validator(mode="after")
    def _private_weights_are_no_data(self) -> Self:
        private = isinstance(self.train.privacy, PrivacyConfig)
        if private and self.federated and self.federated.weighting != "equal":
            raise ValueError("train.privacy needs federated.weighting: equal; how many items are labelled is data")
        return self

    @model_validator(mode="after")
    def _private_by_one_unit(self) -> Self:
        if self.train.privacy and self.federated and self.federated.site_privacy:
            raise ValueError("train.privacy (of patients) and federated.site_privacy (of sites) exclude each other")
        return self


def with_train(config: RunConfig, changes: Mapping[str, Any], source: str) -> RunConfig:
    """`config` with these keys of its `train` section replaced; None leaves a key as it is.

    Raises UserError, naming `source`, where a value is not allowed.
    """
    data = config.model_dump(mode="json")
    data["train"] |= {key: value for key, value in changes.items() if value is not None}
    return parse(RunConfig, data, source)
