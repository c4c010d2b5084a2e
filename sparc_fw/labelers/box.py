"""Boxes around molecules and slabs, for codes whose grids need one."""

from __future__ import annotations

from typing import Literal

import numpy as np
from ase import Atoms

from sparc_fw.errors import InputError


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


def without_drift(forces: np.ndarray, along: slice = slice(None)) -> np.ndarray:
    """The forces of a molecule in the box of `boxed`, eV/Å, without their mean; `along` are the axes that have a box.

    On a grid the energy depends on where the molecule lies ("egg box"), so that forces do not sum to zero. The
    energy of a frame is the one with its centroid in the middle, whatever its place, and the slope of that energy is
    exactly the code's forces without their mean.
    """
    drift = np.zeros(3)
    drift[along] = forces.mean(axis=0)[along]
    return np.asarray(forces - drift)


Periodicity = Literal["molecule", "slab", "crystal"]
ISOLATED = {"molecule": slice(None), "slab": slice(2, 3), "crystal": slice(0)}
"""The axes along which a frame is isolated."""
_FLAT_A = 1e-6


def periodicity(kind: str, frame: Atoms) -> Periodicity:
    """Whether a frame repeats nowhere, in the xy-plane, or in space.

    Raises
    ------
    InputError
        For a frame that repeats otherwise, or without the vectors of its cell; `kind` is that of the labeler.
    """
    if not frame.pbc.any():
        return "molecule"
    if frame.pbc.all():
        if frame.cell.rank < 3:
            raise InputError(f"labeler {kind}: found a periodic frame without three cell vectors, expected them all")
        return "crystal"
    plane = frame.cell.array[:2]
    if frame.pbc.tolist() != [True, True, False] or np.abs(plane[:, 2]).max() > _FLAT_A or not np.cross(*plane)[2]:
        raise InputError(
            f"labeler {kind}: found a partly periodic frame, pbc {frame.pbc.tolist()} and cell "
            f"{frame.cell.tolist()}; expected a slab in the xy-plane (pbc true, true, false): turn it, or, with vacuum "
            "in its cell, set pbc to true in all directions to have it repeated across the vacuum"
        )
    return "slab"


def slab_box(frame: Atoms, vacuum: float, least: float = 0.0) -> Atoms:
    """A slab in the middle of a cell that isolates it along z.

    The frame's own third vector and place along z do not matter. The cell is twice as high as a density that reaches
    half of `vacuum` beyond the nuclei, which solvers for isolated slabs need (P. Minary et al., J. Chem. Phys. 116
    (2002) 5351), and whole Å high.

    Parameters
    ----------
    frame : Atoms
        Periodic in the xy-plane, where its first two cell vectors lie.
    vacuum : float
        Å between the outermost nuclei and the cell's ends, at least.
    least : float
        Least height, Å.
    """
    heights = frame.positions[:, 2] - frame.positions[:, 2].mean()
    height = max(least, float(np.ceil(np.round(4 * np.abs(heights).max(initial=0.0) + 2 * vacuum, 6))))
    positions = np.column_stack([frame.positions[:, :2], heights + height / 2])
    cell = [*frame.cell.array[:2], (0.0, 0.0, height)]
    return Atoms(frame.numbers, positions, cell=cell, pbc=(True, True, False), info=frame.info)
