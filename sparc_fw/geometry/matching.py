"""A common cell in the plane for several lattices: which supercell of each, and how much it must be strained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from sparc_fw.errors import InputError

TURNS = np.array(
    [
        [[a, b], [c, d]]
        for a in (-1, 0, 1)
        for b in (-1, 0, 1)
        for c in (-1, 0, 1)
        for d in (-1, 0, 1)
        if a * d - b * c == 1
    ]
)
"""Changes of basis by which two reduced bases of nearly the same lattice may differ."""


@dataclass(frozen=True)
class Supercell:
    """A supercell in the plane.

    Attributes
    ----------
    repeats : ndarray of int, shape (2, 2)
        Its vectors in those of the lattice, right-handed.
    vectors : ndarray of shape (2, 2)
        Å, as rows.
    """

    repeats: np.ndarray
    vectors: np.ndarray

    @property
    def area(self) -> float:
        """Å^2."""
        return float(abs(np.linalg.det(self.vectors)))


def common_cell(planes: Sequence[np.ndarray], max_strain: float, max_area: float) -> tuple[list[Supercell], float]:
    """Find the smallest supercell of the first lattice that supercells of all others fit, if need be turned.

    Parameters
    ----------
    planes : sequence of ndarray of shape (2, 2)
        Cell vectors in the plane as rows, right-handed, Å.
    max_strain : float
        Most that a supercell may be stretched along any direction.
    max_area : float
        Largest common cell, Å^2.

    Returns
    -------
    supercells : list of Supercell
        One for each lattice, corresponding vectors in the same order.
    strain : float
        The largest that is needed.

    Raises
    ------
    InputError
        If none fits, with the smallest strain found.

    Notes
    -----
    All sublattices in Hermite normal form, compared after reduction; the idea is that of A. Zur and T. C. McGill,
    J. Appl. Phys. 55 (1984) 378.
    """
    first, *others = planes
    # A fitting supercell is at most this much larger than the one that it fits.
    rooms = [list(supercells(other, max_area * (1 + 2 * max_strain) ** 2)) for other in others]
    best = np.inf
    for base in supercells(first, max_area):
        fits = [_best_fit(base, room, best) for room in rooms]
        worst = max((strain for _, strain in fits), default=0.0)
        best = min(best, worst)
        if worst <= max_strain:
            return [base, *(supercell for supercell, _ in fits if supercell is not None)], worst
    found = f"{100 * best:.1f} %" if np.isfinite(best) else "none to compare"
    raise InputError(
        f"no common cell in the plane up to {max_area:g} Å^2: the smallest strain found is {found}, the limit is "
        f"{100 * max_strain:g} %; raise max_strain or max_area_A2, or choose other repeats"
    )


def supercells(vectors: np.ndarray, max_area: float) -> Iterator[Supercell]:
    """Every reduced supercell up to an area, Å^2, smallest first; of several of one shape, the first."""
    area = abs(float(np.linalg.det(vectors)))
    # One is always offered: a lattice that is larger than max_area is its own smallest supercell.
    for size in range(1, max(1, int(max_area / area + 1e-9)) + 1):
        shapes: set[tuple[float, ...]] = set()
        for a in range(1, size + 1):
            for b in range(size // a if size % a == 0 else 0):
                repeats = _reduced(np.array([[a, b], [0, size // a]]), vectors)
                cell = repeats @ vectors
                shape = tuple(np.round((cell @ cell.T).ravel(), 6))
                if shape not in shapes:
                    shapes.add(shape)
                    yield Supercell(repeats, cell)


def deformation(supercell: Supercell, target: np.ndarray) -> np.ndarray:
    """The matrix that turns and strains row vectors of a supercell into `target`, shape (2, 2)."""
    return np.asarray(np.linalg.solve(supercell.vectors, target))


def _best_fit(base: Supercell, room: Sequence[Supercell], bound: float) -> tuple[Supercell | None, float]:
    """The supercell of least strain; those whose reduced vectors show a strain above `bound` are not looked at."""
    lengths = np.linalg.norm(base.vectors, axis=1)
    best: tuple[Supercell | None, float] = (None, np.inf)
    for candidate in room:
        off = np.abs(np.linalg.norm(candidate.vectors, axis=1) / lengths - 1)
        # The shortest vectors of two lattices differ by no more than the strain between them, as do the second ones.
        if off.max() > 1.5 * min(bound, best[1]):
            continue
        turned = TURNS @ candidate.vectors
        stretches = np.linalg.svd(np.linalg.solve(turned, base.vectors[None]), compute_uv=False)
        strains = np.abs(stretches - 1).max(axis=1)
        chosen = int(np.argmin(strains))
        if strains[chosen] < best[1]:
            best = Supercell(TURNS[chosen] @ candidate.repeats, turned[chosen]), float(strains[chosen])
    return best


def _reduced(repeats: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Gauss's reduction to the shortest two vectors, right-handed."""
    while True:
        cell = repeats @ vectors
        if cell[1] @ cell[1] < cell[0] @ cell[0] - 1e-9:
            repeats = np.array([repeats[1], -repeats[0]])
            continue
        times = round(float(cell[0] @ cell[1] / (cell[0] @ cell[0])))
        if times == 0:
            return repeats
        shorter = repeats[1] - times * repeats[0]
        if np.linalg.norm(shorter @ vectors) > np.linalg.norm(cell[1]) - 1e-9:
            return repeats
        repeats = np.array([repeats[0], shorter])
