"""Saddle points that nobody has drawn an end state for, by the dimer method."""

from __future__ import annotations

import time
from typing import ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.mep import DimerControl, MinModeAtoms, MinModeTranslate
from ase.mep.dimer import DimerEigenmodeSearch
from pydantic import Field

from sparc_fw.documents import Trajectory
from sparc_fw.explorers.base import Explorer, Replica
from sparc_fw.explorers.searches import (
    SearchOptions,
    as_trajectory,
    forces_of,
    longest,
    member_energies,
    search,
    with_calculator,
)
from sparc_fw.geometry.normal_modes import ModeSampling, normal_modes, rigid_motions, thermal_displacements


class SaddleOptions(SearchOptions):
    """Options of the dimer method."""

    kind: Literal["saddle"] = "saddle"
    displacement_A: float = Field(0.1, gt=0)
    """Standard deviation of the random displacement along each axis with which the search leaves its start, Å."""
    separation_A: float = Field(0.01, gt=0)
    """Distance of the dimer's ends from its centre, Å."""
    max_rotations: int = Field(4, ge=1)
    """Most rotations of the dimer in each step."""
    max_step_A: float = Field(0.1, gt=0)
    """Longest step, and its length while the curvature is positive, Å."""
    around: ModeSampling | None = None
    """Further frames, displaced along the saddle's normal modes; where unset, none."""


class SaddleExplorer(Explorer[SaddleOptions]):
    """Climbs from the start to a saddle of the committee's first member, another one for every seed.

    The trajectory has the start, the frames of every `SearchOptions.keep_every`-th step, the last frame and those
    `SaddleOptions.around` it. Its series: ``saddle_energy_eV``, the energy of the last frame above the start by each
    member; ``curvature_eV_A2`` of the dimer by step; ``wavenumber_per_cm`` of the saddle's modes where they are asked
    for.

    Notes
    -----
    G. Henkelman and H. Jónsson, J. Chem. Phys. 111 (1999) 7010, as ASE has it, with the translations and rotations of
    a molecule kept out of the dimer's direction.
    """

    Options: ClassVar[type[SaddleOptions]] = SaddleOptions

    def check(self, structure: Atoms) -> None:
        """Raise `InputError` where fixed atoms do not exist."""
        self.options.check_fixed(len(structure))

    def explore(self, replica: Replica) -> Trajectory:
        """Displace at random, turn the dimer to the softest direction, and climb along it."""
        started = time.perf_counter()
        options, random = self.options, np.random.default_rng(replica.seed)
        atoms = with_calculator(replica.start, replica, options.fixed_atoms)
        dimer = self._dimer(atoms, random)
        frames, curvatures = [replica.start.positions.copy()], []

        def look(step: int) -> float:
            if step and step % options.keep_every == 0:
                frames.append(atoms.positions.copy())
            curvatures.append(float(dimer.get_curvature()))
            return longest(dimer.get_forces())

        steps, trouble = search(MinModeTranslate(dimer, logfile=None), options, look, replica.progress)
        series = {"curvature_eV_A2": np.array(curvatures)}
        frames.append(atoms.positions.copy())
        if np.isfinite(atoms.positions).all():
            energies = member_energies(replica, np.array([frames[0], frames[-1]]))
            series["saddle_energy_eV"] = energies[:, 1] - energies[:, 0]
        if trouble is None and options.around is not None:
            modes = normal_modes(atoms, forces_of(replica), options.around.difference_A, options.fixed_atoms)
            frames += list(atoms.positions + thermal_displacements(modes, options.around, random))
            series["wavenumber_per_cm"] = modes.wavenumbers
        return as_trajectory(replica, frames, steps, trouble, time.perf_counter() - started, series)

    def _dimer(self, atoms: Atoms, random: np.random.Generator) -> _Dimer:
        """A dimer along the random displacement with which the search begins."""
        options = self.options
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
        return _Dimer(atoms, control, eigenmodes=[away / np.linalg.norm(away)], random_seed=0)


class _Dimer(MinModeAtoms):
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


def _rigid(atoms: Atoms) -> np.ndarray:
    """Rigid motions, shape (n_motions, n_atoms, 3); none where atoms are fixed, or where there is one atom."""
    if atoms.constraints or len(atoms) == 1:
        return np.zeros((0, len(atoms), 3))
    return rigid_motions(atoms.positions, np.ones(len(atoms)), turns=not atoms.pbc.any())


def _without(vectors: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Vectors of shape (n_atoms, 3) without their parts along orthonormal directions."""
    return np.asarray(vectors - np.einsum("k,kax->ax", np.einsum("kax,ax->k", directions, vectors), directions))
