"""``sparc-fw export`` and ``sparc-fw models``: take labels and models out of the store."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from sparc_fw.cli.control import CampaignName
from sparc_fw.cli.screen import Json, print_json


class Format(str, Enum):
    """File formats that labels can be written in."""

    extxyz = "extxyz"
    traj = "traj"
    ase_db = "ase-db"
    deepmd = "deepmd"
    deepmd_mixed = "deepmd-mixed"
    ani = "ani"


models_app = typer.Typer(help="Trained models.", no_args_is_help=True)


def export(
    campaign: CampaignName,
    to: Annotated[Format, typer.Option("--to", help="File format.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="File or folder; CAMPAIGN and an ending where unset.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a campaign's good labels into a file or folder, so that 'sparc-fw import' takes them back."""
    from sparc_fw.export import export_labels
    from sparc_fw.session import open_session
    from sparc_fw.settings import load_settings

    with open_session(load_settings()) as session:
        path, count = export_labels(session.store, campaign, to.value, out)
    if as_json:
        print_json({"campaign": campaign, "format": to.value, "file": path, "labels": count})
        return
    typer.echo(f"wrote {count} labels to {path}")


@models_app.command("get")
def get(
    name: Annotated[str, typer.Argument(metavar="CAMPAIGN|MODEL", help="A campaign, or a model such as NAME/0002/1.")],
    to: Annotated[Path, typer.Option("--to", help="Folder to lay the files into.")],
    as_json: Json = False,
) -> None:
    """Lay a campaign's last committee and its promoted member, or one model, into a folder."""
    from sparc_fw.export import lay_models
    from sparc_fw.session import open_session
    from sparc_fw.settings import load_settings

    with open_session(load_settings()) as session:
        paths = lay_models(session.store, name, to)
    if as_json:
        print_json({"name": name, "files": paths})
        return
    for path in paths:
        typer.echo(str(path))
