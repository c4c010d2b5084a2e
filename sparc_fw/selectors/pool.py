"""All explored frames of an iteration as columns, from which a selection takes away what needs no label."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from ase import Atoms

from sparc_fw.documents import PICK, FrameVerdict
from sparc_fw.errors import InputError
from sparc_fw.measure_names import FORCE_MAX
from sparc_fw.trajectories import Exploration, Trajectory, Uncertainty


class Pool:
    """Every explored frame with what is known of it; row by row in the order (replica, index).

    Parameters
    ----------
    explorations : sequence of Exploration
        In any order; every replica once.
    labelled : sequence of Atoms, optional
        Frames that need no label any more.

    Attributes
    ----------
    trajectories : list of Trajectory
        Whose frames the rows are, one after the other.
    uncertainty : list of Uncertainty or None
        What the committee says of the frames of each trajectory; None where it was not kept.
    first : ndarray of int, shape (n_trajectories,)
        Row of each trajectory's first frame.
    replica, index : ndarray of int, shape (n_frames,)
        Names a frame in the store: its replica, and its number in all that this replica saw.
    run : ndarray of int, shape (n_frames,)
        Number of the trajectory that a frame is in.
    time_fs : ndarray of shape (n_frames,)
        fs since the start of the run; NaN where frames do not follow each other in time.
    system : ndarray of int, shape (n_frames,)
        Place in `systems`.
    systems : list of str
        Names, in the order in which they come.
    measures : dict of str to ndarray of shape (n_frames,)
        What the committee says of a frame in one number, by name.
    frame_class : ndarray of str, shape (n_frames,)
        ``accurate``, ``candidate`` or ``failed``; empty while no step has told.
    score : ndarray of shape (n_frames,)
        The larger, the more a frame deserves a label.
    fate : ndarray of object, shape (n_frames,)
        Why a frame is out; empty while it is in. `drop` writes it.
    step : ndarray of int, shape (n_frames,)
        Place in the list of the step that took a frame out; -1 where none did.
    turn : ndarray of int, shape (n_frames,)
        Counted from 0, when a frame came up for a place among the picks, best first; -1 where it never did.
    at_work : int
        Place of the step that is at work; -1 while none is.
    screened : ndarray of bool, shape (n_frames,)
        What a screen called failed, whatever the committee says of it.
    drawn : ndarray of bool, shape (n_frames,)
        Picked by lot, whatever the steps behind say of it, screens apart. `draw` and `take_back` write it.
    window : tuple of float
        Thresholds between which a frame is a candidate; set by the step that tells the classes, as are the next three.
        Where systems have their own, from the lowest to the highest.
    windows : dict of str to tuple of float
        The thresholds of each system, where they have their own.
    measure : str
        Name of what the frames were judged by.
    judged : ndarray of shape (n_frames,)
        Its values.
    """

    def __init__(self, explorations: Sequence[Exploration], labelled: Sequence[Atoms] = ()) -> None:
        self.labelled = labelled
        ordered = sorted(explorations, key=lambda exploration: exploration.replica)
        self.trajectories: list[Trajectory] = [part for each in ordered for part in each.trajectories]
        self.uncertainty: list[Uncertainty | None] = []
        for each in ordered:
            self.uncertainty += each.uncertainty or [None] * len(each.trajectories)
        lengths = np.array([len(part) for part in self.trajectories], dtype=int)
        self.first = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(int)[: len(lengths)]
        replicas = np.array([[each.replica, len(each)] for each in ordered], dtype=int).reshape(-1, 2)
        self.replica = np.repeat(*replicas.T)
        self.index = np.concatenate([np.arange(len(each)) for each in ordered] or [np.zeros(0, dtype=int)])
        self.run = np.repeat(np.arange(len(lengths)), lengths)
        self.time_fs = np.concatenate([part.times for part in self.trajectories] or [np.zeros(0)]).astype(float)
        names = [str(part.info["system"]) for part in self.trajectories]
        self.systems = list(dict.fromkeys(names))
        self.system = np.array([self.systems.index(name) for name in names], dtype=int)[self.run]
        deviation = np.concatenate([each.deviation for each in ordered] or [np.zeros(0)]).astype(float)
        self.measures = {FORCE_MAX: deviation}
        self.frame_class = np.full(len(self), "", dtype="U9")
        self.score = np.zeros(len(self))
        self.fate = np.full(len(self), "", dtype=object)
        self.step = np.full(len(self), -1)
        self.turn = np.full(len(self), -1)
        self.at_work = -1
        self.screened = np.zeros(len(self), dtype=bool)
        self.drawn = np.zeros(len(self), dtype=bool)
        self.window = (np.nan, np.nan)
        self.windows: dict[str, tuple[float, float]] = {}
        self.measure: str = FORCE_MAX
        self.judged = deviation

    def __len__(self) -> int:
        return len(self.run)

    def different(self) -> int:
        """How many frames differ in an atom's place by 1e-6 Å, in their cell or in their atoms."""
        seen: set[int] = set()
        for _, trajectory in self.runs():
            about = hash((trajectory.numbers.tobytes(), trajectory.pbc, str(trajectory.info["system"])))
            for positions, cell in zip(trajectory.positions, trajectory.cells, strict=True):
                places = np.round(np.vstack([positions, cell]), 6) + 0.0
                seen.add(hash((about, places.tobytes())))
        return len(seen)

    def alive(self) -> np.ndarray:
        """Rows that are in, best first; of equal scores the first in the order (replica, index)."""
        rows = np.flatnonzero(self.fate == "")
        return rows[np.argsort(-self.score[rows], kind="stable")]

    def draw(self, rows: np.ndarray | Sequence[int]) -> None:
        """Pick rows, whatever the steps behind would say of them; a screen alone may still take them back.

        Raises
        ------
        ValueError
            If one of them is out, or drawn already.
        """
        rows = np.asarray(rows, dtype=int)
        gone = rows[self.fate[rows] != ""]
        if len(gone):
            raise ValueError(f"row {int(gone[0])} cannot be drawn: its fate is {self.fate[gone[0]]!r} already")
        self.fate[rows] = PICK
        self.drawn[rows] = True

    def take_back(self, rows: np.ndarray) -> None:
        """Make drawn rows frames that are in as any other, since no lot makes a broken frame worth a label.

        Raises
        ------
        ValueError
            If one of them was not drawn.
        """
        if not self.drawn[rows].all():
            raise ValueError(f"row {int(rows[~self.drawn[rows]][0])} cannot be taken back: it was not drawn")
        self.fate[rows] = ""
        self.drawn[rows] = False

    def taking_turns(self) -> np.ndarray:
        """Rows that were drawn, and then those of `alive`: the order in which rules meet frames."""
        return np.concatenate([np.flatnonzero(self.drawn), self.alive()])

    def drop(self, rows: np.ndarray | Sequence[int], reason: str, step: int | None = None) -> None:
        """Take rows out for good.

        Parameters
        ----------
        step : int, optional
            Place of the step that takes them; that of the one at work where unset.

        Raises
        ------
        ValueError
            If one of them is out already, or the reason is none.
        """
        if reason in ("", PICK):
            raise ValueError(f"reason: found {reason!r}, expected a word that says why a frame is not picked")
        rows = np.asarray(rows, dtype=int)
        gone = rows[self.fate[rows] != ""]
        if len(gone):
            row = int(gone[0])
            raise ValueError(f"row {row} cannot be dropped as {reason!r}: it is out already ({self.fate[row]!r})")
        self.fate[rows] = reason
        self.step[rows] = self.at_work if step is None else step

    def runs(self) -> Iterator[tuple[slice, Trajectory]]:
        """Every trajectory with the rows of its frames."""
        for first, trajectory in zip(self.first.tolist(), self.trajectories, strict=True):
            yield slice(first, first + len(trajectory)), trajectory

    def by_run(self, rows: np.ndarray) -> Iterator[tuple[np.ndarray, Trajectory, np.ndarray]]:
        """Rows of one trajectory at a time: where they stand among `rows`, the trajectory, their places in it."""
        run = self.run[rows]
        for number in np.unique(run):
            among = np.flatnonzero(run == number)
            yield among, self.trajectories[number], rows[among] - self.first[number]

    def said(self, run: int, key: str) -> Uncertainty:
        """What the committee says of the frames of a trajectory.

        Raises
        ------
        InputError
            If it was not kept; names the key that asks for it.
        """
        found = self.uncertainty[run]
        if found is None:
            raise InputError(
                f"{key}: of the explorations nothing is kept but the force deviation of whole frames, expected what "
                "the committee says of atoms and energies"
            )
        return found

    def frame(self, row: int) -> Atoms:
        """The frame of a row as Atoms."""
        run = int(self.run[row])
        return self.trajectories[run].frame(int(row - self.first[run]))

    def verdicts(self) -> list[FrameVerdict]:
        """Every frame with what the measure says of it, its class, and what became of it; what is in is picked."""
        fates = np.where(self.fate == "", PICK, self.fate)
        steps = np.where(fates == PICK, -1, self.step)
        columns = (self.replica, self.index, self.judged, self.frame_class, fates, steps, self.turn, self.drawn)
        return [FrameVerdict(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
