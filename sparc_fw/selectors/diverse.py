"""Picks that cover what was explored, and keep away from what is labelled."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import numpy as np
from ase import Atoms
from pydantic import Field

from sparc_fw.geometry.descriptor import Pbc
from sparc_fw.geometry.features import DescriptorOptions, DistanceOptions, SoapOptions, frame_features
from sparc_fw.selectors.base import Context, Step, StepOptions
from sparc_fw.selectors.baselines import spread_turns
from sparc_fw.selectors.clusters import k_means, k_medoids
from sparc_fw.selectors.difference import Kind, kind_of
from sparc_fw.selectors.diversity import farthest_points, kmeans_plus_plus
from sparc_fw.selectors.pool import Pool
from sparc_fw.selectors.rows import mixing_weights, principal_components
from sparc_fw.selectors.rules import OVER_SHARE
from sparc_fw.selectors.shares import Share, allotted
from sparc_fw.selectors.volume import cur, d_optimal, k_dpp

LESS_DIVERSE, NOT_COMPARED = "less_diverse", "not_compared"
Batch = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Pbc]
"""Places of frames of the same atoms, their atomic numbers, positions, cells and periodicity."""
Method = Literal["farthest_points", "kmeans_plus_plus", "k_means", "k_medoids", "d_optimal", "k_dpp", "cur"]

LINEAR = ("d_optimal", "k_dpp", "cur")


class DiversityOptions(StepOptions):
    """Options of the step ``diversity``."""

    kind: Literal["diversity"] = "diversity"
    method: Method = "farthest_points"
    """`farthest_points`: each pick is the farthest from all before it; `kmeans_plus_plus`: the same by chance;
    `k_means`, `k_medoids`: one of each cluster, so that common geometries count more; `d_optimal`, `cur`: what spans
    most; `k_dpp`: the same by chance. All but `k_means` keep away from labelled frames."""
    descriptor: DescriptorOptions = DistanceOptions()
    """What frames are told apart by: `distances` compares frames of the same atoms only, `soap` (extra `descriptors`)
    all."""
    count: int | None = Field(None, ge=1)
    """Frames that go on, those drawn by lot among them; where unset, as many as the iteration may pick (the cap of
    `budget`, the labels left). They are divided among what is not compared with each other by the number of its frames
    and by `label_share`."""
    uncertainty_share: float = Field(0.5, ge=0, lt=1)
    """How much the window's measure counts beside the difference: 0 not at all, 0.5 as much, towards 1 alone."""
    candidates: int = Field(20_000, ge=1)
    """So many frames are described and compared, the best so far, of equals those that spread evenly over what was
    explored; more cost time and memory."""

    @property
    def most_picks(self) -> int | None:
        """The count, where there is one."""
        return self.count


class Diversity(Step[DiversityOptions]):
    """Lets frames through that differ from each other and from labelled ones, in the order in which they were chosen.

    Each method names its source where it is written: `diversity`, `clusters` and `volume`.
    """

    Options: ClassVar[type[DiversityOptions]] = DiversityOptions
    extra = "descriptors"

    def missing(self) -> list[str]:
        """The packages of the descriptor and of the method that are not here."""
        needed = {
            "dscribe": (isinstance(self.options.descriptor, SoapOptions), "descriptor soap"),
            "sklearn": (self.options.method == "k_means", "method k_means"),
        }
        return super().missing() + [
            f"{what} needs the Python package '{name}', which is not installed: pip install 'sparc_fw[{self.extra}]'"
            for name, (asked, what) in needed.items()
            if asked and importlib.util.find_spec(name) is None
        ]

    def apply(self, pool: Pool, context: Context) -> None:
        """Choose among the frames that are in, and give them the order of choice."""
        shares = context.shares or [Share(frozenset(pool.systems), 1.0, len(pool))]
        share = _share_of_rows(pool, shares)
        left = [each.left - int((pool.drawn & (share == number)).sum()) for number, each in enumerate(shares)]
        spent = np.isin(share, [number for number, most in enumerate(left) if most <= 0])
        pool.drop(np.flatnonzero((pool.fate == "") & spent), OVER_SHARE)
        rows = pool.alive()
        compared = _best(pool.score[rows], self.options.candidates)
        pool.drop(rows[~compared], NOT_COMPARED)
        rows = rows[compared]
        count = (self.options.count or context.room) - int(pool.drawn.sum())
        if count <= 0:
            return
        turns = np.full(len(pool), np.inf)
        totals = np.bincount(share[rows], minlength=len(shares))
        sizes = np.minimum(totals, np.maximum(left, 0)).tolist()
        portions = allotted(count, [each.fraction for each in shares], sizes)
        for part, places in self._places(pool, rows, share[rows], portions):
            chosen = part[self._chosen(pool, part, places, context)]
            # Several parts take turns, so that the first n of all are shared out as all are.
            turns[chosen] = (np.arange(len(chosen)) + 0.5) / max(1, places)
        pool.drop(rows[np.isinf(turns[rows])], LESS_DIVERSE)
        rows = np.sort(rows[np.isfinite(turns[rows])])
        rows = rows[np.argsort(turns[rows], kind="stable")]
        pool.score[rows] = np.arange(len(rows), 0, -1)

    def _places(
        self, pool: Pool, rows: np.ndarray, share: np.ndarray, portions: Sequence[int]
    ) -> Iterator[tuple[np.ndarray, int]]:
        """Rows that are compared with each other, and how many of them go on, of what their share has for all."""
        kind = np.zeros(len(pool.trajectories), dtype=int)
        if isinstance(self.options.descriptor, DistanceOptions):
            kinds: dict[Kind, int] = {}
            each = [kind_of(part.numbers, part.pbc) for part in pool.trajectories]
            kind = np.array([kinds.setdefault(name, len(kinds)) for name in each], dtype=int)
        for code, portion in enumerate(portions):
            mine = rows[share == code]
            parts = [np.sort(mine[kind[pool.run[mine]] == one]) for one in np.unique(kind[pool.run[mine]])]
            sizes = [len(part) for part in parts]
            yield from zip(parts, allotted(portion, sizes, sizes), strict=True)

    def _chosen(self, pool: Pool, rows: np.ndarray, count: int, context: Context) -> list[int]:
        """Places among `rows` of those that go on, in the order of choice."""
        if count == 0:
            return []
        # What was drawn by lot has its label as good as what has one.
        lots = [pool.frame(int(row)) for row in np.flatnonzero(pool.drawn)]
        features, known = self._features(pool, rows, [*context.labelled, *lots])
        uncertainty = np.maximum(np.nan_to_num(pool.judged[rows], nan=0.0, posinf=0.0, neginf=0.0), 0.0)
        weights = mixing_weights(uncertainty, self.options.uncertainty_share)
        match self.options.method:
            case "farthest_points":
                return farthest_points(features, count, known, weights)
            case "kmeans_plus_plus":
                return kmeans_plus_plus(features, count, context.seed, known, weights)
            case "k_means":
                return k_means(features, count, context.seed, weights)
            case "k_medoids":
                return k_medoids(features, count, context.seed, known, weights)
            case "d_optimal":
                return d_optimal(features, count, known, weights)
            case "k_dpp":
                return k_dpp(features, count, context.seed, known, weights)
            case "cur":
                return cur(features, count, known, weights)

    def _features(self, pool: Pool, rows: np.ndarray, labelled: Sequence[Atoms]) -> tuple[np.ndarray, np.ndarray]:
        """Rows that describe frames of the pool, and those that describe labelled frames; float32, few columns."""
        descriptor = self.options.descriptor
        batches: list[Batch] = [
            (among, part.numbers, part.positions[places], part.cells[places], part.pbc)
            for among, part, places in pool.by_run(rows)
        ]
        if isinstance(descriptor, DistanceOptions):
            kind = kind_of(batches[0][1], batches[0][4])
            labelled = [frame for frame in labelled if kind_of(frame.numbers, frame.pbc) == kind]
        batches += [(batch[0] + len(rows), *batch[1:]) for batch in _batches(labelled)]
        elements = sorted({int(number) for batch in batches for number in batch[1]})
        described = np.zeros((0, 0))
        for places, numbers, positions, cells, pbc in batches:
            found = frame_features(
                descriptor, elements, numbers, positions, cells, pbc, processes=self.settings.threads
            )
            if not len(described):
                described = np.empty((len(rows) + len(labelled), found.shape[1]), dtype=np.float32)
            described[places] = found
        # Components of all, or labelled frames would seem nearer than they are.
        features, _ = principal_components(described)
        if self.options.method in LINEAR:
            # These see vectors from the origin, for which a frame and its opposite are the same: a constant tells them
            # apart, as that of a linear model does.
            length = np.sqrt(np.einsum("ij,ij->", features, features) / len(features))
            features = np.column_stack([features, np.full(len(features), length, dtype=np.float32)])
        return features[: len(rows)], features[len(rows) :]


def _share_of_rows(pool: Pool, shares: Sequence[Share]) -> np.ndarray:
    """Place of every row's share."""
    share_of = {name: number for number, share in enumerate(shares) for name in share.systems}
    return np.array([share_of.get(name, 0) for name in pool.systems], dtype=int)[pool.system]


def _best(scores: np.ndarray, count: int) -> np.ndarray:
    """Which of so many scores are the best; where several tie for the last places, those that spread evenly."""
    if len(scores) <= count:
        return np.ones(len(scores), dtype=bool)
    last = np.sort(scores)[::-1][count - 1]
    chosen: np.ndarray = scores > last
    ties = np.flatnonzero(scores == last)
    chosen[ties[spread_turns(len(ties)) < count - chosen.sum()]] = True
    return chosen


def _batches(frames: Sequence[Atoms]) -> Iterator[Batch]:
    """Frames of the same atoms in the same order at a time."""
    alike: dict[Kind, list[int]] = {}
    for place, frame in enumerate(frames):
        alike.setdefault((frame.numbers.tobytes(), frame.pbc.tobytes()), []).append(place)
    for places in alike.values():
        first = frames[places[0]]
        positions = np.array([frames[place].positions for place in places])
        cells = np.array([frames[place].cell.array for place in places])
        yield np.array(places), first.numbers, positions, cells, tuple(first.pbc)
