"""What commands print: tables for people, JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
CampaignFile = Annotated[str, typer.Argument(metavar="FILE", help="The campaign file, YAML.")]


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout; what JSON lacks (paths, dates) as text."""
    typer.echo(json.dumps(value, indent=2, default=str))


def teller(as_json: bool) -> Callable[[str], None]:
    """What prints a line for people: on stdout, or on stderr where that belongs to JSON."""
    return partial(typer.echo, err=as_json)


def print_warnings(warnings: Iterable[str]) -> None:
    """Print what is allowed, but hardly meant, on stderr."""
    for sentence in warnings:
        typer.echo(f"warning: {sentence}", err=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table of plain texts; brackets in them are no markup."""
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(str(cell), overflow="fold") for cell in row))
    Console().print(table)
