"""Orders that do without the committee, to compare others with."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np

from sparc_fw.selectors.base import Context, Step, StepOptions
from sparc_fw.selectors.pool import Pool


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
