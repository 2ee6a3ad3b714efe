"""The `secure_aggregation:` part of a `federated:` section."""

from typing import Self

from pydantic import Field, PositiveFloat, model_validator

from oncotrain.config.load import Frozen

FROM_THE_MEAN = frozenset({"fedavg", "fedprox", "fedadam"})
"""Strategies that need nothing of the sites but their weighted mean. Whatever is not here is refused."""


class SecureAggregation(Frozen):
    """The coordinator learns the sum of the sites' updates and no single one: Bonawitz et al., Practical secure
    aggregation for privacy-preserving machine learning, CCS 2017, in its variant against an active coordinator.
    """

    threshold: int = Field(ge=2)
    """Sites that must stay to the end of a round; more than half of the roster, so that no two groups of sites that
    were told different things can both be large enough. 2 * threshold - sites - 1 sites may collude with the
    coordinator."""
    clip: PositiveFloat = 2.0**20
    """Largest magnitude of a site's weight, and of weight times change in any parameter; beyond it the site refuses."""
    bits: int = Field(24, ge=1, le=48)
    """Fractional bits that sites round to: each adds at most 2 ** -(bits + 1) to the error of the weighted sum."""

    @model_validator(mode="after")
    def _exact(self) -> Self:
        if self.clip * 2.0**self.bits > 2.0**52:
            raise ValueError("clip * 2 ** bits is above 2 ** 52, where float64 no longer holds every integer")
        return self


def refuse_single_updates(strategy: str, **hiding: object) -> None:
    """Raise ValueError if `strategy` must see single updates (median, trimmed mean, Krum), which a setting hides.

    Args:
        hiding: Settings of the section that leave a strategy the mean alone, by key; None where one is off.
    """
    for key, setting in hiding.items():
        if setting is not None and strategy not in FROM_THE_MEAN:
            raise ValueError(
                f"strategy {strategy!r} looks at single sites' updates, which {key} hides; with it are allowed: "
                f"{', '.join(sorted(FROM_THE_MEAN))}"
            )
