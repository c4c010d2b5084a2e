"""Rigid scans of a distance, an angle or a dihedral."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.geometry import get_distances

from sparc_fw.errors import InputError
from sparc_fw.geometry.sources import ScanSource

BOND = 1.25
"""Atoms nearer than this factor times the sum of their covalent radii are bonded."""
NAMES = {2: "distance", 3: "angle", 4: "dihedral"}


def bonds(frame: Atoms) -> np.ndarray:
    """Bond matrix from covalent radii, bool, shape (n_atoms, n_atoms), by the minimum image where periodic."""
    radii = covalent_radii[frame.numbers]
    distances = get_distances(frame.positions, cell=frame.cell, pbc=frame.pbc)[1]
    matrix = np.asarray(distances < BOND * (radii[:, None] + radii[None]))
    np.fill_diagonal(matrix, False)
    return matrix


def side_of(frame: Atoms, near: int, far: int) -> list[int]:
    """Atoms that hang on `far` once its bond to `near` is cut, `far` included; has `near` where a ring joins them."""
    matrix = bonds(frame)
    matrix[near, far] = matrix[far, near] = False
    found = np.zeros(len(frame), dtype=bool)
    found[far] = True
    while True:
        grown = found | matrix[found].any(axis=0)
        if (grown == found).all():
            return [int(atom) for atom in np.flatnonzero(found)]
        found = grown


def moving_atoms(frame: Atoms, source: ScanSource) -> list[int]:
    """The atoms that a scan moves.

    Raises
    ------
    InputError
        If atoms do not exist, or connectivity does not tell which side moves.
    """
    where = f"scan: atoms {source.atoms}"
    for key, atoms in (("atoms", source.atoms), ("moving", source.moving or [])):
        beyond = [atom for atom in atoms if atom >= len(frame)]
        if beyond:
            raise InputError(
                f"scan: {key}: found atom {beyond[0]}, but the structure has {len(frame)} atoms "
                f"(expected 0 to {len(frame) - 1})"
            )
        if len(set(atoms)) < len(atoms):
            raise InputError(f"scan: {key}: found {atoms}, expected every atom once")
    # A dihedral turns about its middle bond, whose far atom lies on the axis; the others open their last bond.
    near, far = source.atoms[1:3] if len(source.atoms) == 4 else source.atoms[-2:]
    fixed = source.atoms[:2] if len(source.atoms) == 4 else source.atoms[:-1]
    moving = source.moving if source.moving is not None else side_of(frame, near, far)
    if source.moving is None and near in moving:
        raise InputError(
            f"{where}: atoms {near} and {far} are joined by a ring or a chain of other atoms, "
            "so that connectivity does not tell which atoms move; state 'moving'"
        )
    held = sorted(set(fixed) & set(moving))
    if held or source.atoms[-1] not in moving:
        raise InputError(
            f"{where}: found moving {moving}, expected atom {source.atoms[-1]} among them and none of {fixed}; "
            "state 'moving'"
        )
    return moving


def scan_frames(frame: Atoms, source: ScanSource) -> list[Atoms]:
    """Frames of a rigid scan, evenly spaced from first to last value.

    Parameters
    ----------
    frame : Atoms
        The structure; its ``info`` goes into every frame.

    Raises
    ------
    InputError
        If the atoms do not exist or the values make no sense.
    """
    moving = moving_atoms(frame, source)
    values = np.linspace(source.first, source.last, source.points)
    low, high, unit = {2: (0.0, np.inf, "Å"), 3: (0.0, 180.0, "degrees"), 4: (-360.0, 360.0, "degrees")}[
        len(source.atoms)
    ]
    if values.min() < low or values.max() > high or (len(source.atoms) == 2 and values.min() <= 0):
        raise InputError(
            f"scan: first, last: found {source.first:g} and {source.last:g}, expected {NAMES[len(source.atoms)]}s "
            f"{'above 0' if high == np.inf else f'from {low:g} to {high:g}'} {unit}"
        )
    return [_set_value(frame, source.atoms, moving, float(value)) for value in values]


def scan_values(source: ScanSource) -> np.ndarray:
    """Values of the scanned coordinate, Å or degrees, shape (points,)."""
    return np.linspace(source.first, source.last, source.points)


def _set_value(frame: Atoms, atoms: list[int], moving: list[int], value: float) -> Atoms:
    moved = frame.copy()
    moved.info = dict(frame.info)
    places = moved.positions
    if len(atoms) == 2:
        axis = moved.get_distance(*atoms, mic=True, vector=True)
        length = float(np.linalg.norm(axis))
        if length == 0:
            raise InputError(f"scan: atoms {atoms} lie on top of each other in the structure")
        places[moving] += axis / length * (value - length)
    elif len(atoms) == 3:
        arms = [moved.get_distance(atoms[1], end, mic=True, vector=True) for end in (atoms[0], atoms[2])]
        axis = np.cross(*arms)
        if np.linalg.norm(axis) < 1e-8 * np.linalg.norm(arms[0]) * np.linalg.norm(arms[1]):
            # A straight angle opens in any plane; this choice is the same every time.
            axis = np.cross(arms[0], np.eye(3)[np.argmin(np.abs(arms[0]))])
        turn = value - moved.get_angle(*atoms, mic=True)
        _turn(moved, atoms[1], moving, axis, turn)
    else:
        axis = moved.get_distance(atoms[1], atoms[2], mic=True, vector=True)
        turn = value - moved.get_dihedral(*atoms, mic=True)
        _turn(moved, atoms[1], moving, axis, turn)
    return moved


def _turn(frame: Atoms, origin: int, moving: list[int], axis: np.ndarray, degrees: float) -> None:
    """Turn atoms about an axis through the atom `origin`, right-handed (Rodrigues' formula)."""
    unit = axis / np.linalg.norm(axis)
    # Minimum-image arms, so that a group that a periodic box cuts turns as one.
    arms = frame.get_distances(origin, moving, mic=True, vector=True)
    angle = np.radians(degrees)
    along = np.outer(arms @ unit, unit)
    turned = along + np.cos(angle) * (arms - along) + np.sin(angle) * np.cross(unit, arms)
    frame.positions[moving] = frame.positions[origin] + turned
