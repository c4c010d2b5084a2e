"""From frames in the order in which they deserve a label to picks that differ, within what their systems may have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms

from sparc_fw.documents import FrameVerdict
from sparc_fw.geometry.descriptor import frame_distances
from sparc_fw.selectors.shares import Room, Share
from sparc_fw.trajectories import Exploration

Place = tuple[int, int]
"""Replica and index of a frame."""


class Picker:
    """Takes frames that are not too near to others, in time or in structure.

    Parameters
    ----------
    explorations : mapping of int to Exploration
        By replica.
    labelled : sequence of Atoms
        What needs no label any more.
    spacing_fs : float
        Least time between two picks of one part of a replica, fs.
    difference_A : float
        Least difference from what is labelled or picked, Å; 0 turns the comparison off.
    """

    def __init__(
        self,
        explorations: Mapping[int, Exploration],
        labelled: Sequence[Atoms],
        spacing_fs: float,
        difference_A: float,
    ) -> None:
        self._explorations = explorations
        self._spacing_fs = spacing_fs
        self._difference_A = difference_A
        self._known = _Seen(labelled) if difference_A > 0 else None
        self._times: dict[Place, list[float]] = {}

    def pick(self, candidates: Sequence[FrameVerdict], limit: int, shares: Sequence[Share] = ()) -> list[Place]:
        """Go through the candidates in their order and settle their fates until `limit` is reached.

        Systems with shares get what they are assured first; what they leave of it goes to the others, best first. A
        frame that would have had a place without shares, and has none, is ``over_share``.
        """
        room = Room(limit, shares)
        waiting: list[FrameVerdict] = []
        ousted = 0
        for candidate in candidates:
            if room.full:
                break
            if room.assures(self._system(candidate)):
                self._offer(candidate, room)
            else:
                ousted += room.taken + len(waiting) < limit
                waiting.append(candidate)
        refused = []
        for place, candidate in enumerate(waiting):
            if not room.full and room.allows(self._system(candidate)):
                self._offer(candidate, room)
            else:
                refused.append((place, candidate))
        for place, candidate in refused:
            if place < ousted or not room.full:
                candidate.fate = "over_share"
        return [(candidate.replica, candidate.index) for candidate in candidates if candidate.fate == "pick"]

    def _system(self, candidate: FrameVerdict) -> str:
        part, _ = self._explorations[candidate.replica].locate(candidate.index)
        return str(self._explorations[candidate.replica].trajectories[part].info["system"])

    def _offer(self, candidate: FrameVerdict, room: Room) -> None:
        """Pick a candidate, unless it is too near to others."""
        exploration = self._explorations[candidate.replica]
        part, index = exploration.locate(candidate.index)
        trajectory = exploration.trajectories[part]
        now = float(trajectory.times[index])
        taken = self._times.setdefault((candidate.replica, part), [])
        if any(abs(now - time) < self._spacing_fs for time in taken):
            candidate.fate = "too_close_in_time"
        elif self._known is not None and not self._known.add(trajectory.frame(index), self._difference_A):
            candidate.fate = "too_similar"
        else:
            candidate.fate = "pick"
            taken.append(now)
            room.take(str(trajectory.info["system"]))


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
