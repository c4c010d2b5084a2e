"""A soft sphere around a molecule, in the form in which ASE adds forces to a calculator's."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms


class SoftSphere:
    """Adds ``k (r - radius)^2`` for each atom at ``r > radius`` from the mean position of some atoms.

    An ASE constraint, so that any calculator can be confined and still gives its own forces with
    ``get_forces(apply_constraint=False)``. The centre feels the reaction: momentum and energy are conserved.
    Idea of confining to make reactions: L.-P. Wang et al., Nat. Chem. 6 (2014) 1044 (ab initio nanoreactor).

    Parameters
    ----------
    around : list of int
        Atoms whose mean position is the centre.
    radius : float
        Å; may be changed between steps.
    stiffness : float
        k, eV/Å^2.
    """

    def __init__(self, around: list[int], radius: float, stiffness: float) -> None:
        self.around = around
        self.radius = radius
        self.stiffness = stiffness

    def _outside(self, atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors from the centre, shape (n_atoms, 3), and how far outside each atom is, Å."""
        arms = atoms.positions - atoms.positions[self.around].mean(axis=0)
        lengths = np.linalg.norm(arms, axis=1)
        beyond = np.clip(lengths - self.radius, 0.0, None)
        return arms / np.where(lengths > 0, lengths, 1.0)[:, None], beyond

    def adjust_forces(self, atoms: Atoms, forces: np.ndarray) -> None:
        """Add the sphere's forces, eV/Å, in place."""
        units, beyond = self._outside(atoms)
        pull = -2 * self.stiffness * beyond[:, None] * units
        forces += pull
        forces[self.around] -= pull.sum(axis=0) / len(self.around)

    def adjust_potential_energy(self, atoms: Atoms) -> float:
        """Energy of the sphere, eV."""
        return float(self.stiffness * (self._outside(atoms)[1] ** 2).sum())

    def adjust_positions(self, atoms: Atoms, new: np.ndarray) -> None:
        """Leave positions as they are."""

    def adjust_momenta(self, atoms: Atoms, momenta: np.ndarray) -> None:
        """Leave momenta as they are."""

    def get_removed_dof(self, atoms: Atoms) -> int:
        """No degree of freedom is taken away."""
        return 0

    def todict(self) -> dict[str, Any]:
        """Parameters, as ASE asks of constraints."""
        return {"name": type(self).__name__, "kwargs": vars(self)}
