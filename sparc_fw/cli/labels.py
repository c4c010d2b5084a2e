"""``sparc-fw labels``: look at a campaign's labels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sparc_fw.cli.control import CampaignName
from sparc_fw.cli.screen import Json, print_json, print_table

if TYPE_CHECKING:
    from sparc_fw.label_table import Duplicate, LabelRow

SHOWN = 40
"""Rows of a table on the terminal; JSON has all."""
LAST_WORDS = 80
"""Characters of a code's last words in the table; JSON has all."""


def labels(
    campaign: CampaignName,
    status: Annotated[str | None, typer.Option("--status", help="ok, failed or missing.")] = None,
    reason: Annotated[str | None, typer.Option("--reason", help="Why a label failed: not_converged, …")] = None,
    iteration: Annotated[int | None, typer.Option("--iteration", min=0)] = None,
    role: Annotated[str | None, typer.Option("--role", help="train, import, test, scan or on_the_fly.")] = None,
    system: Annotated[str | None, typer.Option("--system")] = None,
    energy_from: Annotated[float | None, typer.Option("--energy-from", help="Least energy, eV/atom.")] = None,
    energy_to: Annotated[float | None, typer.Option("--energy-to", help="Greatest energy, eV/atom.")] = None,
    force_from: Annotated[float | None, typer.Option("--force-from", help="Least longest force, eV/Å.")] = None,
    force_to: Annotated[float | None, typer.Option("--force-to", help="Greatest longest force, eV/Å.")] = None,
    duplicates: Annotated[
        float | None,
        typer.Option(
            "--duplicates", min=0, help="Find pairs that differ by less than so many Å in every sorted distance."
        ),
    ] = None,
    plots: Annotated[Path | None, typer.Option("--plots", help="Folder to draw pictures into.")] = None,
    everything: Annotated[bool, typer.Option("--all", help=f"Print every row, not only the first {SHOWN}.")] = False,
    as_json: Json = False,
) -> None:
    """List a campaign's labels, those that pass the filters; draw them; find duplicates among them."""
    from sparc_fw.errors import InputError
    from sparc_fw.label_table import Filter, label_rows
    from sparc_fw.label_table import duplicates as find
    from sparc_fw.session import open_session
    from sparc_fw.settings import load_settings

    wanted = Filter(status, reason, iteration, role, system, (energy_from, energy_to), (force_from, force_to))
    with open_session(load_settings()) as session:
        every, stored = label_rows(session.store, campaign)
    systems = sorted({row.system for row in every})
    if system is not None and system not in systems:
        raise InputError(f"--system: found {system!r}, expected one of {', '.join(systems)}")
    rows = [row for row in every if wanted.takes(row)]
    chosen = [stored[row.key] for row in rows if row.key in stored]
    pairs = None if duplicates is None else find(chosen, duplicates)
    drawn = _draw(rows, campaign, plots) if plots is not None else []
    if as_json:
        print_json(_values(campaign, rows, len(every), pairs, drawn))
        return
    _print_rows(rows if everything else rows[:SHOWN], len(rows), len(every))
    if pairs is not None:
        _print_pairs(pairs if everything else pairs[:SHOWN], len(pairs), duplicates)
    for path in drawn:
        typer.echo(f"wrote {path}")


def _draw(rows: list[LabelRow], campaign: str, folder: Path) -> list[Path]:
    from sparc_fw.label_figures import draw_labels

    return draw_labels(rows, f"{campaign}: {len(rows)} labels", folder)


def _values(
    campaign: str, rows: list[LabelRow], total: int, pairs: list[Duplicate] | None, drawn: list[Path]
) -> dict[str, Any]:
    values: dict[str, Any] = {
        "campaign": campaign,
        "total": total,
        "labels": [row.as_dict() for row in rows],
        "plots": [str(path) for path in drawn],
    }
    return values if pairs is None else values | {"duplicates": [vars(pair) for pair in pairs]}


def _print_rows(rows: list[LabelRow], chosen: int, total: int) -> None:
    columns = ["key", "it.", "role", "system", "origin", "formula", "status", "eV/atom", "max eV/Å", "code", "s"]
    told = [why(row) for row in rows]
    cells = [_cells(row) for row in rows]
    if any(told):
        columns.append("why")
        cells = [(*row, words) for row, words in zip(cells, told, strict=True)]
    print_table(columns, cells)
    left = f"; the first {len(rows)} are shown, --all or --json gives the rest" if len(rows) < chosen else ""
    typer.echo(f"{chosen} of {total} labels{left}")


def _cells(row: LabelRow) -> tuple[str, ...]:
    return (
        row.key[:10],
        str(row.iteration),
        row.role,
        row.system,
        row.origin,
        row.formula,
        row.status if row.reason is None else f"{row.status}: {row.reason}",
        "–" if row.energy_per_atom is None else f"{row.energy_per_atom:.4f}",
        "–" if row.max_force is None else f"{row.max_force:.3f}",
        row.code,
        f"{row.seconds:.1f}",
    )


def why(row: LabelRow) -> str:
    """Both numbers of a suspect, and the last words of what failed; empty where there is nothing to say."""
    suspect = row.suspect
    told = []
    if suspect is not None:
        numbers = [("", row.energy), ("again ", suspect.energy_again), ("committee ", suspect.predicted_energy)]
        energies = ", ".join(f"{name}{energy:.3f} eV" for name, energy in numbers if energy is not None)
        told.append(f"suspect, {suspect.state}: {energies}")
    lines = [line.strip() for line in row.message.splitlines() if line.strip()]
    if lines:
        told.append(lines[-1] if len(lines[-1]) <= LAST_WORDS else f"…{lines[-1][1 - LAST_WORDS :]}")
    return "; ".join(told)


def _print_pairs(pairs: list[Duplicate], found: int, within: float | None) -> None:
    rows = [
        (
            pair.first[:10],
            pair.second[:10],
            f"{pair.distance:.4f}",
            "–" if pair.energy_difference is None else f"{1000 * pair.energy_difference:+.2f}",
        )
        for pair in pairs
    ]
    print_table(("one", "the other", "Å", "energy difference meV"), rows)
    left = f"; the first {len(pairs)} are shown" if len(pairs) < found else ""
    typer.echo(f"{found} pairs differ by less than {within:g} Å{left}")
