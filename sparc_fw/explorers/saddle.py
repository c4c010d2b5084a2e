"""Saddle points that nobody has drawn an end state for, by the dimer method."""

from __future__ import annotations

import time
from typing import ClassVar, Literal

import numpy as np
from ase import Atoms
from pydantic import Field

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
from sparc_fw.geometry.normal_modes import ModeSampling, normal_modes, thermal_displacements
from sparc_fw.trajectories import Trajectory


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
    max_energy_eV: float = Field(5.0, gt=0)
    """A search that has climbed higher than this above its start ends: it has lost its way, eV."""
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

    def explore(self, replica: Replica) -> list[Trajectory]:
        """Displace at random, turn the dimer to the softest direction, and climb along it."""
        from ase.mep import MinModeTranslate

        from sparc_fw.explorers.dimer import leave

        started = time.perf_counter()
        options, random = self.options, np.random.default_rng(replica.seed)
        atoms = with_calculator(replica.start, replica, options.fixed_atoms)
        first = float(atoms.get_potential_energy())
        dimer = leave(atoms, options, random)
        frames, curvatures = [replica.start.positions.copy()], []

        def look(step: int) -> float | str:
            if step and step % options.keep_every == 0:
                frames.append(atoms.positions.copy())
            curvatures.append(float(dimer.get_curvature()))
            climbed = float(dimer.get_potential_energy()) - first
            if climbed > options.max_energy_eV:
                return f"the search climbed {climbed:.3g} eV, more than max_energy_eV, {options.max_energy_eV:g} eV,"
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
        return [as_trajectory(replica, frames, steps, trouble, time.perf_counter() - started, series)]
