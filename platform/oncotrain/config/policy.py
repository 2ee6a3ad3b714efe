"""A site's floor: the least that it asks of any run."""

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt, StringConstraints

from oncotrain.config.load import Frozen

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Allowed = Annotated[frozenset[str], Field(min_length=1)]


class SitePolicy(Frozen):
    """`audit/policy.yaml` in a site's lake. The site's owner alone writes it; what is left out asks for nothing.

    It is held against the configuration that the site itself was started with, so nobody else can lower it.
    """

    min_training_rows: NonNegativeInt = 0
    """Rows of this site behind an update of its own. What other sites bring, no site can check."""
    min_training_patients: NonNegativeInt = 0
    """Patients, likewise."""
    min_patients: PositiveInt = 1
    """Patients behind any sum that leaves; the run's own `min_patients` counts where it is higher."""
    min_sites: PositiveInt = 1
    """Sites in an aggregate: the least of `federated.min_sites`, and of `secure_aggregation.threshold`."""
    secure_aggregation: bool = False
    """Take part only where no single update can be seen."""
    strategies: Allowed | None = None
    """Names of `federated.strategy` that may be used; None: any."""
    metrics: Allowed | None = None
    """Figures that may be computed of the sums that leave, by the names in the task's `metrics`; None: any."""
    fits: frozenset[str] | None = None
    """The task's fits to exact sums of this site's rows that may be asked for; empty: none; None: any."""
    apps: Annotated[frozenset[Sha256], Field(min_length=1)] | None = None
    """SHA-256 of the Flower apps that may send messages; None: those that the site's command names."""
