"""What the ways to a saddle share: how they leave their start, and what is asked of them along the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.optimize.optimize import Optimizer

from sparc_fw.geometry.normal_modes import rigid_motions


@dataclass(frozen=True)
class Climb:
    """A search for a saddle that can be asked where it is.

    Attributes
    ----------
    optimizer : Optimizer
        ASE's, or one that behaves like it.
    energy : callable
        Energy, eV.
    forces : callable
        Forces that have to vanish, eV/Å, shape (n_atoms, 3).
    curvature : callable
        Along the direction in which it climbs, eV/Å^2; NaN where it has none yet.
    """

    optimizer: Optimizer
    energy: Callable[[], float]
    forces: Callable[[], np.ndarray]
    curvature: Callable[[], float]


def leave(atoms: Atoms, width: float, fixed: Sequence[int], random: np.random.Generator) -> np.ndarray:
    """Displace atoms at random, in place.

    Parameters
    ----------
    width : float
        Standard deviation along each axis, Å.
    fixed : sequence of int
        Atoms that do not move.

    Returns
    -------
    ndarray of shape (n_atoms, 3)
        The displacement without translation and rotation, Å.
    """
    away = random.normal(scale=width, size=atoms.positions.shape)
    away[list(fixed)] = 0.0
    away = without(away, rigid(atoms))
    atoms.positions += away
    return away


def rigid(atoms: Atoms) -> np.ndarray:
    """Rigid motions, shape (n_motions, n_atoms, 3); none where atoms are fixed, or where there is one atom."""
    if atoms.constraints or len(atoms) == 1:
        return np.zeros((0, len(atoms), 3))
    return rigid_motions(atoms.positions, np.ones(len(atoms)), turns=not atoms.pbc.any())


def without(vectors: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Vectors of shape (n_atoms, 3) without their parts along orthonormal directions."""
    return np.asarray(vectors - np.einsum("k,kax->ax", np.einsum("kax,ax->k", directions, vectors), directions))
