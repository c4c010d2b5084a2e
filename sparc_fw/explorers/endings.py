"""Why a run ends before its time: bounds on distances and energy, and a committee that disagrees for too long."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms
from pydantic import Field, model_validator
from typing_extensions import Self

from sparc_fw.errors import InputError
from sparc_fw.geometry.confinement import AtomIndex
from sparc_fw.geometry.isolation import describe_isolation, nearest_neighbours
from sparc_fw.section import Positive, Section
from sparc_fw.trajectories import Trajectory


class DistanceBound(Section):
    """Bounds on the distance of two atoms."""

    atoms: tuple[AtomIndex, AtomIndex]
    """Counted from 0."""
    min_A: Positive | None = None
    """Least distance, Å; where unset, none."""
    max_A: Positive | None = None
    """Largest distance, Å; where unset, none."""

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.min_A is None and self.max_A is None:
            raise ValueError("found neither 'min_A' nor 'max_A', expected one of them or both")
        if self.min_A is not None and self.max_A is not None and self.min_A >= self.max_A:
            raise ValueError(f"min_A, max_A: found {self.min_A} and {self.max_A}, expected min_A < max_A")
        return self

    def check(self, key: str, atoms: int) -> None:
        """Raise `InputError` where an atom does not exist."""
        wrong = [atom for atom in self.atoms if atom >= atoms]
        if wrong:
            raise InputError(
                f"{key}: atoms: found atom {wrong[0]}, but the structure has {atoms} atoms (expected 0 to {atoms - 1})"
            )

    def problem(self, frame: Atoms) -> str | None:
        """How a frame breaks the bounds, or None."""
        first, second = self.atoms
        found = float(frame.get_distance(first, second, mic=bool(frame.pbc.any())))
        names = f"{frame.symbols[first]}{first} and {frame.symbols[second]}{second}"
        if self.min_A is not None and found < self.min_A:
            return f"{names} came nearer than {self.min_A:g} Å ({found:.3f} Å)"
        if self.max_A is not None and found > self.max_A:
            return f"{names} went farther than {self.max_A:g} Å ({found:.3f} Å)"
        return None


class Disagreement(Section):
    """A run ends when the committee has disagreed for some time, told while it runs."""

    deviation_eV_A: Positive
    """Force deviation, eV/Å; that of the trust window's upper end is sensible."""
    for_fs: float = Field(50.0, ge=0)
    """The run ends when the deviation was above that for so long, fs."""
    every_fs: Positive = 5.0
    """Time between two looks at all members, fs."""

    def sentence(self, time: float) -> str:
        """What is said of a run that ended so, after `time` fs."""
        return f"the force deviation was above {self.deviation_eV_A:g} eV/Å for {self.for_fs:g} fs, after {time:.0f} fs"


@dataclass
class Patience:
    """How long a committee has disagreed; told look by look, since a long run has many.

    Attributes
    ----------
    limit : Disagreement
    since : float or None
        Time of the first look of those without a break that were above the limit, fs; None where the last was not.
    """

    limit: Disagreement
    since: float | None = None

    def ends(self, time: float, deviation: float) -> bool:
        """Whether the run ends with a look at `time` (fs); a deviation (eV/Å) that is not a number counts as large."""
        if deviation <= self.limit.deviation_eV_A:
            self.since = None
            return False
        self.since = time if self.since is None else self.since
        return time - self.since >= self.limit.for_fs


def until(trajectory: Trajectory, first: int, reason: str) -> Trajectory:
    """The trajectory up to the frame before `first`; the very first frame stays: without it nothing could be judged."""
    kept = max(1, first)
    return replace(
        trajectory,
        positions=trajectory.positions[:kept],
        cells=trajectory.cells[:kept],
        times=trajectory.times[:kept],
        ended=f"{reason}, after {trajectory.times[first]:.0f} fs",
    )


def until_apart(trajectory: Trajectory, within: float | None) -> Trajectory:
    """The trajectory up to the first frame in which an atom is farther than `within` (Å) from every other one."""
    if within is None:
        return trajectory
    nearest = nearest_neighbours(trajectory.positions, trajectory.cells, trajectory.pbc)
    apart = np.flatnonzero((nearest > within).any(axis=1))
    if not len(apart):
        return trajectory
    first = int(apart[0])
    return until(trajectory, first, describe_isolation(trajectory.frame(first), within) or "")


def until_out_of_bounds(trajectory: Trajectory, distances: list[DistanceBound], window: float | None) -> Trajectory:
    """The trajectory up to the first frame that breaks a bound, or lies `window` (eV) above the first one's energy."""
    energies = trajectory.series["potential_energy_eV"]
    for index in range(len(trajectory) if distances or window is not None else 0):
        frame = trajectory.frame(index)
        problems = [problem for bound in distances if (problem := bound.problem(frame))]
        if not problems and window is not None and energies[index] - energies[0] > window:
            problems = [f"the energy rose by {energies[index] - energies[0]:.2f} eV (limit {window:g} eV)"]
        if problems:
            return until(trajectory, index, problems[0])
    return trajectory
