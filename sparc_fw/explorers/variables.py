"""What the collective variables of the common biases are for a frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.geometry import get_angles, get_dihedrals

from sparc_fw.explorers.bias import Angle, Coordination, Difference, Dihedral, Distance, Variable
from sparc_fw.geometry.descriptor import Pbc, nearest_images

UNITS = {"distance": "Å", "difference": "Å", "angle": "°", "dihedral": "°", "coordination": ""}


def value_of(cv: Variable, frame: Atoms) -> float:
    """A variable of a frame, Å or degrees, by the nearest images where it is periodic."""
    pbc = (bool(frame.pbc[0]), bool(frame.pbc[1]), bool(frame.pbc[2]))
    return float(values_of(cv, frame.positions[None], frame.cell.array[None], pbc)[0])


def values_of(cv: Variable, positions: np.ndarray, cells: np.ndarray, pbc: Pbc) -> np.ndarray:
    """A variable of many frames, Å or degrees, by the nearest images where they are periodic.

    Parameters
    ----------
    positions : ndarray of shape (n_frames, n_atoms, 3)
        Å.
    cells : ndarray of shape (n_frames, 3, 3)
        Å.

    Returns
    -------
    ndarray of shape (n_frames,)
    """

    def between(first: Sequence[int], second: Sequence[int]) -> np.ndarray:
        return nearest_images(positions[:, second] - positions[:, first], cells, pbc)

    a = cv.atoms
    if isinstance(cv, Coordination):
        pairs = [(one, other) for one in a for other in cv.around]
        x = np.linalg.norm(between([one for one, _ in pairs], [other for _, other in pairs]), axis=2) / cv.radius_A
        # (1 - x^6) / (1 - x^12), without the hole at x = 1.
        return np.asarray((1 / (1 + x**6)).sum(axis=1))
    steps = between(a[:-1], a[1:])
    if isinstance(cv, Angle):
        return np.asarray(get_angles(-steps[:, 0], steps[:, 1]))
    if isinstance(cv, Dihedral):
        return nearest_turn(get_dihedrals(steps[:, 0], steps[:, 1], steps[:, 2]))
    length = np.linalg.norm(steps[:, 0], axis=1)
    if isinstance(cv, Difference):
        length = length - np.linalg.norm(between(cv.minus[:1], cv.minus[1:])[:, 0], axis=1)
    return np.asarray(length)


def nearest_turn(degrees: np.ndarray | float) -> np.ndarray:
    """The same angle from -180 to below 180 degrees."""
    return (np.asarray(degrees) + 180.0) % 360.0 - 180.0


def away(cv: Variable, values: np.ndarray | float, centre: float) -> np.ndarray:
    """How far values of a variable are from a centre, in its unit; a dihedral goes the shorter way round."""
    difference = np.asarray(values) - centre
    return nearest_turn(difference) if isinstance(cv, Dihedral) else difference


def impossible(cv: Variable, value: float) -> str | None:
    """What a variable can be, where it cannot be `value`; None where it can."""
    if isinstance(cv, Distance):
        return None if value > 0 else "more than 0 Å"
    if isinstance(cv, Angle):
        return None if 0 <= value <= 180 else "0 to 180 degrees"
    if isinstance(cv, Dihedral):
        return None if -180 <= value <= 180 else "-180 to 180 degrees"
    if isinstance(cv, Coordination):
        most = len(cv.atoms) * len(cv.around)
        return None if 0 <= value <= most else f"0 to {most}"
    return None


def name_of(cv: Variable) -> str:
    """A variable in words, its atoms counted from 0."""
    atoms = "-".join(map(str, cv.atoms))
    if isinstance(cv, Difference):
        return f"distance {atoms} minus distance {'-'.join(map(str, cv.minus))}"
    if isinstance(cv, Coordination):
        return f"coordination of {atoms} by {'-'.join(map(str, cv.around))}"
    return f"{cv.kind} {atoms}"
