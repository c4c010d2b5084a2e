"""``sparc-fw import-sparc``: go on from a run of SPARC."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparc_fw.cli.screen import Json, print_json

if TYPE_CHECKING:
    from sparc_fw.sparc_runs import SparcRun


def import_sparc(
    run_dir: Annotated[Path, typer.Argument(metavar="RUN_DIR", help="The folder of a SPARC run.")],
    to: Annotated[
        Path | None, typer.Option("--to", help="New folder for campaign and labels; ./NAME where unset.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="The campaign's name; the folder's where unset.")] = None,
    as_json: Json = False,
) -> None:
    """Turn a run of SPARC into a campaign file and its labels, and name what could not be carried over."""
    from sparc_fw.sparc_runs import read_run, write_run

    run = read_run(run_dir, name)
    paths = write_run(run, to or Path(run.campaign["name"]))
    checked = _check(run, paths[0])
    if as_json:
        print_json(_values(run, paths, checked))
        return
    typer.echo("not carried over:")
    for note in run.not_carried:
        typer.echo(f"  {note.option} = {note.found}: {note.why}")
    left_out = "".join(f", {count} left out as {reason}" for reason, count in run.refused.items())
    typer.echo(f"{len(run.labels)} labels{left_out}; {len(run.not_carried)} options not carried over")
    for path in paths:
        typer.echo(f"wrote {path}")
    typer.echo(checked)


def _check(run: SparcRun, path: Path) -> str:
    """Whether the campaign file is whole, in a sentence."""
    from sparc_fw.loading import load_campaign
    from sparc_fw.registry import backend_classes

    kind = run.campaign["labeler"]["kind"]
    if kind not in backend_classes("labeler"):
        return f"there is no labeler {kind!r} here: complete the section 'labeler' of {path} before you run it"
    load_campaign(path)
    return f"look it through, then: sparc-fw check {path}"


def _values(run: SparcRun, paths: list[Path], checked: str) -> dict[str, Any]:
    return {
        "campaign": run.campaign,
        "labels": len(run.labels),
        "refused": dict(run.refused),
        "not_carried": [vars(note) for note in run.not_carried],
        "files": [str(path) for path in paths],
        "next": checked,
    }
