"""Flower's SuperLink, more patient with its own database: run as a program in place of ``flower-superlink``.

Flower (1.41) keeps messages in SQLite and gives a request up after 5 s in which others write. Whoever writes models of
a gigabyte takes longer, and one refused request ends the run.
"""

from flwr.supercore import sql_mixin
from flwr.superlink.cli.flower_superlink import flower_superlink

BUSY_MILLISECONDS = 300_000

if __name__ == "__main__":
    sql_mixin.SQLITE_PRAGMAS = tuple(  # type: ignore[assignment]  # of the same length
        (name, str(BUSY_MILLISECONDS) if name == "busy_timeout" else value) for name, value in sql_mixin.SQLITE_PRAGMAS
    )
    flower_superlink()
