"""Picks differ in structure from each other and from what is labelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from ase import Atoms
from pydantic import Field

from sparc_fw.geometry.descriptor import frame_distances, sorted_distances
from sparc_fw.selectors.base import Context, StepOptions
from sparc_fw.selectors.pool import Pool
from sparc_fw.selectors.rules import Judge, Rule

TOO_SIMILAR = "too_similar"
AHEAD = 64
"""Frames whose distances are computed at a time: one by one is slow, and most are never looked at."""
FILTER = 6
"""Distances by which most of the remembered frames are told apart before all are compared."""
Kind = tuple[bytes, bytes]


class DifferenceOptions(StepOptions):
    """Options of the step ``difference``."""

    kind: Literal["difference"] = "difference"
    min_difference_A: float = Field(0.15, gt=0)
    """A pick differs from the other picks and from every labelled frame by at least this in one of its sorted
    interatomic distances, Å."""


class Difference(Rule[DifferenceOptions]):
    """Refuses frames that are alike in all their distances to a pick or a labelled frame of the same atoms."""

    Options: ClassVar[type[DifferenceOptions]] = DifferenceOptions

    def judge(self, pool: Pool, context: Context, order: np.ndarray) -> Judge:
        """Begin with what is labelled."""
        return _Known(pool, context.labelled, self.options.min_difference_A, order)


def kind_of(numbers: np.ndarray, pbc: Sequence[bool]) -> Kind:
    """What two frames must have in common to be comparable: composition and periodicity."""
    return np.sort(numbers).tobytes(), np.asarray(pbc, dtype=bool).tobytes()


class _Known:
    """Sorted distances of frames that are labelled or picked, by kind."""

    def __init__(self, pool: Pool, labelled: Sequence[Atoms], difference: float, order: np.ndarray) -> None:
        self._pool = pool
        self._difference = difference
        self._order = order
        self._place = {int(row): place for place, row in enumerate(order)}
        self._ahead: dict[int, np.ndarray] = {}
        self._kinds = [kind_of(part.numbers, part.pbc) for part in pool.trajectories]
        self._seen: dict[Kind, Seen] = {}
        by_kind: dict[Kind, list[np.ndarray]] = {}
        for frame in labelled:
            by_kind.setdefault(kind_of(frame.numbers, frame.pbc), []).append(frame_distances(frame))
        for kind, rows in by_kind.items():
            self._seen[kind] = Seen(np.stack(rows))

    def refuses(self, row: int) -> str:
        seen = self._seen.get(self._kinds[self._pool.run[row]])
        return TOO_SIMILAR if seen is not None and seen.has(self._distances(row), self._difference) else ""

    def take(self, row: int) -> None:
        kind, distances = self._kinds[self._pool.run[row]], self._distances(row)
        if kind in self._seen:
            self._seen[kind].add(distances)
        else:
            self._seen[kind] = Seen(distances[None])

    def _distances(self, row: int) -> np.ndarray:
        if row not in self._ahead:
            place = self._place[row]
            self._ahead = self._look(self._order[place : place + AHEAD])
        return self._ahead[row]

    def _look(self, rows: np.ndarray) -> dict[int, np.ndarray]:
        found: dict[int, np.ndarray] = {}
        for among, part, places in self._pool.by_run(rows):
            distances = sorted_distances(part.numbers, part.positions[places], part.cells[places], part.pbc)
            found.update(zip(rows[among].tolist(), distances, strict=True))
        return found


class Seen:
    """Rows to which others are compared by their largest difference in any column.

    Parameters
    ----------
    rows : ndarray of shape (n_rows, n_columns)
    """

    def __init__(self, rows: np.ndarray) -> None:
        self._count = len(rows)
        self._rows = rows
        self._filter()

    def _filter(self) -> None:
        """Keep apart the columns that vary most: they alone rule out most of the rows, at little cost."""
        self._columns = np.argsort(-self._rows[: self._count].var(axis=0), kind="stable")[:FILTER]
        self._narrow = np.ascontiguousarray(self._rows[:, self._columns].T)

    def has(self, row: np.ndarray, difference: float) -> bool:
        """Whether some row differs from this one by less than `difference` in every column."""
        near = np.arange(self._count)
        for column, values in zip(self._columns, self._narrow, strict=True):
            near = near[np.abs(values[near] - row[column]) < difference]
        return bool(len(near) and np.abs(self._rows[near] - row).max(axis=1, initial=0.0).min() < difference)

    def add(self, row: np.ndarray) -> None:
        """Remember a row."""
        if self._count == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
            self._rows[self._count] = row
            self._count += 1
            self._filter()
            return
        self._rows[self._count] = row
        self._narrow[:, self._count] = row[self._columns]
        self._count += 1
