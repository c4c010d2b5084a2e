"""Two rigid layers, the lower one held and the upper one moved: how slabs are loaded, pulled and sheared."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms, units

from sparc_fw.errors import InputError
from sparc_fw.explorers.phase_runs import GripRun, Load, Pull, Shear

AXES = {"x": 0, "y": 1, "z": 2}


def layers(atoms: Atoms, axis: int, thickness: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the atoms of the lowest and the uppermost layer.

    Raises
    ------
    InputError
        If nothing free is left between them.
    """
    heights = atoms.positions[:, axis]
    lower = np.flatnonzero(heights <= heights.min() + thickness)
    upper = np.flatnonzero(heights >= heights.max() - thickness)
    if len(lower) + len(upper) >= len(atoms):
        raise InputError(
            f"grip_A: two layers of {thickness:g} Å take all {len(atoms)} atoms of a structure that is "
            f"{np.ptp(heights):.2f} Å thick; expected free atoms between them"
        )
    return lower, upper


class Grips:
    """Holds the lower layer and moves the upper one as a rigid body; an ASE constraint.

    Along the normal the upper layer either moves at given speed or, under pressure, by Newton's second law with the
    sum of its atoms' forces, its total mass and a friction that damps its bouncing.

    Parameters
    ----------
    atoms : Atoms
    run : Load, Pull or Shear
    """

    def __init__(self, atoms: Atoms, run: GripRun) -> None:
        self.axis = AXES[run.axis]
        self.lower, self.upper = layers(atoms, self.axis, run.grip_A)
        self.held = np.concatenate([self.lower, self.upper])
        self.timestep = run.timestep_fs * units.fs
        self.friction = run.friction_per_ps / (1000 * units.fs)
        self.mass = float(atoms.get_masses()[self.upper].sum())
        self.velocity = np.zeros(3)
        self.load: float | None = None
        per_ps = 1 / (1000 * units.fs)
        if isinstance(run, Pull):
            self.velocity[self.axis] = run.speed_A_per_ps * per_ps
        if isinstance(run, Shear):
            self.velocity[AXES[run.along]] = run.speed_A_per_ps * per_ps
        if isinstance(run, Load | Shear) and run.pressure_GPa is not None:
            one, other = (atoms.cell.array[number] for number in range(3) if number != self.axis)
            self.load = run.pressure_GPa * units.GPa * float(np.linalg.norm(np.cross(one, other)))

    def advance(self, forces: np.ndarray) -> None:
        """Take note of the unconstrained forces, eV/Å, under which the next step is made."""
        if self.load is None:
            return
        push = float(forces[self.upper, self.axis].sum()) - self.load
        speed = self.velocity[self.axis]
        self.velocity[self.axis] += (push / self.mass - self.friction * speed) * self.timestep

    def adjust_positions(self, atoms: Atoms, new: np.ndarray) -> None:
        """Hold the lower layer and move the upper one by a step."""
        new[self.held] = atoms.positions[self.held]
        new[self.upper] += self.velocity * self.timestep

    def adjust_momenta(self, atoms: Atoms, momenta: np.ndarray) -> None:
        """Give the layers no momentum of their own, so that the thermometer does not see them."""
        momenta[self.held] = 0.0

    def adjust_forces(self, atoms: Atoms, forces: np.ndarray) -> None:
        """Leave no force on the layers."""
        forces[self.held] = 0.0

    def get_removed_dof(self, atoms: Atoms) -> int:
        """Degrees of freedom that the layers take away."""
        return 3 * len(self.held)

    def todict(self) -> dict[str, Any]:
        """Name, as ASE asks of constraints."""
        return {"name": type(self).__name__, "kwargs": {}}
