"""Frames whose atoms lie apart from each other as they should not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
from ase import Atoms
from pydantic import Field, model_validator
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from typing_extensions import Self

from sparc_fw.errors import InputError
from sparc_fw.explorers.endings import DistanceBound
from sparc_fw.geometry.descriptor import Pbc, distance_blocks, pair_distances
from sparc_fw.geometry.isolation import nearest_neighbours
from sparc_fw.geometry.overlap import shortest_allowed
from sparc_fw.section import Positive
from sparc_fw.selectors.base import Context, StepOptions
from sparc_fw.selectors.pool import Pool
from sparc_fw.selectors.screens import Screen

BONDED = 1.5
"""Bonds are that much longer than in molecules at rest, before they count as broken."""


class FragmentsOptions(StepOptions):
    """Options of the step ``fragments``."""

    kind: Literal["fragments"] = "fragments"
    most: int | None = Field(None, ge=1)
    """Frames that fell into more pieces are out; where unset, none."""
    bonded: Positive | None = None
    """Of `most`: atoms nearer than this multiple of the sum of their covalent radii are in one piece; where unset,
    1.5."""
    within_A: Positive | None = None
    """Frames with an atom farther than this from every other one, which evaporated, are out, Å; where unset, none."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.most is None and self.within_A is None:
            raise ValueError("found neither 'most' nor 'within_A', expected one of them or both")
        if self.bonded is not None and self.most is None:
            raise ValueError("bonded: found it without 'most', which it is for")
        return self


class Fragments(Screen[FragmentsOptions]):
    """Takes out frames that fell apart, or that an atom left."""

    Options: ClassVar[type[FragmentsOptions]] = FragmentsOptions
    reason = "fragments"

    def finds(self, pool: Pool, run: int, places: np.ndarray, context: Context) -> np.ndarray:
        """Which frames fell apart."""
        part, options = pool.trajectories[run], self.options
        positions, cells = part.positions[places], part.cells[places]
        found = np.zeros(len(places), dtype=bool)
        if options.within_A is not None:
            found |= (nearest_neighbours(positions, cells, part.pbc) > options.within_A).any(axis=1)
        if options.most is not None:
            found |= count_pieces(part.numbers, positions, cells, part.pbc, options.bonded or BONDED) > options.most
        return found


def count_pieces(numbers: np.ndarray, positions: np.ndarray, cells: np.ndarray, pbc: Pbc, bonded: float) -> np.ndarray:
    """Number of pieces of each frame that no bond connects; a bond is as long as a multiple of both covalent radii.

    Parameters
    ----------
    numbers : ndarray of shape (n_atoms,)
    positions : ndarray of shape (n_frames, n_atoms, 3)
        Å.
    cells : ndarray of shape (n_frames, 3, 3)
        Å.

    Returns
    -------
    ndarray of int, shape (n_frames,)
    """
    atoms = len(numbers)
    first, second = np.triu_indices(atoms, 1)
    limits = shortest_allowed(numbers, bonded)
    counts = np.empty(len(positions), dtype=int)
    for block, distances in distance_blocks(positions, cells, pbc):
        frame, pair = np.nonzero(distances < limits)
        # All frames of a block are one graph, in which no bond joins two of them.
        size = len(distances) * atoms
        rows, columns = frame * atoms + first[pair], frame * atoms + second[pair]
        graph = coo_matrix((np.ones(len(frame), dtype=bool), (rows, columns)), shape=(size, size))
        piece = connected_components(graph, directed=False)[1].reshape(-1, atoms)
        counts[block] = (np.diff(np.sort(piece, axis=1), axis=1) > 0).sum(axis=1) + 1
    return counts


class DistancesOptions(StepOptions):
    """Options of the step ``distances``."""

    kind: Literal["distances"] = "distances"
    bounds: Annotated[list[DistanceBound], Field(min_length=1)]
    """Frames that break one of these bounds are out."""
    systems: list[str] | None = None
    """Whose frames are looked at; where unset, those of all systems that have the atoms."""


class Distances(Screen[DistancesOptions]):
    """Takes out frames in which distances of the user's choice are too short or too long.

    As ``distance_metrics`` of SPARC (R. Verma et al. 2025).
    """

    Options: ClassVar[type[DistancesOptions]] = DistancesOptions
    reason = "distances"

    def check(self, structures: Mapping[str, Atoms]) -> None:
        """Raise `InputError` where a system or, in all that are meant, an atom does not exist."""
        for name in self.options.systems or []:
            if name not in structures:
                raise InputError(f"systems: found {name!r}, expected of {list(structures)}")
        most = max(len(structures[name]) for name in self.options.systems or structures)
        for number, bound in enumerate(self.options.bounds):
            bound.check(f"bounds[{number}]", most)

    def finds(self, pool: Pool, run: int, places: np.ndarray, context: Context) -> np.ndarray:
        """Which frames break a bound."""
        part = pool.trajectories[run]
        found = np.zeros(len(places), dtype=bool)
        if self.options.systems is not None and part.info["system"] not in self.options.systems:
            return found
        for bound in self.options.bounds:
            if max(bound.atoms) >= len(part.numbers):
                continue
            pair = part.positions[places][:, list(bound.atoms)]
            distances = pair_distances(pair, part.cells[places], part.pbc)[:, 0]
            found |= (distances < (bound.min_A or 0.0)) | (distances > (bound.max_A or np.inf))
        return found
