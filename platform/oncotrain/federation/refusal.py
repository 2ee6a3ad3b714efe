"""Why a site did not answer, as a number: the text of an exception may carry paths and identifiers, so it stays."""

from enum import IntEnum


class Refusal(IntEnum):
    """Error codes of a site's replies, outside the range of Flower's own."""

    WORKER_GONE = 1001
    """The site's worker does not answer its client app."""
    CONFIGURATION = 1002
    """The site's configuration, task or plan does not allow what was asked."""
    DATA = 1003
    """The site's lake lacks what was asked, or rows are missing."""
    FAILED = 1004
    """Anything else; the site's own log says what."""
    PRIVACY_BUDGET = 1005
    """The round would spend more of the patients' privacy than the run or the site allows."""


def describe(code: int) -> str:
    """The name of a code, Flower's own codes included."""
    known = {refusal.value: refusal.name for refusal in Refusal}
    return f"{known.get(code, 'FLOWER')} ({code})"
