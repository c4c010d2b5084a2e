"""Atoms on top of each other: no code's number for such a frame is worth having."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from ase.neighborlist import primitive_neighbor_list

from sparc_fw.geometry.descriptor import MOLECULE, Pbc, distance_blocks, pair_distances

FRACTION = 0.5
"""Atoms nearer than this fraction of the sum of their covalent radii overlap."""


MANY = 60
"""From so many atoms on a list of neighbours is faster than all pairs."""


def shortest_allowed(numbers: np.ndarray, fraction: float = FRACTION) -> np.ndarray:
    """Least distance of each pair of atoms, Å, in the order of ``numpy.triu_indices(n_atoms, 1)``.

    Covalent radii of B. Cordero et al., Dalton Trans. (2008) 2832.
    """
    first, second = np.triu_indices(len(numbers), 1)
    return np.asarray(fraction * (covalent_radii[numbers[first]] + covalent_radii[numbers[second]]))


def overlapping(
    numbers: np.ndarray,
    positions: np.ndarray,
    cells: np.ndarray | None = None,
    pbc: Pbc = MOLECULE,
    fraction: float = FRACTION,
) -> np.ndarray:
    """Which frames of a trajectory have overlapping atoms.

    Parameters
    ----------
    numbers : ndarray of shape (n_atoms,)
        Atomic numbers.
    positions : ndarray of shape (n_frames, n_atoms, 3)
        Å.
    cells : ndarray of shape (n_frames, 3, 3) or None
        Å.

    Returns
    -------
    ndarray of bool, shape (n_frames,)
    """
    limits = shortest_allowed(numbers, fraction)
    result = np.zeros(len(positions), dtype=bool)
    for part, distances in distance_blocks(positions, cells, pbc):
        result[part] = (distances < limits).any(axis=1)
    return result


def describe_overlap(frame: Atoms, fraction: float = FRACTION) -> str | None:
    """Name the worst overlapping pair of a frame; None where no atoms overlap."""
    contact = closest_contact(frame, fraction)
    if contact is None:
        return None
    first, second, distance, limit = contact
    names = [f"{atom} ({chemical_symbols[frame.numbers[atom]]})" for atom in (first, second)]
    return (
        f"atoms {names[0]} and {names[1]} are {distance:.3f} Å apart, "
        f"expected at least {limit:.3f} Å ({fraction:g} of their covalent radii)"
    )


def closest_contact(frame: Atoms, fraction: float = FRACTION) -> tuple[int, int, float, float] | None:
    """The pair of atoms that is nearest for its covalent radii, among those nearer than `fraction` of their sum.

    Returns
    -------
    tuple of (int, int, float, float) or None
        The two atoms, their distance and the least distance that `fraction` allows, Å; None where there is no such
        pair.
    """
    if len(frame) < MANY:
        first, second = np.triu_indices(len(frame), 1)
        limits = shortest_allowed(frame.numbers, fraction)
        distances = pair_distances(frame.positions[None], frame.cell.array[None], tuple(frame.pbc))[0]
    else:
        radii = fraction * covalent_radii[frame.numbers]
        first, second, distances = primitive_neighbor_list(
            "ijd", frame.pbc, frame.cell.complete().array, frame.positions, radii, max_nbins=8 * len(frame)
        )
        limits = radii[first] + radii[second]
    if not (distances < limits).any():
        return None
    worst = int(np.argmin(distances / limits))
    one, other = sorted((int(first[worst]), int(second[worst])))
    return one, other, float(distances[worst]), float(limits[worst])
