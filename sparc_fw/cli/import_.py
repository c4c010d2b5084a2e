"""``sparc-fw import``: take labelled configurations from files into the store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparc_fw.cli.control import CampaignName
from sparc_fw.cli.screen import Json, print_json, print_table

if TYPE_CHECKING:
    from sparc_fw.label_import import ImportOutcome


def import_(
    campaign: CampaignName,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="Files, or folders of runs.")],
    trust_settings: Annotated[
        bool,
        typer.Option("--trust-settings", help="Take the energies as the labeler's where no file says what they are."),
    ] = False,
    system: Annotated[
        str | None, typer.Option("--system", help="The system of all frames; where unset, found by their atoms.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option("--format", help="The format, where it is not found out: extxyz, …, ase:NAME or dpdata:NAME."),
    ] = None,
    energy_key: Annotated[str | None, typer.Option("--energy-key", help="Other name of the energy, eV.")] = None,
    forces_key: Annotated[str | None, typer.Option("--forces-key", help="Other name of the forces, eV/Å.")] = None,
    as_json: Json = False,
) -> None:
    """Take labels from files: extxyz, ASE, VASP, CP2K, Quantum ESPRESSO, DeePMD, ANI's HDF5, folders of them."""
    from sparc_fw.formats.reading import read_labels
    from sparc_fw.label_import import import_labels
    from sparc_fw.session import open_session
    from sparc_fw.settings import load_settings

    readings = [reading for path in paths for reading in read_labels(path, kind, energy_key, forces_key)]
    settings = load_settings()
    with open_session(settings) as session:
        outcome = import_labels(session.store, settings, campaign, readings, trust_settings, system)
    if as_json:
        print_json(_values(outcome))
    else:
        _tell(outcome)
    if not outcome.taken:
        raise typer.Exit(1)


def _tell(outcome: ImportOutcome) -> None:
    from sparc_fw.importing import IMAGE_A

    print_table(
        ("file", "read", "taken", "refused"),
        [(file, report.read, report.taken, report.refused.total()) for file, report in outcome.files.items()],
    )
    for file, report in outcome.files.items():
        for reason, count in report.refused.most_common():
            typer.echo(f"{file}: refused {count} as {reason}: {report.examples[reason]}")
        if report.unboxed:
            typer.echo(
                f"{file}: took {report.unboxed} frames in periodic boxes as molecules, which the structures of their "
                f"systems are, without box and stress: their images are {IMAGE_A:g} Å away or more"
            )
    typer.echo(f"stored {outcome.stored} labels; {outcome.known} were there already")
    apart = f"; {outcome.already_trained} already in the training data, {outcome.in_test_set} in the test set"
    if outcome.sentence:
        typer.echo(outcome.sentence)
    elif outcome.iteration is not None:
        typer.echo(f"{outcome.trained} join the training data from iteration {outcome.iteration} on{apart}")
    else:
        typer.echo(f"none joins the training data{apart}")


def _values(outcome: ImportOutcome) -> dict[str, Any]:
    files = {
        file: {
            "read": report.read,
            "taken": report.taken,
            "unboxed": report.unboxed,
            "refused": dict(report.refused),
            "examples": report.examples,
        }
        for file, report in outcome.files.items()
    }
    plain = ("stored", "known", "trained", "iteration", "already_trained", "in_test_set", "sentence")
    return {"files": files} | {name: getattr(outcome, name) for name in plain}
