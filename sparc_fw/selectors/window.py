"""Classes by what the committee says: known, worth a label, beyond help."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from ase import Atoms
from pydantic import Field, model_validator

from sparc_fw.measure_names import FORCE_MAX, UNITS, in_unit
from sparc_fw.section import Positive
from sparc_fw.selectors.base import Context, Step
from sparc_fw.selectors.calibration_records import Goal
from sparc_fw.selectors.lot import draw_lots
from sparc_fw.selectors.measures import MeasureOptions, check_atoms, measured
from sparc_fw.selectors.pool import Pool

CONFIDENCE, RANDOM_SHARE = 0.9, 0.15
AFTER_FAILURE = "after_failure"
ROUNDING = 1e-9
"""What a product may miss a whole number by, such as 0.1 * 30 misses 3."""


class WindowOptions(MeasureOptions):
    """Options of the step ``window``."""

    classifies: ClassVar[bool] = True

    kind: Literal["window"] = "window"
    f_lo: Positive = 0.15
    """Frames with less are accurate, in the unit of the measure (eV/Å for forces). With a target it is what counts
    while labels are too few to tell."""
    f_hi: Positive = 1.0
    """Frames with more have failed, in the unit of the measure (eV/Å for forces). With a target as `f_lo`."""
    target_force_error_eV_per_A: Positive | None = None
    """Largest force error on an atom that is good enough, eV/Å. Where it is set, both thresholds follow from what
    labels show, system by system, and move with the model; where unset, they stay as given."""
    confidence: float | None = Field(None, gt=0, lt=1)
    """Of the target: the share of accurate frames whose error is to be below it; 0.9 where unset."""
    random_share: float | None = Field(None, ge=0, lt=1)
    """Of the target: so large a part of an iteration's picks is drawn by lot among the frames that are in and have not
    failed, whatever the steps behind say; 0.15 where unset. They alone tell of frames that deviate little."""
    lost_after_fs: float = Field(50.0, ge=0)
    """When frames of a replica have failed for so long, it is lost: what comes later counts as failed, too, fs."""
    keep: Literal["candidates", "all"] = "candidates"
    """`candidates`: accurate and failed frames are out, the largest deviation comes first. `all`: frames get their
    class and nothing else, for steps that choose without the committee, as `random` and `uniform` do."""

    @model_validator(mode="after")
    def _window(self) -> WindowOptions:
        if self.f_lo >= self.f_hi:
            found = in_unit(f"{self.f_lo:g} and {self.f_hi:g}", self.measure)
            raise ValueError(f"f_lo, f_hi: found {found}, expected f_lo < f_hi")
        if self.measure != FORCE_MAX and not {"f_lo", "f_hi"} <= self.model_fields_set:
            raise ValueError(f"f_lo, f_hi: their defaults are for {FORCE_MAX}, expected both beside {self.measure}")
        return self

    @model_validator(mode="after")
    def _target(self) -> WindowOptions:
        if self.target_force_error_eV_per_A is None:
            for key in ("confidence", "random_share"):
                if getattr(self, key) is not None:
                    raise ValueError(f"{key}: found it without target_force_error_eV_per_A, expected both or none")
            return self
        if UNITS[self.measure] != "eV/Å":
            raise ValueError(
                f"target_force_error_eV_per_A: found it beside the measure {self.measure}, expected a measure in eV/Å"
            )
        if self.random_share == 0:
            raise ValueError(
                "random_share: found 0, expected more: without frames drawn by lot nothing is known of the errors of "
                "those that deviate little, which target_force_error_eV_per_A is about"
            )
        return self

    @property
    def goal(self) -> Goal | None:
        """What thresholds are to be fitted to; None where they are fixed."""
        if self.target_force_error_eV_per_A is None:
            return None
        confidence = CONFIDENCE if self.confidence is None else self.confidence
        return Goal(self.target_force_error_eV_per_A, confidence, (self.f_lo, self.f_hi))


class Window(Step[WindowOptions]):
    """Candidates are frames between two thresholds; those of largest deviation deserve a label first.

    Frames that a screen has called failed stay so, whatever the committee says of them.
    Source of window and classes: Y. Zhang et al., Comput. Phys. Commun. 253 (2020) 107206 (DP-GEN).
    """

    Options: ClassVar[type[WindowOptions]] = WindowOptions

    def check(self, structures: Mapping[str, Atoms]) -> None:
        """Raise `InputError` where no system has the atoms that are looked at."""
        check_atoms(self.options, structures)

    def apply(self, pool: Pool, context: Context) -> None:
        """Tell the class of every frame, draw lots where there is a target, and drop what is not to be kept."""
        options = self.options
        value = pool.judged = measured(pool, options)
        f_lo, f_hi = self._thresholds(pool, context)
        failed = (pool.frame_class == "failed") | ~(value <= f_hi)
        accurate = ~failed & (value < f_lo)
        lost = np.zeros(len(pool), dtype=bool)
        for rows, trajectory in pool.runs():
            lost[rows.start + lost_from(failed[rows], trajectory.times, options.lost_after_fs) : rows.stop] = True
        # Members that agree again where a lost run ended up are no sign that anything is known.
        pool.frame_class[:] = np.where(failed | lost, "failed", np.where(accurate, "accurate", "candidate"))
        if options.goal is not None:
            share = RANDOM_SHARE if options.random_share is None else options.random_share
            sound = (pool.fate == "") & ~failed & ~lost
            draw_lots(pool, sound, math.ceil(share * context.room - ROUNDING), context.shares, context.seed)
        pool.drop(np.flatnonzero((pool.fate == "") & lost & ~failed), AFTER_FAILURE)
        if options.keep == "all":
            return
        alive = pool.fate == ""
        pool.score[alive] = value[alive]
        pool.drop(np.flatnonzero(alive & failed), "failed")
        pool.drop(np.flatnonzero(alive & accurate), "accurate")

    def _thresholds(self, pool: Pool, context: Context) -> tuple[np.ndarray, np.ndarray]:
        """Thresholds of every frame, which the pool is told of, too."""
        options = self.options
        fixed = pool.window = (options.f_lo, options.f_hi)
        pool.measure = options.measure
        if options.goal is not None:
            known = {name: context.calibration.get(name) for name in pool.systems}
            pool.windows = {name: (x.f_lo, x.f_hi) if x is not None else fixed for name, x in known.items()}
            lower, upper = zip(*pool.windows.values(), strict=True) if pool.windows else (fixed[:1], fixed[1:])
            pool.window = (min(lower), max(upper))
        windows = np.array([pool.windows.get(name, fixed) for name in pool.systems]).reshape(-1, 2)[pool.system]
        return windows[:, 0], windows[:, 1]


def lost_from(failed: np.ndarray, times: np.ndarray, limit: float) -> int:
    """Index of the first frame after which a replica failed for at least `limit` (fs); the number of frames if never.

    A potential that is wrong for so long has led the atoms to where no reference calculation is worth its price, even
    if its members agree again there.

    Parameters
    ----------
    failed : ndarray of bool, shape (n_frames,)
    times : ndarray of shape (n_frames,)
        fs.
    """
    start: int | None = None
    for index in range(len(failed)):
        if not failed[index]:
            start = None
            continue
        start = index if start is None else start
        if times[index] - times[start] >= limit:
            return start
    return len(failed)
