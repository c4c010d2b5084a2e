"""What two frames of one composition differ by: their sorted interatomic distances."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.geometry import find_mic

Pbc = tuple[bool, bool, bool]
MOLECULE: Pbc = (False, False, False)
BLOCK = 2_000_000
"""Distances held at a time, so that memory does not grow with the number of frames times pairs."""


def pair_distances(positions: np.ndarray, cells: np.ndarray | None = None, pbc: Pbc = MOLECULE) -> np.ndarray:
    """Distances of all pairs of atoms, by the minimum image where periodic.

    Parameters
    ----------
    positions : ndarray of shape (n_frames, n_atoms, 3)
        Å.
    cells : ndarray of shape (n_frames, 3, 3) or None
        Å; not looked at for molecules.

    Returns
    -------
    ndarray of shape (n_frames, n_atoms * (n_atoms - 1) / 2)
        Å, in the order of ``numpy.triu_indices(n_atoms, 1)``.
    """
    first, second = np.triu_indices(positions.shape[1], 1)
    vectors = positions[:, second] - positions[:, first]
    if cells is not None:
        vectors = nearest_images(vectors, cells, pbc)
    return np.asarray(np.linalg.norm(vectors, axis=2))


def nearest_images(vectors: np.ndarray, cells: np.ndarray, pbc: Pbc) -> np.ndarray:
    """The shortest of each vector's periodic images.

    Parameters
    ----------
    vectors : ndarray of shape (n_frames, n_vectors, 3)
        Å.
    cells : ndarray of shape (n_frames, 3, 3)
        Å; not looked at where nothing is periodic.
    """
    if not any(pbc):
        return vectors
    shortest = np.empty(vectors.shape)
    # One call per distinct cell: at constant volume a whole trajectory goes in one.
    distinct, member = np.unique(np.asarray(cells).reshape(-1, 9), axis=0, return_inverse=True)
    for number, cell in enumerate(distinct):
        chosen = member.ravel() == number
        found = find_mic(vectors[chosen].reshape(-1, 3), cell.reshape(3, 3), pbc)[0]
        shortest[chosen] = found.reshape(int(chosen.sum()), *vectors.shape[1:])
    return shortest


def distance_blocks(
    positions: np.ndarray, cells: np.ndarray | None = None, pbc: Pbc = MOLECULE
) -> Iterator[tuple[slice, np.ndarray]]:
    """`pair_distances` in blocks of frames, each with the slice of frames that it belongs to."""
    pairs = positions.shape[1] * (positions.shape[1] - 1) // 2
    size = max(1, BLOCK // max(1, pairs))
    for begin in range(0, len(positions), size):
        part = slice(begin, begin + size)
        yield part, pair_distances(positions[part], None if cells is None else cells[part], pbc)


def pair_kinds(numbers: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Which pair of elements each pair of atoms is.

    Returns
    -------
    kinds : ndarray of shape (n_pairs,)
        Index into `names`, in the order of ``numpy.triu_indices(n_atoms, 1)``.
    names : list of str
        As ``"H-N"``, ordered by atomic numbers, the same for every order of the same atoms.
    """
    first, second = np.triu_indices(len(numbers), 1)
    ordered = np.sort(np.stack([numbers[first], numbers[second]]), axis=0)
    pairs, kinds = np.unique(ordered.T, axis=0, return_inverse=True)
    return kinds.ravel(), [f"{chemical_symbols[a]}-{chemical_symbols[b]}" for a, b in pairs]


def sorted_distances(
    numbers: np.ndarray, positions: np.ndarray, cells: np.ndarray | None = None, pbc: Pbc = MOLECULE
) -> np.ndarray:
    """Interatomic distances, sorted within each pair of elements.

    The same for translated, rotated and mirrored frames, and for any exchange of atoms of one element. Two frames of
    one composition are comparable column by column, whatever the order of their atoms.

    Parameters
    ----------
    numbers : ndarray of shape (n_atoms,)
        Atomic numbers.
    positions : ndarray of shape (n_frames, n_atoms, 3)
        Å.
    cells : ndarray of shape (n_frames, 3, 3) or None
        Å.

    Returns
    -------
    ndarray of shape (n_frames, n_pairs)
        Å; element pairs in the order of their atomic numbers, ascending within each.
    """
    kinds, names = pair_kinds(numbers)
    columns = [np.flatnonzero(kinds == kind) for kind in range(len(names))]
    result = np.empty((len(positions), len(kinds)))
    for part, distances in distance_blocks(positions, cells, pbc):
        if columns:
            result[part] = np.hstack([np.sort(distances[:, column], axis=1) for column in columns])
    return result


def frame_distances(frame: Atoms) -> np.ndarray:
    """`sorted_distances` of one frame, shape (n_pairs,), Å."""
    found = sorted_distances(frame.numbers, frame.positions[None], frame.cell.array[None], tuple(frame.pbc))
    return np.asarray(found[0])
