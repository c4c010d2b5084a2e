"""``sparc-fw import-sparc``: go on from a run of SPARC."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparc_fw.cli.screen import Json, print_json

if TYPE_CHECKING:
    from sparc_fw.errors import InputError
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
    told, problem = _check(run, paths[0])
    if as_json:
        print_json(_values(run, paths, told))
    else:
        _print(run, paths, told)
    if problem is not None:
        raise problem


def _print(run: SparcRun, paths: list[Path], told: str) -> None:
    typer.echo("not carried over:")
    for note in run.not_carried:
        typer.echo(f"  {note.option} = {note.found}: {note.why}")
    left_out = "".join(f", {count} left out as {reason}" for reason, count in run.refused.items())
    typer.echo(f"{len(run.labels)} labels{left_out}; {len(run.not_carried)} options not carried over")
    for path in paths:
        typer.echo(f"wrote {path}")
    typer.echo(told)


def _check(run: SparcRun, path: Path) -> tuple[str, InputError | None]:
    """Whether the campaign can label what the run labelled, in a sentence, and why not."""
    from sparc_fw.errors import InputError
    from sparc_fw.loading import load_campaign
    from sparc_fw.settings import load_settings
    from sparc_fw.sparc_labeler import check_labeler
    from sparc_fw.sparc_runs import LABELS

    kind = run.campaign["labeler"]["kind"]
    if kind != "vasp":
        return f"complete the section 'labeler' of {path} ({kind!r}) before you run it", None
    try:
        missing = check_labeler(load_campaign(path), LABELS, load_settings())
    except InputError as error:
        told = f"{path}: the labeler cannot label the run's frames: {error}"
        return f"change the section 'labeler' of {path} before you run it", InputError(told)
    there = f"; what the labeler needs here: {'; '.join(missing)}" if missing else ""
    return f"the labeler takes the run's frames{there}; look the campaign through, then: sparc-fw check {path}", None


def _values(run: SparcRun, paths: list[Path], told: str) -> dict[str, Any]:
    return {
        "campaign": run.campaign,
        "labels": len(run.labels),
        "refused": dict(run.refused),
        "not_carried": [vars(note) for note in run.not_carried],
        "files": [str(path) for path in paths],
        "next": told,
    }
