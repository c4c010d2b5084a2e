"""``sparc-fw init``: a commented campaign to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sparc_fw.cli.screen import Json, print_json

File = Annotated[Path, typer.Argument(metavar="[FILE]", help="Where to write it.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]


def init(file: File = Path("campaign.yaml"), force: Force = False, as_json: Json = False) -> None:
    """Write a commented starter campaign and its start structure."""
    from sparc_fw.errors import InputError
    from sparc_fw.starter import STRUCTURE_NAME, starter_campaign, starter_structure

    structure = file.parent / STRUCTURE_NAME
    taken = [path for path in (file, structure) if path.exists()]
    if taken and not force:
        raise InputError(f"{taken[0]}: exists already; choose another name, or overwrite with --force")
    try:
        file.write_text(starter_campaign())
        structure.write_text(starter_structure())
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be written: {error.strerror}") from error
    if as_json:
        print_json({"campaign_file": file, "structure": structure})
        return
    typer.echo(f"wrote {file} and {structure}; next: 'sparc-fw check {file}', then 'sparc-fw run {file}'")
