"""Options that several commands share."""

from typing import Annotated

import typer

LakeOption = Annotated[str, typer.Option(help="the lake's root: file:///path or hdfs://host:port/path")]
SiteOption = Annotated[str, typer.Option(help="the site's name")]
WIDE = 180
"""Columns of a table that goes into a file or a pipe."""
