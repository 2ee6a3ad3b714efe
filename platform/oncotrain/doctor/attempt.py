"""One line of a check: something that is tried, and what to do where it fails."""

from collections.abc import Callable

import httpx

from oncotrain.doctor.probe import Probe
from oncotrain.errors import UserError


def attempt(name: str, try_it: Callable[[], str], remedy: str = "") -> Probe:
    """`try_it` returns what was found, or raises UserError or OSError; `remedy` is added to what it says."""
    try:
        return Probe(name, try_it(), ok=True)
    except (UserError, OSError, httpx.HTTPError) as error:
        return Probe(name, "", ok=False, remedy="; ".join(filter(None, [str(error), remedy])))
