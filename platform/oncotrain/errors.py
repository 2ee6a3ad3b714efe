"""Errors a user can act on. Each knows its exit code, so that every job ends the same way.

Exit codes: 0 done; 2 usage or configuration; 3 nothing accepted, or rows missing; 130 interrupted and resumable.
"""


class UserError(Exception):
    """A mistake in what the user typed or wrote: the message names the file, the key, the value and what is allowed."""

    exit_code = 2


class DataError(UserError):
    """The data do not allow the job to go on: nothing was accepted, or rows that the manifest lists are missing."""

    exit_code = 3


class LostConnectionError(OSError):
    """A daemon of HDFS is gone, or never was there: no mistake in what was typed, so Spark tries a task again."""


TOLD = (UserError, PermissionError, LostConnectionError)
"""What ends a job or a command in words, without a traceback."""


def exit_code(error: Exception) -> int:
    """Of one that is told: its own, or that of a usage error where an account may not enter or nobody answers."""
    return error.exit_code if isinstance(error, UserError) else UserError.exit_code
