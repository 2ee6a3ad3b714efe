"""A study: which arms are compared, on which sites, over which seeds, by which margin. Fixed before the first run."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from oncotrain.config.load import Frozen

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]

ARMS = (
    *("centralized", "local", "federated"),
    *("federated+dp", "federated+control", "federated+sitedp", "federated+secure"),
)
"""In the order of the report. Those with a plus take `train.privacy`, nothing but its sampler, `federated.site_privacy`
and `federated.secure_aggregation` of the run configuration, which the other arms are trained without."""


def _known_arms(arms: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [arm for arm in arms if arm not in ARMS]
    if unknown or not arms:
        raise ValueError(f"arms must be of {', '.join(ARMS)}; found {', '.join(unknown) or 'none'}")
    return arms


class EnergyModel(Frozen):
    """Energy is modelled, not metered: most virtual machines have no power counter."""

    watts_per_core: float = Field(default=10.0, gt=0)
    """Watts a busy core draws, its share of memory and cooling included."""
    joules_per_byte: float = Field(default=2.2e-4, ge=0)
    """Network transfer, end to end; 0.06 kWh/GB (Aslan et al. 2018, doi:10.1111/jiec.12630) is 2.2e-4 J/byte."""


class Case(Frozen):
    """One use case of a study: a run configuration, and how much worse federated may be."""

    config: str
    """The run configuration, a path relative to the study's file."""
    margin: float = Field(gt=0)
    """Non-inferiority margin on the task's primary figure."""


class StudyConfig(Frozen):
    """A study's YAML. Lakes are URIs, or paths relative to the working directory."""

    name: Slug
    centre: str
    sites: dict[Slug, str] = Field(min_length=2)
    """Site -> its lake."""
    cases: dict[Slug, Case] = Field(min_length=1)
    arms: Annotated[tuple[str, ...], AfterValidator(_known_arms)] = ARMS[:3]
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    bootstrap: int = Field(default=1000, ge=100)
    """Resamples of the test patients behind every interval."""
    energy: EnergyModel = EnergyModel()
