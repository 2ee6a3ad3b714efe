"""How many items are certain to be of enough patients for a sum over them to leave a site."""

from collections import Counter


def items_of_enough(patients: Counter[str], floor: int) -> int:
    """Any so many of a site's rows (or units) are of at least `floor` patients; `patients` has how many are of each."""
    return floor * max(patients.values(), default=1)
