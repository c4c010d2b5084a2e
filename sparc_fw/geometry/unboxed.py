"""Molecules out of the boxes that periodic codes put them into."""

from __future__ import annotations

import itertools

import numpy as np
from ase import Atoms
from ase.geometry import find_mic, minkowski_reduce


def out_of_box(frame: Atoms) -> tuple[Atoms, float]:
    """A molecule put together across the faces of its box, without the box, and how far away its nearest image was.

    Atoms are joined by the shortest links that join them all; fragments come to lie where they are nearest to others.

    Parameters
    ----------
    frame : Atoms
        Periodic, with the cell vectors along which it is.

    Returns
    -------
    molecule : Atoms
        Not periodic, without a cell; ``info`` as before.
    distance : float
        Least distance between an atom and an image of an atom, Å.
    """
    from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree

    count = len(frame)
    differences = frame.positions[None] - frame.positions[:, None]
    vectors, lengths = find_mic(differences.reshape(-1, 3), frame.cell, frame.pbc)
    vectors = vectors.reshape(count, count, 3)
    order, joined_to = breadth_first_order(minimum_spanning_tree(lengths.reshape(count, count)), 0, directed=False)
    positions = frame.positions.copy()
    for atom in order[1:]:
        positions[atom] = positions[joined_to[atom]] + vectors[joined_to[atom], atom]
    molecule = Atoms(frame.numbers, positions, info=dict(frame.info))
    return molecule, _to_nearest_image(positions, frame)


def _to_nearest_image(positions: np.ndarray, frame: Atoms) -> float:
    """Least distance between an atom at `positions` and an image of an atom in a frame's cell, Å."""
    # In the reduced cell the nearest images are those next to it.
    cell, _ = minkowski_reduce(frame.cell.complete().array, frame.pbc)
    steps = itertools.product(*((-1, 0, 1) if repeats else (0,) for repeats in frame.pbc))
    shifts = np.array([step for step in steps if any(step)]) @ cell
    differences = positions[None] - positions[:, None]
    return float(min(np.linalg.norm(differences + shift, axis=2).min() for shift in shifts))
