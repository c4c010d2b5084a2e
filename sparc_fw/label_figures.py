"""Pictures of a campaign's labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from sparc_fw.label_table import LabelRow

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from sparc_fw.figures import save_figure
from sparc_fw.folders import make_folder

BINS = 60
COLOURS = {"ok": "tab:blue", "import": "tab:green", "failed": "tab:red", "missing": "0.7"}


def draw_labels(rows: Sequence[LabelRow], title: str, folder: Path) -> list[Path]:
    """Draw distributions of energy and force, compositions, and counts by iteration; returns the files.

    The first two are drawn only where a label has numbers. Raises `InputError` where `folder` cannot be a folder.
    """
    make_folder(folder, "--plots")
    drawn = []
    good = [row for row in rows if row.energy_per_atom is not None]
    if good:
        drawn.append(_draw_energies(good, title, folder / "label_energies.png"))
        drawn.append(_draw_forces(good, title, folder / "label_forces.png"))
    drawn.append(_draw_compositions(rows, title, folder / "label_compositions.png"))
    drawn.append(_draw_iterations(rows, title, folder / "labels_per_iteration.png"))
    return drawn


def _draw_energies(rows: Sequence[LabelRow], title: str, path: Path) -> Path:
    """Energies per atom above the lowest label of the same composition, whose zeros of energy differ."""
    formulas = sorted({row.formula for row in rows})
    energies = {f: np.array([r.energy_per_atom for r in rows if r.formula == f], dtype=float) for f in formulas}
    above = [energies[formula] - energies[formula].min() for formula in formulas]
    names = [f"{formula} ({len(energies[formula])} labels)" for formula in formulas]
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    axes.hist(above, bins=BINS, stacked=True, label=names)
    axes.set(xlabel="energy above the lowest label of its composition (eV/atom)", ylabel="labels", title=title)
    axes.set_yscale("log")
    axes.legend()
    return save_figure(figure, path)


def _draw_forces(rows: Sequence[LabelRow], title: str, path: Path) -> Path:
    forces = np.array([row.max_force for row in rows], dtype=float)
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    axes.hist(forces, bins=BINS, color=COLOURS["ok"])
    axes.axvline(float(np.median(forces)), color="k", linestyle="--", label=f"median {np.median(forces):.2f} eV/Å")
    axes.set(xlabel="longest force on an atom (eV/Å)", ylabel="labels", title=title)
    axes.set_yscale("log")
    axes.legend()
    return save_figure(figure, path)


def _draw_compositions(rows: Sequence[LabelRow], title: str, path: Path) -> Path:
    counts = Counter((row.system, row.formula) for row in rows)
    names = [f"{system}: {formula}" if system else formula for system, formula in counts]
    figure, axes = plt.subplots(figsize=(7, 1.5 + 0.4 * len(names)), layout="constrained")
    bars = axes.barh(names, list(counts.values()), color=COLOURS["ok"])
    axes.bar_label(bars, padding=3)
    axes.margins(x=0.12)
    axes.set(xlabel="labels", title=title)
    return save_figure(figure, path)


def _draw_iterations(rows: Sequence[LabelRow], title: str, path: Path) -> Path:
    """Labels by iteration: computed, imported, failed and missing; test set and scan are not counted."""
    mine = [row for row in rows if row.role in ("train", "import")]
    iterations = np.arange(max((row.iteration for row in mine), default=0) + 1)
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    bottom = np.zeros(len(iterations))
    for kind, colour in COLOURS.items():
        counts = np.bincount([row.iteration for row in mine if _kind(row) == kind], minlength=len(iterations))
        if counts.any():
            axes.bar(iterations, counts, bottom=bottom, color=colour, label=f"{kind} ({counts.sum()})")
        bottom += counts
    axes.set(xlabel="iteration", ylabel="labels to train on", title=title)
    axes.set_xticks(iterations)
    axes.legend()
    return save_figure(figure, path)


def _kind(row: LabelRow) -> str:
    return "import" if row.role == "import" and row.status == "ok" else row.status
