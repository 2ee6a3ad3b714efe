"""What a study found, as data: `report.json` is this, and the page is drawn from it."""

from oncotrain.config import Frozen
from oncotrain.study.accounting import Cost
from oncotrain.study.statistics import Interval


class CurvePoint(Frozen):
    """One validation during training."""

    step: int
    """Sequential gradient steps so far."""
    value: float
    """The primary figure on validation patients."""


class Guarantee(Frozen):
    """What a private run guarantees, at each site by itself."""

    unit: str
    """Whose part in training is hidden: each training patient's, or the whole site's."""
    delta: float
    epsilon: dict[str, float]
    """By site, of one run: every further one, such as another seed's, adds to what is known."""


class ArmResult(Frozen):
    """One arm over all seeds, tested on the study's pooled test patients."""

    arm: str
    seeds: tuple[int, ...]
    primary: Interval
    figures: dict[str, float]
    """Every figure, averaged over seeds."""
    primary_by_seed: dict[int, float]
    steps: int
    """Sequential gradient steps: what one model went through."""
    samples_seen: int
    """Rows the gradients were computed on, over all ranks or sites, of one seed."""
    cost: Cost
    """Of one seed, averaged over seeds."""
    curve: tuple[CurvePoint, ...]
    """Of the first seed."""
    privacy: Guarantee | None
    """Of the first seed; None where the arm guarantees nothing."""

    @property
    def is_control(self) -> bool:
        """Whether it is what a private arm is held against."""
        return "+control:" in self.arm


class Comparison(Frozen):
    """An arm against another on the same test patients."""

    arm: str
    against: str
    """Centralized; for an arm with noise of patients' privacy, its control as well."""
    difference: Interval
    verdict: str


class Departure(Frozen):
    """What left one site under one arm, from the audit."""

    arm: str
    site: str
    what: str
    messages: int
    bytes: int


class ExchangedFigure(Frozen):
    """A federated arm's primary figure as merged from the sites' sums, to hold against the recomputed one."""

    arm: str
    seed: int
    value: float


class CaseResult(Frozen):
    """One use case of a study."""

    name: str
    task: str
    primary: str
    margin: float
    test_patients: int
    arms: tuple[ArmResult, ...]
    not_alone: tuple[str, ...]
    """Sites without the local arm that the study asks for: their patients are too few to train, choose and test."""
    comparisons: tuple[Comparison, ...]
    departures: tuple[Departure, ...]
    exchanged_figures: tuple[ExchangedFigure, ...]


class StudyResult(Frozen):
    """The whole study."""

    study: str
    created: str
    code_version: str
    sites: tuple[str, ...]
    watts_per_core: float
    joules_per_byte: float
    cases: tuple[CaseResult, ...]
