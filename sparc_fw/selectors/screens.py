"""Frames that no reference calculation is worth having of."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from sparc_fw.geometry.overlap import FRACTION, overlapping
from sparc_fw.measure_names import FORCE_MAX
from sparc_fw.same_frames import frame_hash
from sparc_fw.selectors.base import Context, Step, StepOptions, StepOptionsType
from sparc_fw.selectors.pool import Pool

BROKEN, IN_TEST_SET = "nan", "in_test_set"


def drop_broken(pool: Pool) -> None:
    """Take out frames without a finite position or force deviation: every selection begins so."""
    broken = ~np.isfinite(pool.measures[FORCE_MAX])
    for rows, trajectory in pool.runs():
        broken[rows] |= ~np.isfinite(trajectory.positions).all(axis=(1, 2))
    fail(pool, broken, BROKEN)


def drop_test_frames(pool: Pool, kept_apart: frozenset[str]) -> None:
    """Take out frames of the test set, whose labels must never be trained on; they keep their class."""
    if kept_apart:
        hashes = (frame_hash(pool.frame(row)) if pool.fate[row] == "" else "" for row in range(len(pool)))
        pool.drop([row for row, found in enumerate(hashes) if found in kept_apart], IN_TEST_SET)


def fail(pool: Pool, found: np.ndarray, reason: str) -> None:
    """Call frames failed, and take out those that are in or were drawn by lot."""
    pool.frame_class[found] = "failed"
    pool.screened |= found
    pool.take_back(np.flatnonzero(found & pool.drawn))
    pool.drop(np.flatnonzero(found & (pool.fate == "")), reason)


class Screen(Step[StepOptionsType]):
    """Takes out frames that are wrong, whatever the committee says of them; they count as failed."""

    reason: ClassVar[str]

    @abstractmethod
    def finds(self, pool: Pool, run: int, places: np.ndarray, context: Context) -> np.ndarray:
        """Which of the frames at some places of a trajectory, all of them finite, are wrong; shape of `places`."""

    def apply(self, pool: Pool, context: Context) -> None:
        """Take them out; those that are out already count as failed, too."""
        sound = pool.fate != BROKEN
        found = np.zeros(len(pool), dtype=bool)
        for run, (rows, _) in enumerate(pool.runs()):
            places = np.flatnonzero(sound[rows])
            found[rows.start + places] = self.finds(pool, run, places, context)
        fail(pool, found, self.reason)


class OverlapOptions(StepOptions):
    """Options of the step ``overlap``."""

    kind: Literal["overlap"] = "overlap"
    fraction: float = Field(FRACTION, gt=0, lt=1)
    """Atoms nearer than this fraction of the sum of their covalent radii overlap."""


class Overlap(Screen[OverlapOptions]):
    """Takes out frames with atoms on top of each other."""

    Options: ClassVar[type[OverlapOptions]] = OverlapOptions
    reason = "overlap"

    def finds(self, pool: Pool, run: int, places: np.ndarray, context: Context) -> np.ndarray:
        """Which frames have two atoms too near each other."""
        part = pool.trajectories[run]
        return overlapping(part.numbers, part.positions[places], part.cells[places], part.pbc, self.options.fraction)
