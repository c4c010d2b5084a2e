"""Boxes around molecules, for codes whose grids need one."""

from __future__ import annotations

import numpy as np
from ase import Atoms


def boxed(frame: Atoms, vacuum: float, doubled: bool = False, cubic: bool = False) -> Atoms:
    """A molecule with its centroid in the middle of a box.

    The frame's own cell and place do not matter, as they do not for its hash. Edges are whole Å, so that a small move
    of an atom does not change the grid. The centroid is what makes `without_drift` exact.

    Parameters
    ----------
    frame : Atoms
        A molecule.
    vacuum : float
        Å between the outermost nuclei and the box.
    doubled : bool
        Make the box twice as wide as a density that reaches half of `vacuum` beyond the nuclei, which solvers for
        isolated charges need (G. J. Martyna and M. E. Tuckerman, J. Chem. Phys. 110 (1999) 2810).
    cubic : bool
        Give all edges the length of the longest.
    """
    positions = frame.positions - frame.positions.mean(axis=0)
    extent = 2 * np.abs(positions).max(axis=0, initial=0.0)
    # Rounded first: a molecule that was only moved must not get another box for the last bits of its positions.
    edges = np.ceil(np.round((2 if doubled else 1) * extent + 2 * vacuum, 6))
    if cubic:
        edges[:] = edges.max()
    return Atoms(frame.numbers, positions + edges / 2, cell=edges, pbc=False, info=frame.info)


def without_drift(forces: np.ndarray) -> np.ndarray:
    """The forces of a molecule in the box of `boxed`, eV/Å, without their mean.

    On a grid the energy depends on where the molecule lies ("egg box"), so that forces do not sum to zero. The
    energy of a frame is the one with its centroid in the middle, whatever its place, and the slope of that energy is
    exactly the code's forces without their mean.
    """
    return np.asarray(forces - forces.mean(axis=0))
