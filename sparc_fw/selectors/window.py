"""Classes by what the committee says: known, worth a label, beyond help."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from ase import Atoms
from pydantic import Field, model_validator

from sparc_fw.measure_names import FORCE_MAX, in_unit
from sparc_fw.section import Positive
from sparc_fw.selectors.base import Context, Step
from sparc_fw.selectors.measures import MeasureOptions, check_atoms, measured
from sparc_fw.selectors.pool import Pool


class WindowOptions(MeasureOptions):
    """Options of the step ``window``."""

    classifies: ClassVar[bool] = True

    kind: Literal["window"] = "window"
    f_lo: Positive = 0.15
    """Frames with less are accurate, in the unit of the measure (eV/Å for forces)."""
    f_hi: Positive = 1.0
    """Frames with more have failed, in the unit of the measure (eV/Å for forces)."""
    lost_after_fs: float = Field(50.0, ge=0)
    """When frames of a replica have failed for so long, it is lost: what comes later is never picked, fs."""
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
        """Tell the class of every frame, and drop what is none of those to be kept."""
        options = self.options
        value = pool.judged = measured(pool, options)
        pool.window, pool.measure = (options.f_lo, options.f_hi), options.measure
        failed = (pool.frame_class == "failed") | ~(value <= options.f_hi)
        accurate = ~failed & (value < options.f_lo)
        pool.frame_class[:] = np.where(failed, "failed", np.where(accurate, "accurate", "candidate"))
        if options.keep == "all":
            return
        alive = pool.fate == ""
        pool.score[alive] = value[alive]
        pool.drop(np.flatnonzero(alive & failed), "failed")
        pool.drop(np.flatnonzero(alive & accurate), "accurate")
        for rows, trajectory in pool.runs():
            lost = rows.start + lost_from(failed[rows], trajectory.times, options.lost_after_fs)
            pool.drop(lost + np.flatnonzero(pool.fate[lost : rows.stop] == ""), "after_failure")


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
