"""What an arm costs: bytes that leave and reach the sites, processor time, and energy as a stated model."""

from collections.abc import Mapping

from oncotrain.config import Frozen
from oncotrain.config.study import EnergyModel


class Cost(Frozen):
    """The price of one run. Energy is modelled from the other two, never metered."""

    bytes_up: int
    """From the sites to the centre: pooled files, or parameters and sums."""
    bytes_down: int
    """From the centre to the sites."""
    cpu_seconds: float
    """Over all ranks or sites, training and evaluation."""
    energy_joules: float


def cost_of(bytes_up: Mapping[str, int], bytes_down: Mapping[str, int], cpu_seconds: float, model: EnergyModel) -> Cost:
    """Cost from bytes per site and processor seconds.

    Energy in joules = processor seconds x watts a core + bytes moved x joules a byte: the two-term model of
    Lannelongue et al. 2021 (doi:10.1002/advs.202100707) with a network term after Aslan et al. 2018
    (doi:10.1111/jiec.12630). Its constants are the study's, printed in the report.
    """
    up, down = sum(bytes_up.values()), sum(bytes_down.values())
    joules = cpu_seconds * model.watts_per_core + (up + down) * model.joules_per_byte
    return Cost(bytes_up=up, bytes_down=down, cpu_seconds=cpu_seconds, energy_joules=joules)
