"""What explorers share that search for geometries: their frames follow each other in no time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms
from ase.optimize import FIRE
from ase.optimize.optimize import Optimizer
from pydantic import Field

from sparc_fw.encoding import frame_info
from sparc_fw.errors import InputError
from sparc_fw.explorers.base import ExplorerOptions, Replica
from sparc_fw.geometry.confinement import AtomIndex
from sparc_fw.geometry.normal_modes import ForcesOf
from sparc_fw.trajectories import Trajectory


class SearchOptions(ExplorerOptions):
    """Options of searches on the surface of the committee's first member."""

    fixed_atoms: list[AtomIndex] = []
    """Atoms that do not move, such as the bottom of a slab; counted from 0."""
    fmax_eV_A: float = Field(0.05, gt=0)
    """A search has converged when no atom feels a longer force, eV/Å."""
    max_steps: int = Field(200, ge=1)
    """Most steps of a search."""
    keep_every: int = Field(10, ge=1)
    """Steps between those whose frames are kept and judged."""

    def check_fixed(self, atoms: int) -> None:
        """Raise `InputError` where an atom that shall not move does not exist, or none is left that moves."""
        wrong = [atom for atom in self.fixed_atoms if atom >= atoms]
        if wrong:
            raise InputError(
                f"fixed_atoms: found atom {wrong[0]}, but the structure has {atoms} atoms (expected 0 to {atoms - 1})"
            )
        if len(set(self.fixed_atoms)) == atoms:
            raise InputError(f"fixed_atoms: found all {atoms} atoms, expected one or more that may move")


def with_calculator(frame: Atoms, replica: Replica, fixed: Sequence[int]) -> Atoms:
    """A copy with the calculator of the committee's first member, and atoms that do not move."""
    atoms = frame.copy()
    atoms.set_constraint(FixAtoms(fixed) if len(fixed) else None)
    atoms.calc = replica.potential.calculator(replica.models[0])
    return atoms


def search(
    optimizer: Optimizer,
    options: SearchOptions,
    look: Callable[[int], float | str],
    progress: Callable[[int, int], None],
) -> tuple[int, str | None]:
    """Run an optimizer of ASE to the end of its search.

    Parameters
    ----------
    look : callable
        Called with the number of every step, the 0th included; returns the longest force on an atom, eV/Å, or why the
        search has to end.
    progress : callable
        Called with (step, most steps).

    Returns
    -------
    steps : int
        Steps that were made.
    trouble : str or None
        Why the search did not converge; None where it did.
    """
    converged, largest, step = False, np.nan, 0
    for step, now in enumerate(optimizer.irun(fmax=options.fmax_eV_A, steps=options.max_steps)):
        converged, seen = bool(now), look(step)
        if isinstance(seen, str):
            return step, f"{seen} at step {step}"
        if not np.isfinite(seen):
            return step, f"a force is not finite at step {step}"
        largest = seen
        progress(step, options.max_steps)
    if converged:
        return step, None
    return step, f"no convergence in {step} steps: a force of {largest:.3g} eV/Å, expected {options.fmax_eV_A:g} eV/Å"


def relax(atoms: Atoms, options: SearchOptions, replica: Replica) -> tuple[list[np.ndarray], int, str | None]:
    """Relax atoms in place (FIRE: E. Bitzek et al., Phys. Rev. Lett. 97 (2006) 170201).

    Returns
    -------
    kept : list of ndarray of shape (n_atoms, 3)
        Positions on the way that are to be judged, the first ones included, Å.
    steps, trouble
        As of `search`.
    """
    kept: list[np.ndarray] = []

    def look(step: int) -> float:
        if step % options.keep_every == 0:
            kept.append(atoms.positions.copy())
        return longest(atoms.get_forces())

    steps, trouble = search(FIRE(atoms, logfile=None), options, look, replica.progress)
    return kept, steps, trouble


def longest(forces: np.ndarray) -> float:
    """Length of the longest force vector; shape of the forces (..., 3)."""
    return float(np.linalg.norm(forces, axis=-1).max())


def evaluation(replica: Replica) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Energies (eV) and forces (eV/Å) of the committee's first member for many frames at a time."""
    evaluator, start = replica.potential.load(replica.models[0]), replica.start
    return lambda positions: evaluator.evaluate(start.numbers, positions, _cells(start, len(positions)))


def forces_of(replica: Replica) -> ForcesOf:
    """Forces of the committee's first member, eV/Å, for many frames at a time."""
    evaluate = evaluation(replica)
    return lambda positions: evaluate(positions)[1]


def member_energies(replica: Replica, positions: np.ndarray) -> np.ndarray:
    """Energies of frames by every member, eV, shape (n_members, n_frames)."""
    cells = _cells(replica.start, len(positions))
    evaluators = (replica.potential.load(model) for model in replica.models)
    return np.array([evaluator.evaluate(replica.start.numbers, positions, cells)[0] for evaluator in evaluators])


def as_trajectory(
    replica: Replica,
    positions: Sequence[np.ndarray],
    steps: int,
    trouble: str | None,
    seconds: float,
    series: Mapping[str, np.ndarray],
) -> Trajectory:
    """Frames as a trajectory that follows no time; those whose positions are no numbers are left out."""
    start = replica.start
    places = np.array([frame for frame in positions if np.isfinite(frame).all()])
    return Trajectory(
        numbers=start.numbers.copy(),
        positions=places,
        cells=np.repeat(start.cell.array[None], len(places), axis=0),
        times=np.full(len(places), np.nan),
        pbc=(bool(start.pbc[0]), bool(start.pbc[1]), bool(start.pbc[2])),
        info=frame_info(start),
        steps=steps,
        ended="completed" if trouble is None else trouble,
        seconds=seconds,
        series=dict(series),
    )


def _cells(start: Atoms, count: int) -> np.ndarray | None:
    return np.repeat(start.cell.array[None], count, axis=0) if start.pbc.any() else None
