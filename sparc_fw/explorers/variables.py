"""What the collective variables of the common biases are for a frame."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from sparc_fw.explorers.bias import Angle, Coordination, Difference, Dihedral, Distance, Variable

UNITS = {"distance": "Å", "difference": "Å", "angle": "°", "dihedral": "°", "coordination": ""}


def value_of(cv: Variable, frame: Atoms) -> float:
    """A variable of a frame, Å or degrees, by the nearest images where it is periodic."""
    mic = bool(frame.pbc.any())
    if isinstance(cv, Distance):
        return float(frame.get_distance(*cv.atoms, mic=mic))
    if isinstance(cv, Difference):
        return float(frame.get_distance(*cv.atoms, mic=mic) - frame.get_distance(*cv.minus, mic=mic))
    if isinstance(cv, Angle):
        return float(frame.get_angle(*cv.atoms, mic=mic))
    if isinstance(cv, Dihedral):
        return float(nearest_turn(frame.get_dihedral(*cv.atoms, mic=mic)))
    assert isinstance(cv, Coordination)
    x = np.array([frame.get_distances(atom, cv.around, mic=mic) for atom in cv.atoms]) / cv.radius_A
    # (1 - x^6) / (1 - x^12), without the hole at x = 1.
    return float((1 / (1 + x**6)).sum())


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
