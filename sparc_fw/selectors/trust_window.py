"""Selection by force deviation in a trust window, kept diverse in time and in structure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from ase import Atoms
from pydantic import Field, model_validator

from sparc_fw.documents import FrameClass, FrameVerdict
from sparc_fw.geometry.descriptor import frame_distances
from sparc_fw.geometry.overlap import overlapping
from sparc_fw.selectors.base import Choice, Selector, SelectorOptions
from sparc_fw.trajectories import Exploration, Trajectory


class TrustWindowOptions(SelectorOptions):
    """Options of the selector ``trust_window``."""

    kind: Literal["trust_window"] = "trust_window"
    f_lo: float = Field(0.15, gt=0)
    """Frames with a smaller force deviation are accurate, eV/Å."""
    f_hi: float = Field(1.0, gt=0)
    """Frames with a larger force deviation have failed and are not labelled, eV/Å."""
    cap: int = Field(45, ge=1)
    """Most picks per iteration."""
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

    def select(self, explorations: Sequence[Exploration], labelled: Sequence[Atoms], limit: int, seed: int) -> Choice:
        """Judge every frame and pick at most `limit`, largest deviation first, ties by (replica, index).

        `seed` is not used: nothing is drawn at random.
        """
        ordered = sorted(explorations, key=lambda exploration: exploration.replica)
        frames = [verdict for exploration in ordered for verdict in self._judge(exploration)]
        candidates = [frame for frame in frames if frame.fate == "over_cap"]
        candidates.sort(key=lambda frame: (-frame.deviation, frame.replica, frame.index))
        picks = self._take(candidates, {e.replica: e for e in ordered}, labelled, min(limit, self.options.cap))
        return Choice(frames=frames, picks=picks, window=(self.options.f_lo, self.options.f_hi))

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

    def _take(
        self,
        candidates: list[FrameVerdict],
        explorations: dict[int, Exploration],
        labelled: Sequence[Atoms],
        limit: int,
    ) -> list[tuple[int, int]]:
        """Go through the candidates in their order and settle their fates until `limit` is reached."""
        known = _Seen(labelled) if self.options.min_difference_A > 0 else None
        times: dict[tuple[int, int], list[float]] = {}
        picks: list[tuple[int, int]] = []
        for candidate in candidates:
            if len(picks) >= limit:
                break
            part, index = explorations[candidate.replica].locate(candidate.index)
            trajectory = explorations[candidate.replica].trajectories[part]
            now = float(trajectory.times[index])
            taken = times.setdefault((candidate.replica, part), [])
            if any(abs(now - time) < self.options.spacing_fs for time in taken):
                candidate.fate = "too_close_in_time"
                continue
            if known is not None and not known.add(trajectory.frame(index), self.options.min_difference_A):
                candidate.fate = "too_similar"
                continue
            candidate.fate = "pick"
            taken.append(now)
            picks.append((candidate.replica, candidate.index))
        return picks


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


class _Seen:
    """Sorted interatomic distances of frames that are labelled or picked, by composition and periodicity."""

    def __init__(self, frames: Sequence[Atoms]) -> None:
        self._rows: dict[tuple[bytes, bytes], np.ndarray] = {}
        by_kind: dict[tuple[bytes, bytes], list[np.ndarray]] = {}
        for frame in frames:
            by_kind.setdefault(self._kind(frame), []).append(frame_distances(frame))
        for kind, rows in by_kind.items():
            self._rows[kind] = np.stack(rows)

    @staticmethod
    def _kind(frame: Atoms) -> tuple[bytes, bytes]:
        return np.sort(frame.numbers).tobytes(), frame.pbc.tobytes()

    def add(self, frame: Atoms, difference: float) -> bool:
        """Remember a frame and return True if some distance of it differs by `difference` (Å) from every one seen."""
        kind, row = self._kind(frame), frame_distances(frame)
        seen = self._rows.get(kind, np.zeros((0, len(row))))
        if len(seen) and np.abs(seen - row).max(axis=1, initial=0.0).min() < difference:
            return False
        self._rows[kind] = np.vstack([seen, row])
        return True
