"""Selection by force deviation in a trust window, kept diverse in time and in structure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from ase import Atoms
from pydantic import Field, model_validator

from sparc_fw.documents import FrameClass, FrameVerdict
from sparc_fw.geometry.overlap import overlapping
from sparc_fw.selectors.base import Choice, Selector, SelectorOptions
from sparc_fw.selectors.picking import Picker
from sparc_fw.selectors.shares import Share
from sparc_fw.trajectories import Exploration, Trajectory


class TrustWindowOptions(SelectorOptions):
    """Options of the selector ``trust_window``."""

    kind: Literal["trust_window"] = "trust_window"
    f_lo: float = Field(0.15, gt=0)
    """Frames with a smaller force deviation are accurate, eV/Å."""
    f_hi: float = Field(1.0, gt=0)
    """Frames with a larger force deviation have failed and are not labelled, eV/Å."""
    cap: int = Field(45, ge=1)
    """Most picks per iteration, of all systems together."""
    spacing_fs: float = Field(0.0, ge=0)
    """Least time between two picks of one replica, fs; its parts (phases) count apart."""
    min_difference_A: float = Field(0.15, ge=0)
    """A pick differs from the other picks and from every labelled frame by at least this in one of its sorted
    interatomic distances, Å; 0 turns the comparison off."""
    lost_after_fs: float = Field(50.0, ge=0)
    """When frames of a replica have failed for so long, it is lost: what comes later is never picked, fs."""

    @model_validator(mode="after")
    def _window(self) -> TrustWindowOptions:
        if self.f_lo >= self.f_hi:
            raise ValueError(f"f_lo, f_hi: found {self.f_lo:g} and {self.f_hi:g} eV/Å, expected f_lo < f_hi")
        return self


class TrustWindow(Selector[TrustWindowOptions]):
    """Picks the frames of largest force deviation inside the window.

    Frames with overlapping atoms or without a finite deviation have failed, whatever the committee says of them.
    Source of window and classes: Y. Zhang et al., Comput. Phys. Commun. 253 (2020) 107206 (DP-GEN).
    """

    Options: ClassVar[type[TrustWindowOptions]] = TrustWindowOptions

    def select(
        self,
        explorations: Sequence[Exploration],
        labelled: Sequence[Atoms],
        limit: int,
        seed: int,
        shares: Sequence[Share] = (),
    ) -> Choice:
        """Judge every frame and pick at most `limit`, largest deviation first, ties by (replica, index).

        `seed` is not used: nothing is drawn at random.
        """
        ordered = sorted(explorations, key=lambda exploration: exploration.replica)
        frames = [verdict for exploration in ordered for verdict in self._judge(exploration)]
        candidates = [frame for frame in frames if frame.fate == "over_cap"]
        candidates.sort(key=lambda frame: (-frame.deviation, frame.replica, frame.index))
        return self._choice(frames, candidates, ordered, labelled, limit, shares)

    def _choice(
        self,
        frames: list[FrameVerdict],
        candidates: list[FrameVerdict],
        explorations: Sequence[Exploration],
        labelled: Sequence[Atoms],
        limit: int,
        shares: Sequence[Share],
    ) -> Choice:
        """What is picked of the candidates, which are in the order in which they deserve it."""
        options = self.options
        by_replica = {exploration.replica: exploration for exploration in explorations}
        picker = Picker(by_replica, labelled, options.spacing_fs, options.min_difference_A)
        picks = picker.pick(candidates, min(limit, options.cap), shares)
        return Choice(frames=frames, picks=picks, window=(options.f_lo, options.f_hi))

    def _judge(self, exploration: Exploration) -> list[FrameVerdict]:
        """Class of every frame; the fate of candidates is still open."""
        verdicts: list[FrameVerdict] = []
        for first, trajectory in exploration.parts():
            deviation = exploration.deviation[first : first + len(trajectory)]
            verdicts += self._judge_part(exploration.replica, first, trajectory, deviation)
        return verdicts

    def _judge_part(
        self, replica: int, first: int, trajectory: Trajectory, deviation: np.ndarray
    ) -> list[FrameVerdict]:
        broken = ~(np.isfinite(deviation) & np.isfinite(trajectory.positions).all(axis=(1, 2)))
        overlaps = overlapping(trajectory.numbers, trajectory.positions, trajectory.cells, trajectory.pbc)
        failed = broken | overlaps | ~(deviation <= self.options.f_hi)
        lost = lost_from(failed, trajectory.times, self.options.lost_after_fs)
        verdicts = []
        for index, value in enumerate(deviation.tolist()):
            frame_class: FrameClass = "failed"
            fate = "failed"
            if broken[index]:
                fate = "nan"
            elif overlaps[index]:
                fate = "overlap"
            elif value < self.options.f_lo:
                frame_class, fate = "accurate", "accurate"
            elif value <= self.options.f_hi:
                frame_class, fate = "candidate", "over_cap" if index < lost else "after_failure"
            verdicts.append(FrameVerdict(replica, first + index, value, frame_class, fate))
        return verdicts


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
