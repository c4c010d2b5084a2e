"""Whether a time step is short enough for the lightest atom."""

from __future__ import annotations

import math

import numpy as np
from ase import units
from ase.data import atomic_masses, chemical_symbols

STIFFEST_N_M = 1000.0
"""Force constant of the stiffest bond to hydrogen, H-F: 966 N/m (Herzberg, Spectra of Diatomic Molecules, 1950)."""
PART = 8
"""Of the fastest period, so much is a step that dynamics are sound with: 1 fs with hydrogen, as is customary."""


def fastest_period_fs(number: int) -> float:
    """Period of an atom of that atomic number on the stiffest bond to something much heavier, fs."""
    mass = float(atomic_masses[number])
    stiffness = float(STIFFEST_N_M * units.J / units.m**2)
    return 2 * math.pi * math.sqrt(mass / stiffness) / float(units.fs)


def timestep_warning(timestep_fs: float, numbers: np.ndarray) -> str | None:
    """What to say of a time step (fs) that is too long for the lightest of some atoms, or None."""
    if not len(numbers):
        return None
    lightest = min((int(number) for number in np.unique(numbers)), key=lambda number: float(atomic_masses[number]))
    period = fastest_period_fs(lightest)
    if timestep_fs <= 1.02 * period / PART:
        return None
    return (
        f"found {timestep_fs:g} fs, but the lightest atom, {chemical_symbols[lightest]}, may vibrate within "
        f"{period:.1f} fs: expected at most {period / PART:.1f} fs, an eighth of that"
    )
