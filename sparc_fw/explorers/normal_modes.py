"""Structures displaced along the normal modes of a minimum, or of any other structure."""

from __future__ import annotations

import time
from typing import ClassVar, Literal

import numpy as np
from ase import Atoms

from sparc_fw.explorers.base import Explorer, Replica
from sparc_fw.explorers.searches import SearchOptions, as_trajectory, forces_of, relax, with_calculator
from sparc_fw.geometry.normal_modes import ModeSampling, normal_modes, thermal_displacements
from sparc_fw.trajectories import Trajectory


class NormalModesOptions(SearchOptions, ModeSampling):
    """Options of normal-mode sampling."""

    kind: Literal["normal_modes"] = "normal_modes"
    relax: bool = True
    """Whether the start is relaxed first; false to sample around it as it is."""


class NormalModesExplorer(Explorer[NormalModesOptions]):
    """Samples the harmonic neighbourhood of a structure, on the surface of the committee's first member.

    The trajectory has the frames of the relaxation, the structure that it reached, and the displaced ones, in this
    order. Its series: ``wavenumber_per_cm`` of the modes, negative where one is imaginary.
    """

    Options: ClassVar[type[NormalModesOptions]] = NormalModesOptions

    def check(self, structure: Atoms) -> None:
        """Raise `InputError` where fixed atoms do not exist."""
        self.options.check_fixed(len(structure))

    def explore(self, replica: Replica) -> list[Trajectory]:
        """Relax, compute the Hessian by finite differences in one batch, and draw."""
        started = time.perf_counter()
        options = self.options
        atoms = with_calculator(replica.start, replica, options.fixed_atoms)
        frames, steps, trouble = relax(atoms, options, replica) if options.relax else ([], 0, None)
        series: dict[str, np.ndarray] = {}
        if np.isfinite(atoms.get_forces()).all():
            modes = normal_modes(atoms, forces_of(replica), options.difference_A, options.fixed_atoms)
            draws = thermal_displacements(modes, options, np.random.default_rng(replica.seed))
            frames = [*frames, atoms.positions.copy(), *(atoms.positions + draws)]
            series["wavenumber_per_cm"] = modes.wavenumbers
        return [as_trajectory(replica, frames, steps, trouble, time.perf_counter() - started, series)]
