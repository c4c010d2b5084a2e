"""ASE's dimer without rigid motions; apart from its options, since ASE's part is slow to import."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.mep import DimerControl, MinModeAtoms
from ase.mep.dimer import DimerEigenmodeSearch

from sparc_fw.geometry.normal_modes import rigid_motions

if TYPE_CHECKING:
    from sparc_fw.explorers.saddle import SaddleOptions


class Dimer(MinModeAtoms):
    """A dimer that neither moves nor turns as a whole: near a minimum of a molecule that would be softest."""

    eigenmodes: list[np.ndarray]
    curvatures: list[float]

    def find_eigenmodes(self, order: int = 1) -> None:
        """Turn the dimer towards the least curvature."""
        rigid = _rigid(self.atoms)
        mode = _without(self.eigenmodes[0], rigid)
        turn = DimerEigenmodeSearch(self, self.control, eigenmode=mode / np.linalg.norm(mode), basis=list(rigid))
        turn.converge_to_eigenmode()
        turn.set_up_for_optimization_step()
        self.eigenmodes, self.curvatures = [turn.get_eigenmode()], [turn.get_curvature()]


def leave(atoms: Atoms, options: SaddleOptions, random: np.random.Generator) -> Dimer:
    """Displace atoms at random, in place, and lay a dimer along the displacement."""
    control = DimerControl(
        logfile=None,
        dimer_separation=options.separation_A,
        max_num_rot=options.max_rotations,
        maximum_translation=options.max_step_A,
    )
    away = random.normal(scale=options.displacement_A, size=atoms.positions.shape)
    away[options.fixed_atoms] = 0.0
    away = _without(away, _rigid(atoms))
    atoms.positions += away
    return Dimer(atoms, control, eigenmodes=[away / np.linalg.norm(away)], random_seed=0)


def _rigid(atoms: Atoms) -> np.ndarray:
    """Rigid motions, shape (n_motions, n_atoms, 3); none where atoms are fixed, or where there is one atom."""
    if atoms.constraints or len(atoms) == 1:
        return np.zeros((0, len(atoms), 3))
    return rigid_motions(atoms.positions, np.ones(len(atoms)), turns=not atoms.pbc.any())


def _without(vectors: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Vectors of shape (n_atoms, 3) without their parts along orthonormal directions."""
    return np.asarray(vectors - np.einsum("k,kax->ax", np.einsum("kax,ax->k", directions, vectors), directions))
