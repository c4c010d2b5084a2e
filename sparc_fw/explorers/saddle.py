"""Saddle points that nobody has drawn an end state for, by the dimer method or by Sella."""

from __future__ import annotations

import importlib.util
import time
from typing import ClassVar, Literal

import numpy as np
from ase import Atoms
from pydantic import Field, model_validator
from typing_extensions import Self

from sparc_fw.explorers.base import Explorer, Replica
from sparc_fw.explorers.climbing import Climb, leave
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

DIMER_KEYS = ("separation_A", "max_rotations")
"""Keys that mean nothing to Sella."""


class SaddleOptions(SearchOptions):
    """Options of searches for saddles."""

    kind: Literal["saddle"] = "saddle"
    method: Literal["dimer", "sella"] = "dimer"
    """ASE's dimer; or Sella, which asks for far fewer forces and needs the Python package of that name."""
    displacement_A: float = Field(0.1, gt=0)
    """Standard deviation of the random displacement along each axis with which the search leaves its start, Å."""
    separation_A: float = Field(0.01, gt=0)
    """Distance of the dimer's ends from its centre, Å."""
    max_rotations: int = Field(4, ge=1)
    """Most rotations of the dimer in each step."""
    max_step_A: float = Field(0.1, gt=0)
    """Longest step, and its length while the curvature is positive; of Sella, the longest first one, Å."""
    max_energy_eV: float = Field(5.0, gt=0)
    """A search that has climbed higher than this above its start ends: it has lost its way, eV."""
    around: ModeSampling | None = None
    """Further frames, displaced along the saddle's normal modes; where unset, none."""

    @model_validator(mode="after")
    def _nothing_for_another_method(self) -> Self:
        idle = [key for key in DIMER_KEYS if key in self.model_fields_set]
        if self.method == "sella" and idle:
            raise ValueError(f"{idle[0]}: found it beside method: sella, expected it with the dimer only")
        return self


class SaddleExplorer(Explorer[SaddleOptions]):
    """Climbs from the start to a saddle of the committee's first member, another one for every seed.

    The trajectory has the start, the frames of every `SearchOptions.keep_every`-th step, the last frame and those
    `SaddleOptions.around` it. Its series: ``saddle_energy_eV``, the energy of the last frame above the start by each
    member; ``curvature_eV_A2`` where it climbs, by step (not a number where Sella has not looked yet);
    ``wavenumber_per_cm`` of the saddle's modes where they are asked
    for.

    Notes
    -----
    G. Henkelman and H. Jónsson, J. Chem. Phys. 111 (1999) 7010, as ASE has it, with the translations and rotations of
    a molecule kept out of the dimer's direction; E. D. Hermes, K. Sargsyan, H. N. Najm and J. Zádor, J. Chem. Theory
    Comput. 18 (2022) 6974 (Sella).
    """

    Options: ClassVar[type[SaddleOptions]] = SaddleOptions

    def missing(self) -> list[str]:
        """Say so where Sella is asked for and not installed."""
        if self.options.method != "sella" or importlib.util.find_spec("sella") is not None:
            return []
        return [
            "explorer.method: found sella, whose Python package is not installed: pip install 'sparc_fw[sella]' (it "
            "brings JAX), or take the method dimer"
        ]

    def check(self, structure: Atoms) -> None:
        """Raise `InputError` where fixed atoms do not exist."""
        self.options.check_fixed(len(structure))

    def explore(self, replica: Replica) -> list[Trajectory]:
        """Displace at random, look for the softest direction, and climb along it."""
        started = time.perf_counter()
        options, random = self.options, np.random.default_rng(replica.seed)
        atoms = with_calculator(replica.start, replica, options.fixed_atoms)
        first = float(atoms.get_potential_energy())
        climb = self._climb(atoms, leave(atoms, options.displacement_A, options.fixed_atoms, random))
        frames, curvatures = [replica.start.positions.copy()], []

        def look(step: int) -> float | str:
            if step and step % options.keep_every == 0:
                frames.append(atoms.positions.copy())
            curvatures.append(climb.curvature())
            climbed = climb.energy() - first
            if climbed > options.max_energy_eV:
                return f"the search climbed {climbed:.3g} eV, more than max_energy_eV, {options.max_energy_eV:g} eV,"
            return longest(climb.forces())

        steps, trouble = search(climb.optimizer, options, look, replica.progress)
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

    def _climb(self, atoms: Atoms, away: np.ndarray) -> Climb:
        if self.options.method == "sella":
            from sparc_fw.explorers.sella_climb import sella_climb

            return sella_climb(atoms, away, self.options)
        from sparc_fw.explorers.dimer import dimer_climb

        return dimer_climb(atoms, away, self.options)
