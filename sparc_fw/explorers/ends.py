"""The two ends of a reaction path: that they are of the same atoms, and how far apart they are."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import minimize_rotation_and_translation
from ase.geometry import find_mic
from scipy.optimize import linear_sum_assignment

from sparc_fw.errors import InputError

SAME_A = 0.05
"""Ends are one structure where no atom is farther from its other place, Å."""


def check_same_atoms(reference: Atoms, other: Atoms, key: str, named: str) -> None:
    """Check that a structure has the atoms of another one, in the same order and the same cell.

    Parameters
    ----------
    key : str
        The option that `other` came from.
    named : str
        What `reference` is.

    Raises
    ------
    InputError
        Says what differs.
    """
    found, expected = other.get_chemical_formula(), reference.get_chemical_formula()
    if found != expected:
        raise InputError(f"{key}: found {found}, expected the atoms of {named}, {expected}")
    wrong = np.flatnonzero(other.numbers != reference.numbers)
    if len(wrong):
        atom = int(wrong[0])
        raise InputError(
            f"{key}: found {other.symbols[atom]} as atom {atom}, expected {reference.symbols[atom]} as in {named}: "
            "bring the atoms of both into the same order"
        )
    if tuple(other.pbc) != tuple(reference.pbc):
        raise InputError(f"{key}: found periodicity {other.pbc.tolist()}, expected {reference.pbc.tolist()} of {named}")
    if reference.pbc.any() and not np.allclose(other.cell.array, reference.cell.array, rtol=0, atol=1e-6):
        cells = [np.round(structure.cell.array, 4).tolist() for structure in (other, reference)]
        raise InputError(
            f"{key}: found cell {cells[0]}, expected that of {named}, {cells[1]} (Å): "
            "the cell does not change along a path"
        )


def check_ends(initial: Atoms, final: Atoms, like_atoms: bool) -> None:
    """Check that two structures of the same atoms can be the ends of one path.

    Parameters
    ----------
    like_atoms : bool
        Whether to refuse ends between which atoms of one element seem exchanged.

    Raises
    ------
    InputError
        If they are one structure, or like atoms seem exchanged.
    """
    if distance(initial, final) < SAME_A:
        raise InputError(
            f"final: found the initial end again (no atom moves by {SAME_A} Å), expected another structure"
        )
    if like_atoms:
        _refuse_exchanged(initial, final)


def _refuse_exchanged(initial: Atoms, final: Atoms) -> None:
    """Refuse ends that are nearer to each other when like atoms change places."""
    final = aligned(initial, final)
    moves = final.positions[None] - initial.positions[:, None]
    vectors = find_mic(moves.reshape(-1, 3), initial.cell, initial.pbc)[0] if initial.pbc.any() else moves
    squares = (vectors.reshape(moves.shape) ** 2).sum(axis=2)
    far = 1 + squares.sum()
    allowed = np.where(initial.numbers[:, None] == initial.numbers[None], squares, far)
    here, there = linear_sum_assignment(allowed)
    given, least = np.trace(squares), squares[here, there].sum()
    exchanged = np.flatnonzero(here != there)
    if not len(exchanged) or np.sqrt(given) - np.sqrt(least) < SAME_A:
        return
    pairs = ", ".join(f"{here[k]} ({initial.symbols[int(here[k])]}) -> {there[k]}" for k in exchanged)
    raise InputError(
        f"final: the ends are {np.sqrt(given):.2f} Å apart as their atoms are numbered, but {np.sqrt(least):.2f} Å if "
        f"like atoms change places (initial -> final: {pairs}): renumber one end, or state 'mapping: as_given' if "
        "just these atoms are to change places"
    )


def aligned(initial: Atoms, final: Atoms) -> Atoms:
    """A copy of the final end turned and moved onto the initial one where both are molecules."""
    copy = final.copy()
    if len(initial) > 1 and not initial.pbc.any():
        minimize_rotation_and_translation(initial, copy)
    return copy


def distance(initial: Atoms, final: Atoms) -> float:
    """How far the atom moves that moves farthest between two aligned ends, Å."""
    moves = aligned(initial, final).positions - initial.positions
    if initial.pbc.any():
        return float(find_mic(moves, initial.cell, initial.pbc)[1].max())
    return float(np.linalg.norm(moves, axis=1).max())


def path_coordinate(images: list[np.ndarray], frame: Atoms) -> np.ndarray:
    """Length of the path up to each image, Å, shape (n_images,), from the first one.

    A step's length is that of all its 3 n_atoms components together, by the minimum image where periodic.
    """
    steps = np.diff(np.array(images), axis=0)
    if frame.pbc.any():
        steps = find_mic(steps.reshape(-1, 3), frame.cell, frame.pbc)[0].reshape(steps.shape)
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(steps, axis=(1, 2)))])
