"""Pictures of free energies and of the work of steered runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

from sparc_fw.biased_runs import Place, PullsFound, WindowsFound
from sparc_fw.free_energy import Curve

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from sparc_fw.figures import save_figure

Whose = tuple[str, str]


def draw_biased(found: Sequence[WindowsFound | PullsFound], folder: Path) -> list[Path]:
    """One picture for each variable with a free energy, and one for each explorer and system that pulls."""
    curves: dict[tuple[Whose, str, str], list[tuple[Place, Curve]]] = {}
    pulls: dict[Whose, list[PullsFound]] = {}
    for each in found:
        place = each.place
        whose = (place.explorer, place.system)
        if isinstance(each, PullsFound):
            pulls.setdefault(whose, []).append(each)
            continue
        drawn = each.result.curves if each.result is not None else []
        for variable, unit, curve in zip(place.variables, place.units, drawn, strict=bool(drawn)):
            curves.setdefault((whose, variable, unit), []).append((place, curve))
    drawn_files = []
    for (whose, variable, unit), several in curves.items():
        number = [variable for other, variable, _ in curves if other == whose].index(variable)
        drawn_files.append(_draw_curves(whose, _axis(variable, unit), several, folder, number))
    for whose, rows in pulls.items():
        if any(row.barriers for row in rows):
            drawn_files.append(_draw_pulls(whose, rows, folder))
    return drawn_files


def _axis(variable: str, unit: str) -> str:
    return f"{variable} ({unit})" if unit else variable


def _file(folder: Path, kind: str, whose: Whose, more: str = "") -> Path:
    return folder / (re.sub(r"[^A-Za-z0-9_.-]", "_", "-".join([kind, *whose])) + f"{more}.png")


def _colours(count: int) -> list[Any]:
    return [plt.get_cmap("viridis")(0.9 * number / max(count - 1, 1)) for number in range(count)]


def _draw_curves(whose: Whose, axis: str, several: list[tuple[Place, Curve]], folder: Path, number: int) -> Path:
    """The free energy of every iteration, with its standard error."""
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for colour, (place, curve) in zip(_colours(len(several)), several, strict=True):
        label = f"iteration {place.iteration}" + ("" if place.driver == "committee" else f" ({place.driver})")
        axes.errorbar(
            curve.at, curve.energy, yerr=curve.error, color=colour, label=label, linewidth=1.2, elinewidth=0.7,
            capsize=1.5,
        )  # fmt: skip
    axes.set(xlabel=axis, ylabel="free energy (eV), with its standard error", title=f"{whose[0]}: {whose[1]}")
    axes.legend()
    return save_figure(figure, _file(folder, "free_energy", whose, f"-{number}" if number else ""))


def _draw_pulls(whose: Whose, rows: list[PullsFound], folder: Path) -> Path:
    """Work along the way in the last iteration, and its highest point in every iteration."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained", width_ratios=[3, 2])
    place, last = rows[-1].place, rows[-1].barriers
    kinds = sorted({(barrier.per_ps, barrier.kelvin) for row in rows for barrier in row.barriers})
    for colour, kind in zip(_colours(len(kinds)), kinds, strict=True):
        name = f"{kind[0]:g} {place.units[0]}/ps, {kind[1]:g} K"
        for barrier in last:
            if (barrier.per_ps, barrier.kelvin) != kind:
                continue
            left.plot(barrier.centre, barrier.mean, color=colour, label=f"{name}: mean of {barrier.runs}")
            if barrier.free_energy is not None and barrier.error is not None:
                left.errorbar(
                    barrier.centre, barrier.free_energy, yerr=barrier.error, color=colour, linestyle="--",
                    errorevery=max(1, len(barrier.centre) // 20), label=f"{name}: Jarzynski",
                )  # fmt: skip
        heights = [
            (row.place.iteration, barrier.height, barrier.spread or 0.0)
            for row in rows
            for barrier in row.barriers
            if (barrier.per_ps, barrier.kelvin) == kind
        ]
        numbers, tops, spreads = zip(*heights, strict=True)
        right.errorbar(numbers, tops, yerr=spreads, fmt="o-", color=colour, capsize=3, label=name)
    left.set(
        xlabel=f"restraint on {_axis(place.variables[0], place.units[0])}",
        ylabel="work (eV)",
        title=f"{whose[0]}: {whose[1]}, iteration {place.iteration}",
    )
    right.set(xlabel="iteration", ylabel="highest work (eV), spread of the runs")
    right.set_xticks(sorted({row.place.iteration for row in rows}))
    left.legend(fontsize="small")
    return save_figure(figure, _file(folder, "work", whose))
