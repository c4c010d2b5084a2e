"""Two atoms whose distance has two wells, as a table for LAMMPS, and the free energy that follows from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms, units

MIDDLE, HALF, HEIGHT = 2.6, 0.6, 0.35
"""Å, Å, eV: wells at MIDDLE - HALF and MIDDLE + HALF, HEIGHT below what is between them."""
TILT = 0.1
"""How much deeper the second well is than the first one, eV, about."""


def energy(distance: np.ndarray) -> np.ndarray:
    """Potential energy, eV."""
    x = (np.asarray(distance) - MIDDLE) / HALF
    return np.asarray(HEIGHT * (x**2 - 1) ** 2 - 0.5 * TILT * x)


def slope(distance: np.ndarray) -> np.ndarray:
    """Its derivative, eV/Å."""
    x = (np.asarray(distance) - MIDDLE) / HALF
    return np.asarray((4 * HEIGHT * x * (x**2 - 1) - 0.5 * TILT) / HALF)


def free_energy(distance: np.ndarray, kelvin: float) -> np.ndarray:
    """Of the distance of two atoms that are free otherwise, eV: -kT ln (r^2 exp(-U/kT))."""
    return np.asarray(energy(distance) - 2 * units.kB * kelvin * np.log(distance))


def lammps_lines(folder: Path) -> list[str]:
    """Write the table; returns LAMMPS' lines that read it."""
    distances = np.linspace(0.8, 5.0, 2101)
    rows = [f"{n} {r:.10g} {u:.12g} {-du:.12g}" for n, (r, u, du) in enumerate(
        zip(distances, energy(distances), slope(distances), strict=True), 1)]  # fmt: skip
    path = folder / "double_well.table"
    path.write_text("\n".join([f"# UNITS: metal\n\nWELLS\nN {len(rows)} R 0.8 5.0\n", *rows]) + "\n")
    return ["pair_style table spline 4000", f"pair_coeff * * {path} WELLS 5.0"]


def pair(distance: float) -> Atoms:
    """Two atoms so far apart, Å."""
    return Atoms("Ne2", [[0, 0, 0], [distance, 0, 0]], info={"system": "ne2", "charge": 0, "spin": 0})
