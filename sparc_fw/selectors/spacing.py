"""Picks of one run keep apart in time."""

from __future__ import annotations

import math
from bisect import bisect, insort
from typing import ClassVar, Literal

import numpy as np

from sparc_fw.section import Positive
from sparc_fw.selectors.base import Context, StepOptions
from sparc_fw.selectors.pool import Pool
from sparc_fw.selectors.rules import Judge, Rule

TOO_CLOSE = "too_close_in_time"


class SpacingOptions(StepOptions):
    """Options of the step ``spacing``."""

    kind: Literal["spacing"] = "spacing"
    spacing_fs: Positive
    """Least time between two picks of one replica, fs; its parts (phases) count apart."""


class Spacing(Rule[SpacingOptions]):
    """Refuses frames too near in time to a pick of the same run; frames that follow no time are never too near."""

    Options: ClassVar[type[SpacingOptions]] = SpacingOptions

    def judge(self, pool: Pool, context: Context, order: np.ndarray) -> Judge:
        """Begin with no pick in any run."""
        return _Times(pool, self.options.spacing_fs)


class _Times:
    """Times of the picks of each run, ascending."""

    def __init__(self, pool: Pool, spacing: float) -> None:
        self._pool = pool
        self._spacing = spacing
        self._taken: dict[int, list[float]] = {}

    def refuses(self, row: int) -> str:
        now, taken = float(self._pool.time_fs[row]), self._taken.get(int(self._pool.run[row]), [])
        place = bisect(taken, now)
        near = taken[max(0, place - 1) : place + 1]
        return TOO_CLOSE if any(abs(now - time) < self._spacing for time in near) else ""

    def take(self, row: int) -> None:
        now = float(self._pool.time_fs[row])
        if not math.isnan(now):
            insort(self._taken.setdefault(int(self._pool.run[row]), []), now)
