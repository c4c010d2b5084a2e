"""When two frames are one: the hash of a frame, and which atoms of two frames are the same."""

from __future__ import annotations

import hashlib

import numpy as np
from ase import Atoms


def _rounded(values: np.ndarray) -> np.ndarray:
    """Lengths in Å as they count for a frame's hash: on a grid of 1e-6 Å."""
    # + 0.0 turns -0.0 into 0.0, whose bytes differ.
    return np.asarray(np.round(values, 6) + 0.0)


def canonical_order(frame: Atoms) -> np.ndarray:
    """Indices that sort the atoms of a frame by atomic number, and those of one element by rounded x, then y, then z.

    Two frames that differ in the order of their atoms alone are the same so sorted. Only like atoms at one rounded
    place keep the order that they have; they overlap, and no labeler computes such a frame.
    """
    x, y, z = _rounded(frame.positions).T
    return np.lexsort((z, y, x, frame.numbers))


def frame_hash(frame: Atoms, like_atoms_alike: bool = True) -> str:
    """Content hash of a frame: species, positions and cell rounded to 1e-6 Å, periodicity, charge and spin.

    Parameters
    ----------
    like_atoms_alike : bool
        Whether a frame whose atoms come in another order is the same one: they are taken in `canonical_order`. Whether
        they are alike for a calculation is the labeler's to say (`sparc_fw.labelers.base.Labeler.like_atoms_alike`);
        for a potential, which knows of atoms no more than their elements, they are.

    Notes
    -----
    Place and orientation are the frame's own: one that was moved or turned has another hash, which costs a second
    calculation, and not a wrong number. No motion is exact in floating point: a centroid taken off, or atoms wrapped
    into the cell, put coordinates (0 and the cell's edge above all) where the last bit decides how they round, so that
    the same frame would have now one hash and now the other. On a grid energies depend on the place, too, by the
    egg-box effect.
    """
    order = canonical_order(frame) if like_atoms_alike else np.arange(len(frame))
    digest = hashlib.sha256(np.asarray(frame.numbers[order], dtype="<i4").tobytes())
    periodic = np.asarray(frame.pbc, dtype=bool)
    # The box of a molecule carries no physics, so that it must not make two labels of one.
    cell = frame.cell.array if periodic.any() else np.zeros((3, 3))
    for values in (frame.positions[order], cell):
        digest.update(_rounded(values).astype("<f8").tobytes())
    digest.update(periodic.tobytes())
    digest.update(f"{frame.info.get('charge', 0)},{frame.info.get('spin', 0)}".encode())
    return digest.hexdigest()


def same_atoms(frame: Atoms, wanted: Atoms) -> np.ndarray:
    """For each atom of `wanted` the index of the atom of `frame` that is of its element and, rounded, at its place.

    Raises
    ------
    ValueError
        If the frames differ in more than the order of their atoms.
    """
    orders = [np.arange(len(one)) for one in (frame, wanted)]
    if not _alike(frame, wanted, *orders):
        orders = [canonical_order(one) for one in (frame, wanted)]
        if not _alike(frame, wanted, *orders):
            raise ValueError(
                f"found the atoms of another frame, {frame.get_chemical_formula()}, expected those of the frame that "
                f"was asked for, {wanted.get_chemical_formula()}, at the same places within 1e-6 Å, in any order"
            )
    found = np.empty(len(frame), dtype=int)
    found[orders[1]] = orders[0]
    return found


def _alike(frame: Atoms, wanted: Atoms, order: np.ndarray, other: np.ndarray) -> bool:
    """Whether frames have the same elements at the same rounded places, each in an order of its own."""
    places = _rounded(frame.positions[order]), _rounded(wanted.positions[other])
    # Frames whose positions are not finite have labels, too: failed ones.
    return np.array_equal(frame.numbers[order], wanted.numbers[other]) and np.array_equal(*places, equal_nan=True)
