"""Whether energies and forces of neighbouring configurations fit each other: wrong units do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase.units import Bohr, Hartree, Rydberg, kcal, kJ, mol

from sparc_fw.documents import Label

NEAR = 0.2
"""Configurations whose atoms all differ by less than this are compared, Å."""
LEAST_WORK = 0.005
"""Work of the forces between two of them, below which differences drown in rounding, eV."""
LEAST_PAIRS = 5
TOLERANCE = 1.5
"""Factor by which the differences of energy may be off on the whole; every mistake of units is by more."""
ALIKE = 1.1
"""Factor within which a ratio is taken for that of a known mistake."""
SAMPLE = 1000
"""Configurations that are compared, at most."""

MISTAKES = {
    "the forces are gradients (the sign is wrong)": -1.0,
    "energies are in hartree, forces in eV/Å": 1 / Hartree,
    "energies are in rydberg, forces in eV/Å": 1 / Rydberg,
    "energies are in eV, forces in hartree/bohr": Hartree / Bohr,
    "energies are in eV, forces in rydberg/bohr": Rydberg / Bohr,
    "energies are in eV, forces in hartree/Å": Hartree,
    "energies and forces are in hartree and hartree/bohr": 1 / Bohr,
    "energies are in kcal/mol, forces in eV/Å": mol / kcal,
    "energies are in eV, forces in kcal/mol/Å": kcal / mol,
    "energies are in kJ/mol, forces in eV/Å": mol / kJ,
    "energies are in eV, forces in kJ/mol/Å": kJ / mol,
}
"""Ratio of the energy differences of a file to the work of its forces, by the mistake that makes it."""


def work_ratio(labels: Sequence[Label]) -> float | None:
    """Median ratio of energy differences to the work of the forces, minus their mean times the displacement.

    It is 1 in consistent units. None where fewer than `LEAST_PAIRS` pairs of successive configurations are near enough.
    """
    ratios = []
    step = max(1, len(labels) // SAMPLE)
    for start in range(0, len(labels) - 1, step):
        before, after = labels[start], labels[start + 1]
        if not _comparable(before, after):
            continue
        assert before.forces is not None and before.energy is not None  # noqa: PT018
        assert after.forces is not None and after.energy is not None  # noqa: PT018
        moved = after.frame.positions - before.frame.positions
        if np.abs(moved).max() > NEAR:
            continue
        work = -float(((before.forces + after.forces) / 2 * moved).sum())
        # Where energies changed without work, a ratio says nothing, either way round.
        if max(abs(work), abs(after.energy - before.energy)) > LEAST_WORK and work != 0.0:
            ratios.append((after.energy - before.energy) / work)
    return float(np.median(ratios)) if len(ratios) >= LEAST_PAIRS else None


def suspect_units(labels: Sequence[Label]) -> str:
    """What seems wrong with the units of one file's labels; empty where nothing does, or nothing can be said."""
    good = [label for label in labels if label.energy is not None and label.forces is not None]
    ratio = work_ratio(good)
    if ratio is None or 1 / TOLERANCE < ratio < TOLERANCE:
        return ""
    known = MISTAKES | {"energies are per atom": 1 / len(good[0].frame)}
    guesses = [text for text, value in known.items() if 1 / ALIKE < ratio / value < ALIKE]
    guess = f"; it looks as if {' or '.join(guesses)}" if guesses else ""
    return (
        f"energy differences between near configurations are {ratio:.4g} times the work of the forces, expected 1 in "
        f"eV and eV/Å{guess}"
    )


def _comparable(before: Label, after: Label) -> bool:
    return (
        before.frame.numbers.tolist() == after.frame.numbers.tolist()
        and before.forces is not None
        and after.forces is not None
        and before.forces.shape == after.forces.shape == (len(before.frame), 3)
        and np.allclose(before.frame.cell.array, after.frame.cell.array)
    )
