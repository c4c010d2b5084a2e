"""Orders that do without the committee, to compare others with."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from sparc_fw.selectors.base import Context, Step, StepOptions
from sparc_fw.selectors.pool import Pool
from sparc_fw.selectors.screens import BROKEN, fail


class RandomOptions(StepOptions):
    """Options of the step ``random``."""

    kind: Literal["random"] = "random"


class Random(Step[RandomOptions]):
    """Puts the frames that are in into a random order."""

    Options: ClassVar[type[RandomOptions]] = RandomOptions

    def apply(self, pool: Pool, context: Context) -> None:
        """Shuffle them."""
        rows = np.flatnonzero(pool.fate == "")
        pool.score[rows] = np.random.default_rng(context.seed).permutation(len(rows))


class UniformOptions(StepOptions):
    """Options of the step ``uniform``."""

    kind: Literal["uniform"] = "uniform"


class Uniform(Step[UniformOptions]):
    """Spreads picks evenly over what was explored: however many are taken, they lie about equally far apart.

    The order is van der Corput's (J. G. van der Corput, Proc. Kon. Ned. Akad. Wet. 38 (1935) 813): the middle, then the
    middles of both halves, and so on, over all frames that are in.
    """

    Options: ClassVar[type[UniformOptions]] = UniformOptions

    def apply(self, pool: Pool, context: Context) -> None:
        """Give every frame its turn."""
        rows = np.flatnonzero(pool.fate == "")
        pool.score[rows] = -spread_turns(len(rows))


class EnergyOptions(StepOptions):
    """Options of the step ``energy``."""

    kind: Literal["energy"] = "energy"
    levels: int = Field(20, ge=2)
    """Into so many equal levels the energies of each composition are divided."""


class Energy(Step[EnergyOptions]):
    """Spreads picks evenly over the energies that were seen: one of each level, then the next of each, drawn at random.

    Energies are the committee's mean; each composition has levels of its own.
    """

    Options: ClassVar[type[EnergyOptions]] = EnergyOptions

    def apply(self, pool: Pool, context: Context) -> None:
        """Give every frame its turn."""
        said = [pool.said(run, "energy").energies.mean(axis=0) for run in range(len(pool.trajectories))]
        mean = np.concatenate([*said, np.zeros(0)])
        fail(pool, ~np.isfinite(mean), BROKEN)
        rows = np.random.default_rng(context.seed).permutation(np.flatnonzero(pool.fate == ""))
        names = [np.sort(part.numbers).tobytes() for part in pool.trajectories]
        composition = np.array([names.index(name) for name in names], dtype=int)[pool.run[rows]]
        level = np.empty(len(rows), dtype=int)
        for each in np.unique(composition):
            found = mean[rows[composition == each]]
            width = np.ptp(found) / self.options.levels or 1.0
            level[composition == each] = np.minimum((found - found.min()) / width, self.options.levels - 1)
        pool.score[rows] = -_rounds(composition * self.options.levels + level)


def _rounds(group: np.ndarray) -> np.ndarray:
    """The turn of each member when one of every group comes, then the next of each; the order of groups spreads."""
    _, group = np.unique(group, return_inverse=True)
    order = np.argsort(group, kind="stable")
    counts = np.bincount(group)
    number = np.empty(len(group), dtype=int)
    number[order] = np.arange(len(group)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.asarray(number * len(counts) + spread_turns(len(counts))[group])


def spread_turns(count: int) -> np.ndarray:
    """The turn at which each of so many places in a row comes, such that the first n always spread evenly.

    Returns
    -------
    ndarray of int, shape (count,)
        A permutation of 0 to count - 1.
    """
    turns = np.empty(count, dtype=int)
    places = np.arange(count)
    fraction = np.zeros(count)
    # Digits of the turn in base 2, mirrored at the point.
    turn, half = places + 1, 0.5
    while (turn > 0).any():
        fraction += half * (turn % 2)
        turn, half = turn // 2, half / 2
    # Turn n goes to the place whose rank is that of the n-th fraction.
    turns[np.argsort(np.argsort(fraction, kind="stable"), kind="stable")] = places
    return turns
