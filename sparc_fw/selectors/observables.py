"""Numbers that users simulate for, iteration by iteration, and whether they stopped moving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers

from sparc_fw.explorers.bias import atoms_of
from sparc_fw.explorers.variables import UNITS, name_of, values_of
from sparc_fw.geometry.descriptor import distance_blocks
from sparc_fw.selectors.goals import PairDistances, Reach
from sparc_fw.trajectories import Exploration, Trajectory

COMMON = 0.8
"""Least part of the whole range that two iterations must share to be compared."""
BLOCKS = 8
"""Parts of the explored frames whose scatter is the error of a distribution."""


@dataclass(frozen=True)
class Observed:
    """What an observable was in an iteration.

    Attributes
    ----------
    name, unit : str
        In words; the unit of the values.
    at : list of float
        Where the values belong (a distance, a velocity), ascending; one 0 for a single number.
    values, errors : list of float
        And their standard errors.
    level : bool
        Whether only differences between the values mean anything, as those of a free energy.
    """

    name: str
    unit: str
    at: list[float]
    values: list[float]
    errors: list[float]
    level: bool = False


@dataclass(frozen=True)
class Change:
    """What became of an observable since the iteration before: told in a clause, and whether it stands still."""

    clause: str
    settled: bool


def change(before: Observed | None, now: Observed, tolerance: float) -> Change:
    """Compare two iterations where both have values: the root-mean-square change against tolerance and error."""
    if before is None:
        return Change(f"{now.name} was seen for the first time", False)
    at = np.array(now.at)
    common = (at >= before.at[0]) & (at <= before.at[-1])
    shared = min(at[-1], before.at[-1]) - max(at[0], before.at[0])
    whole = max(at[-1], before.at[-1]) - min(at[0], before.at[0])
    # The level of a curve takes one point away; two more say whether the rest moved.
    if common.sum() < (3 if now.level else 1) or shared < COMMON * whole:
        return Change(f"{now.name} was seen on another range than in the iteration before", False)
    old, old_error = (np.interp(at[common], before.at, column) for column in (before.values, before.errors))
    moved = np.array(now.values)[common] - old
    if now.level:
        moved = moved - moved.mean()
    size = float(np.sqrt(np.mean(moved**2)))
    error = float(np.sqrt(np.mean(np.array(now.errors)[common] ** 2 + old_error**2)))
    unit = f" {now.unit}" if now.unit else ""
    clause = f"{now.name} moved by {size:.3g} ± {error:.2g}{unit} (limit {tolerance:g})"
    # What lies within twice its error did not move as far as anybody can tell.
    return Change(clause, size <= max(tolerance, 2.0 * error))


def pair_distances_of(options: PairDistances, runs: Sequence[tuple[Trajectory, np.ndarray]]) -> Observed | None:
    """Distribution of the distances between two elements.

    Parameters
    ----------
    runs : sequence of (Trajectory, ndarray of bool)
        All of one periodicity, with the frames of each that count.

    Returns
    -------
    Observed or None
        None without frames, or where no such pair is.
    """
    edges = np.arange(0.0, options.r_max_A + 0.5 * options.width_A, options.width_A)
    histograms = [_histograms(options, run, sound, edges) for run, sound in runs]
    counted = np.concatenate([each for each in histograms if each is not None] or [np.zeros((0, len(edges) - 1))])
    if not len(counted):
        return None
    blocks = np.array([block.mean(axis=0) for block in np.array_split(counted, min(BLOCKS, len(counted)))])
    error = blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks)) if len(blocks) > 1 else np.zeros(blocks.shape[1])
    middles = 0.5 * (edges[1:] + edges[:-1])
    periodic = all(runs[0][0].pbc)
    name = f"{'g(r)' if periodic else 'density of distances'} of {options.elements[0]}-{options.elements[1]}"
    mean = counted.mean(axis=0)
    return Observed(name, "" if periodic else "1/Å", middles.tolist(), mean.tolist(), error.tolist())


def _histograms(
    options: PairDistances, run: Trajectory, sound: np.ndarray, edges: np.ndarray
) -> np.ndarray | None:  # fmt: skip
    """g(r) of every frame, or the density of distances per Å where not all directions repeat; None without pairs."""
    first, second = np.triu_indices(len(run.numbers), 1)
    a, b = (atomic_numbers[element] for element in options.elements)
    kinds = np.sort(np.stack([run.numbers[first], run.numbers[second]]), axis=0)
    mine = (kinds[0] == min(a, b)) & (kinds[1] == max(a, b))
    if not mine.any() or not sound.any():
        return None
    widths, found = np.diff(edges), []
    for part, distances in distance_blocks(run.positions[sound], run.cells[sound], run.pbc):
        counts = np.array([np.histogram(row, edges)[0] for row in distances[:, mine]])
        if all(run.pbc):
            volumes = np.abs(np.linalg.det(run.cells[sound][part]))
            shells = 4 / 3 * np.pi * (edges[1:] ** 3 - edges[:-1] ** 3)
            found.append(counts * volumes[:, None] / (mine.sum() * shells))
        else:
            found.append(counts / (mine.sum() * widths))
    return np.concatenate(found)


def reached(goal: Reach, runs: Sequence[tuple[Trajectory, np.ndarray]]) -> str:
    """One clause where the explored frames do not cover a range; empty where they do.

    Parameters
    ----------
    runs : sequence of (Trajectory, ndarray of bool)
        Those of the goal's system, with the frames of each that did not fail.
    """
    # What phases build may have other atoms.
    last = max(atoms_of(goal.cv))
    seen = [
        values_of(goal.cv, run.positions[sound], run.cells[sound], run.pbc)
        for run, sound in runs
        if sound.any() and last < len(run.numbers)
    ]
    counts = np.histogram(np.concatenate(seen or [np.zeros(0)]), goal.parts, (goal.first, goal.last))[0]
    covered = int((counts > 0).sum())
    if covered == goal.parts:
        return ""
    unit = UNITS[goal.cv.kind]
    return (
        f"{name_of(goal.cv)} was explored in only {covered} of {goal.parts} parts of {goal.first:g} to {goal.last:g} "
        f"{unit}".rstrip()
    )


def sound_runs(
    explorations: Sequence[Exploration], failed: Mapping[int, np.ndarray], system: str
) -> list[tuple[Trajectory, np.ndarray]]:
    """The trajectories of a system with the frames that did not fail.

    Parameters
    ----------
    failed : mapping of int to ndarray of bool, shape (n_frames,)
        By replica.
    """
    return [
        (run, ~failed[exploration.replica][first : first + len(run)])
        for exploration in explorations
        for first, run in exploration.parts()
        if run.info["system"] == system
    ]
