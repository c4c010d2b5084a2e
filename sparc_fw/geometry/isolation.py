"""Atoms that left all others: a closed-shell calculation of such a frame seldom means anything."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from sparc_fw.geometry.descriptor import MOLECULE, Pbc, distance_blocks


def nearest_neighbours(positions: np.ndarray, cells: np.ndarray | None = None, pbc: Pbc = MOLECULE) -> np.ndarray:
    """Distance of every atom from its nearest neighbour.

    Parameters
    ----------
    positions : ndarray of shape (n_frames, n_atoms, 3)
        Å.
    cells : ndarray of shape (n_frames, 3, 3) or None
        Å.

    Returns
    -------
    ndarray of shape (n_frames, n_atoms)
        Å; zero where there is one atom only, which has nobody to leave.
    """
    count = positions.shape[1]
    result = np.zeros(positions.shape[:2])
    if count < 2:
        return result
    first, second = np.triu_indices(count, 1)
    for part, distances in distance_blocks(positions, cells, pbc):
        for atom in range(count):
            result[part, atom] = distances[:, (first == atom) | (second == atom)].min(axis=1)
    return result


def describe_isolation(frame: Atoms, within: float) -> str | None:
    """Name the atom that is farther than `within` (Å) from every other one; None where there is none."""
    nearest = nearest_neighbours(frame.positions[None], frame.cell.array[None], tuple(frame.pbc))[0]
    atom = int(np.argmax(nearest))
    if nearest[atom] <= within:
        return None
    name = f"{atom} ({chemical_symbols[frame.numbers[atom]]})"
    return f"atom {name} left: {nearest[atom]:.2f} Å from its nearest neighbour, more than {within:g} Å"
