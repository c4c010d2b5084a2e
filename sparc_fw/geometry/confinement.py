"""A soft sphere around a molecule: its options, ASE's form of it, and COLVARS' form of the same."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from ase import Atoms
from pydantic import Field

from sparc_fw.errors import InputError
from sparc_fw.section import Section

AtomIndex = Annotated[int, Field(ge=0)]


class Confinement(Section):
    """A soft sphere that keeps fragments together so that they react: k (r - radius)^2 on each atom outside it."""

    around: list[AtomIndex] = Field(min_length=1)
    """The sphere's centre is the centre of mass of these atoms; counted from 0."""
    radius_A: float = Field(gt=0)
    """Radius, Å."""
    stiffness_eV_A2: float = Field(3.0, gt=0)
    """k, eV/Å^2."""

    def check(self, key: str, atoms: int) -> None:
        """Raise `InputError` where the centre is made of atoms that do not exist."""
        wrong = [atom for atom in self.around if atom >= atoms]
        if wrong:
            raise InputError(
                f"{key}: around: found atom {wrong[0]}, but the structure has {atoms} atoms (expected 0 to {atoms - 1})"
            )

    def colvars(self, atoms: int) -> str:
        """The same sphere as COLVARS text in LAMMPS' units metal, for atoms numbered from 1."""
        centre = " ".join(str(atom + 1) for atom in self.around)
        lines = []
        for atom in range(atoms):
            lines += ["colvar {", f"name confine_{atom}", "distance {", "forceNoPBC on"]
            lines += [f"group1 {{ atomNumbers {atom + 1} }}", f"group2 {{ atomNumbers {centre} }}", "}", "}"]
        lines += ["harmonicWalls {", "name confine"]
        lines += [f"colvars {' '.join(f'confine_{atom}' for atom in range(atoms))}"]
        lines += [f"upperWalls {' '.join([repr(self.radius_A)] * atoms)}"]
        # COLVARS' energy has a factor one half.
        lines += [f"forceConstant {2 * self.stiffness_eV_A2!r}", "}"]
        return "\n".join(lines) + "\n"


class SoftSphere:
    """Adds ``k (r - radius)^2`` for each atom at ``r > radius`` from the centre of mass of some atoms.

    An ASE constraint, so that any calculator can be confined and still gives its own forces with
    ``get_forces(apply_constraint=False)``. The centre feels the reaction: momentum and energy are conserved.
    Idea of confining to make reactions: L.-P. Wang et al., Nat. Chem. 6 (2014) 1044 (ab initio nanoreactor).

    Parameters
    ----------
    around : list of int
        Atoms whose centre of mass is the centre.
    radius : float
        Å; may be changed between steps.
    stiffness : float
        k, eV/Å^2.
    """

    def __init__(self, around: list[int], radius: float, stiffness: float) -> None:
        self.around = around
        self.radius = radius
        self.stiffness = stiffness

    def _shares(self, atoms: Atoms) -> np.ndarray:
        """Part of each of the centre's atoms in its mass."""
        masses = atoms.get_masses()[self.around]
        return np.asarray(masses / masses.sum())

    def _outside(self, atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors from the centre, shape (n_atoms, 3), and how far outside each atom is, Å."""
        arms = atoms.positions - self._shares(atoms) @ atoms.positions[self.around]
        lengths = np.linalg.norm(arms, axis=1)
        beyond = np.clip(lengths - self.radius, 0.0, None)
        return arms / np.where(lengths > 0, lengths, 1.0)[:, None], beyond

    def adjust_forces(self, atoms: Atoms, forces: np.ndarray) -> None:
        """Add the sphere's forces, eV/Å, in place."""
        units, beyond = self._outside(atoms)
        pull = -2 * self.stiffness * beyond[:, None] * units
        forces += pull
        forces[self.around] -= np.outer(self._shares(atoms), pull.sum(axis=0))

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
