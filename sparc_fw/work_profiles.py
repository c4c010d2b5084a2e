"""Barriers from the work that moving restraints do (steered molecular dynamics)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

REACHED = 0.99
"""Where the work first comes to this fraction of its highest point, the barrier is passed: a bond that broke leaves a
plateau on which the highest point itself lies anywhere."""
RISING = 0.05
"""Work still rises at the end where the last tenth of the way brought more than this fraction of its highest point."""


@dataclass(frozen=True)
class Pull:
    """One steered run.

    Attributes
    ----------
    per_ps : float
        Velocity of the restraint, the variable's unit per ps.
    kelvin : float
        Temperature, K.
    centre : ndarray of shape (n_values,)
        Where the restraint was, in the variable's unit.
    work : ndarray of shape (n_values,)
        What it had done by then, eV.
    ended : str
        ``"completed"``, or why the run ended early.
    """

    per_ps: float
    kelvin: float
    centre: np.ndarray
    work: np.ndarray
    ended: str


@dataclass(frozen=True)
class Barrier:
    """The highest point of the work at one velocity.

    Attributes
    ----------
    runs : int
        Completed runs, from which everything here is; where none completed, all of them.
    broken : list of str
        How the runs ended that did not complete.
    height, place : float
        Mean over the runs of the highest point of their work, eV, and of where the restraint was when the work first
        came within 1 % of it, in its unit.
    spread : float or None
        Standard deviation of the heights over the runs, eV; None for a single one.
    rising : bool
        Whether the work still rose at the end of the way, so that nothing higher was seen, but may be there.
    centre, mean : ndarray of shape (n_values,)
        The work averaged over the runs, eV, and where the restraint was.
    free_energy, error : ndarray of shape (n_values,) or None
        Jarzynski's average of the work, -kT ln <exp(-W/kT)>, and its standard error, eV: the free energy with the
        restraint, if the runs began in equilibrium (C. Jarzynski, Phys. Rev. Lett. 78 (1997) 2690). None for one run.
    """

    per_ps: float
    kelvin: float
    runs: int
    broken: list[str]
    height: float
    place: float
    spread: float | None
    rising: bool
    centre: np.ndarray
    mean: np.ndarray
    free_energy: np.ndarray | None
    error: np.ndarray | None

    @property
    def jarzynski(self) -> tuple[float, float] | None:
        """Highest point of Jarzynski's average, and its standard error there, eV; None for one run."""
        if self.free_energy is None or self.error is None:
            return None
        highest = int(np.argmax(self.free_energy))
        return float(self.free_energy[highest]), float(self.error[highest])


def barriers(pulls: Sequence[Pull]) -> list[Barrier]:
    """The barrier at each velocity and temperature, the slowest first."""
    kinds = sorted({(pull.per_ps, pull.kelvin) for pull in pulls})
    return [_barrier([pull for pull in pulls if (pull.per_ps, pull.kelvin) == kind]) for kind in kinds]


def _barrier(pulls: Sequence[Pull]) -> Barrier:
    broken = [pull.ended for pull in pulls if pull.ended != "completed"]
    used = [pull for pull in pulls if pull.ended == "completed"] or list(pulls)
    length = min(len(pull.work) for pull in used)
    works = np.array([pull.work[:length] for pull in used])
    heights = np.array([pull.work.max() for pull in used])
    mean = works.mean(axis=0)
    averaged, error = _jarzynski(works, used[0].kelvin) if len(used) > 1 else (None, None)
    return Barrier(
        per_ps=used[0].per_ps,
        kelvin=used[0].kelvin,
        runs=len(used),
        broken=broken,
        height=float(heights.mean()),
        place=float(np.mean([_passed(pull) for pull in used])),
        spread=float(heights.std(ddof=1)) if len(used) > 1 else None,
        rising=_rises(used[0].centre[:length], mean),
        centre=used[0].centre[:length],
        mean=mean,
        free_energy=averaged,
        error=error,
    )


def _passed(pull: Pull) -> float:
    """Where the restraint was when the work first came near its highest point."""
    highest = pull.work.max()
    near = REACHED * highest if highest > 0 else highest
    return float(pull.centre[int(np.argmax(pull.work >= near))])


def _rises(centre: np.ndarray, work: np.ndarray) -> bool:
    """Whether the last tenth of the way still brought much of the work."""
    way = np.abs(centre - centre[0])
    before = work[way <= 0.9 * way[-1]]
    return bool(work[-1] - before[-1] > RISING * max(float(work.max()), 0.0))


def _jarzynski(works: np.ndarray, kelvin: float) -> tuple[np.ndarray, np.ndarray]:
    """The exponential average at every place, and its error, eV; `works` has shape (n_runs, n_values)."""
    from ase.units import kB

    from sparc_fw.free_energy import pymbar_library

    pymbar = pymbar_library()
    kT = kB * kelvin
    found = [pymbar.exp(column / kT) for column in works.T]
    return kT * np.array([each["Delta_f"] for each in found]), kT * np.array([each["dDelta_f"] for each in found])
