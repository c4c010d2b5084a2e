"""Where runs began to fail: what is labelled of an exploration of which most frames failed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sparc_fw.geometry.overlap import overlapping
from sparc_fw.selectors.pool import IN_TEST_SET, Pool
from sparc_fw.trajectories import Trajectory

NOT_AT_CROSSING = "not_at_crossing"


@dataclass(frozen=True)
class Onset:
    """How long a replica that runs in time went without a failed frame.

    Attributes
    ----------
    ps : float
        To its first failed frame, or to its last frame where none failed, over all of its parts.
    failed : bool
        Whether one failed.
    """

    replica: int
    ps: float
    failed: bool


def onsets(pool: Pool) -> list[Onset]:
    """When each replica that runs in time failed first, in the order of the replicas."""
    found: dict[int, Onset] = {}
    failed = pool.frame_class == "failed"
    for rows, trajectory in pool.runs():
        if not len(trajectory) or not _in_time(trajectory.times):
            continue
        replica = int(pool.replica[rows.start])
        before = found.get(replica, Onset(replica, 0.0, False))
        if before.failed:
            continue
        first = np.flatnonzero(failed[rows])
        last_fs = trajectory.times[first[0]] if len(first) else trajectory.times[-1]
        found[replica] = Onset(replica, before.ps + float(last_fs) / 1000, bool(len(first)))
    return list(found.values())


class Crossings:
    """Lets in, of every run that failed, the last sound frames before its first failed one, and a failed one.

    Whatever was in of such a run is out. No frame comes in that a screen took out, or whose atoms overlap. The runs
    take turns: the last sound frame of each comes first, then the first failed one of each, then the sound frames
    before. Where the rules refuse the first failed one, which may be labelled already, the next one that they let
    through takes its place. What is in of runs that never failed, or follow no time, stays, and comes last.

    It judges beside the rules; `settle` ends it.

    Parameters
    ----------
    before : int
        Most sound frames of a run.
    """

    def __init__(self, pool: Pool, before: int) -> None:
        self._pool = pool
        self._failed = pool.frame_class == "failed"
        self._taken: set[int] = set()
        alive = pool.alive()
        turns = np.full(len(pool), np.inf)
        turns[alive] = len(pool) + before + 2 + np.arange(len(alive))
        others: list[int] = []
        for rows, trajectory in pool.runs():
            fallen = rows.start + np.flatnonzero(self._failed[rows])
            if not len(fallen) or not _in_time(trajectory.times):
                continue
            turns[rows] = np.inf
            sound = _whole(trajectory, rows, np.arange(max(rows.start, fallen[0] - before), fallen[0]))[::-1]
            turns[sound] = np.where(np.arange(len(sound)) == 0, 0, 1 + np.arange(len(sound)))
            whole = _whole(trajectory, rows, fallen[~pool.screened[fallen]])
            turns[whole] = before + 1 + np.arange(len(whole))
            turns[whole[:1]] = 1
            others += whole[1:].tolist()
        # What was drawn by lot has its place already, and what is in the test set never gets one.
        settled = pool.drawn | (pool.fate == IN_TEST_SET)
        turns[settled] = np.inf
        self._others = np.array([row for row in others if not settled[row]], dtype=int)
        pool.drop(alive[np.isinf(turns[alive])], NOT_AT_CROSSING)
        chosen = np.isfinite(turns)
        self._fates, self._steps = pool.fate[self._others], pool.step[self._others]
        # The end of an exploded iteration has the last word: these were out for reasons that hold in others.
        pool.fate[chosen] = ""
        pool.score[chosen] = -turns[chosen]

    def refuses(self, row: int) -> str:
        """One failed frame of a run is enough."""
        return NOT_AT_CROSSING if self._failed[row] and int(self._pool.run[row]) in self._taken else ""

    def take(self, row: int) -> None:
        """Remember of which run a failed frame was taken."""
        if self._failed[row]:
            self._taken.add(int(self._pool.run[row]))

    def settle(self) -> None:
        """Failed frames that only stood by, and were not needed, are out for the reasons that they had."""
        back = self._pool.fate[self._others] != ""
        fates = np.where(self._fates == "", NOT_AT_CROSSING, self._fates)
        self._pool.fate[self._others[back]] = fates[back]
        self._pool.step[self._others[back]] = np.where(self._fates == "", -1, self._steps)[back]


def _in_time(times: np.ndarray) -> bool:
    """Whether frames follow each other in time."""
    return bool(np.isfinite(times).all())


def _whole(trajectory: Trajectory, rows: slice, chosen: np.ndarray) -> np.ndarray:
    """Those of some rows of a trajectory whose atoms do not overlap."""
    places = chosen - rows.start
    positions, cells = trajectory.positions[places], trajectory.cells[places]
    return np.asarray(chosen[~overlapping(trajectory.numbers, positions, cells, trajectory.pbc)])
