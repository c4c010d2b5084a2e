"""ASE's dimer without rigid motions; apart from its options, since ASE's part is slow to import."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.mep import DimerControl, MinModeAtoms, MinModeTranslate
from ase.mep.dimer import DimerEigenmodeSearch

from sparc_fw.explorers.climbing import Climb, rigid, without

if TYPE_CHECKING:
    from sparc_fw.explorers.saddle import SaddleOptions


class Dimer(MinModeAtoms):
    """A dimer that neither moves nor turns as a whole: near a minimum of a molecule that would be softest."""

    eigenmodes: list[np.ndarray]
    curvatures: list[float]

    def find_eigenmodes(self, order: int = 1) -> None:
        """Turn the dimer towards the least curvature."""
        motions = rigid(self.atoms)
        mode = without(self.eigenmodes[0], motions)
        turn = DimerEigenmodeSearch(self, self.control, eigenmode=mode / np.linalg.norm(mode), basis=list(motions))
        turn.converge_to_eigenmode()
        turn.set_up_for_optimization_step()
        self.eigenmodes, self.curvatures = [turn.get_eigenmode()], [turn.get_curvature()]


def dimer_climb(atoms: Atoms, away: np.ndarray, options: SaddleOptions) -> Climb:
    """Climb with a dimer that lies along a displacement at first."""
    control = DimerControl(
        logfile=None,
        dimer_separation=options.separation_A,
        max_num_rot=options.max_rotations,
        maximum_translation=options.max_step_A,
    )
    dimer = Dimer(atoms, control, eigenmodes=[away / np.linalg.norm(away)], random_seed=0)
    return Climb(
        optimizer=MinModeTranslate(dimer, logfile=None),
        energy=lambda: float(dimer.get_potential_energy()),
        forces=lambda: np.asarray(dimer.get_forces()),
        curvature=lambda: float(dimer.get_curvature()),
    )
