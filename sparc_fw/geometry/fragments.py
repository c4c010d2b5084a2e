"""Rigid fragments pulled apart along bonds, or brought together."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from scipy.spatial.transform import Rotation

from sparc_fw.errors import InputError
from sparc_fw.geometry.scan import scan_frames
from sparc_fw.geometry.sources import ApproachSource, DissociationSource, ScanSource


def dissociation_frames(structure: Atoms, source: DissociationSource) -> list[Atoms]:
    """Scan each bond from its length in the structure outwards, bond by bond; see `scan_frames`.

    Raises
    ------
    InputError
        If an atom does not exist, a bond is part of a ring, or is longer than `last_A` already.
    """
    frames = []
    for first, second in source.bonds:
        atoms = [first, second]
        if max(atoms) >= len(structure) or first == second:
            raise InputError(
                f"dissociation: bonds: found {atoms}, expected two different atoms of 0 to {len(structure) - 1}"
            )
        length = structure.get_distance(first, second, mic=True)
        if length >= source.last_A:
            raise InputError(
                f"dissociation: last_A: found {source.last_A:g} Å, expected more than the {length:.3f} Å that atoms "
                f"{first} and {second} are apart already"
            )
        scan = ScanSource(kind="scan", atoms=atoms, first=length, last=source.last_A, points=source.points)
        frames += scan_frames(structure, scan)
    return frames


def approach_frames(structure: Atoms, source: ApproachSource, random: np.random.Generator) -> list[Atoms]:
    """Put a fragment at distances from the rest, from where it is and, turned at random, from random sides.

    The distance is that of the two nearest atoms of the fragment and the rest; images of a periodic structure do not
    count.

    Raises
    ------
    InputError
        If an atom does not exist, stands twice, or no atom is left that the fragment could approach.
    """
    moving, fixed = _parts(structure, source)
    masses = structure.get_masses()
    rest = structure.positions[fixed]
    centres = [np.average(structure.positions[part], axis=0, weights=masses[part]) for part in (fixed, moving)]
    shape = structure.positions[moving] - centres[1]
    away = centres[1] - centres[0]
    # A fragment around the centre of the rest has no side of its own.
    direction = away / np.linalg.norm(away) if np.linalg.norm(away) > 1e-6 else np.array([0.0, 0.0, 1.0])
    frames = []
    for orientation in range(source.orientations):
        if orientation:
            shape = Rotation.random(rng=random).apply(shape)
            direction = Rotation.random(rng=random).apply([0.0, 0.0, 1.0])
        for distance in np.linspace(source.first_A, source.last_A, source.points):
            frame = structure.copy()
            frame.positions[moving] = centres[0] + shape
            frame.positions[moving] += _shift(frame.positions[moving], rest, direction, float(distance)) * direction
            frames.append(frame)
    return frames


def _parts(structure: Atoms, source: ApproachSource) -> tuple[list[int], list[int]]:
    moving = list(source.fragment)
    beyond = [atom for atom in moving if atom >= len(structure)]
    if beyond or len(set(moving)) < len(moving):
        raise InputError(
            f"approach: fragment: found {beyond[0] if beyond else moving}, expected atoms of 0 to "
            f"{len(structure) - 1}, every one once"
        )
    fixed = [atom for atom in range(len(structure)) if atom not in set(moving)]
    if not fixed:
        raise InputError("approach: fragment: found all atoms, expected some that it can approach")
    return moving, fixed


def _shift(shape: np.ndarray, rest: np.ndarray, direction: np.ndarray, distance: float) -> float:
    """How far to move a fragment along a unit vector, Å, so that its nearest atom is just at `distance` from the rest.

    The farthest of the places where a pair of atoms is at that distance: beyond it every pair is farther apart.
    """
    arms = (shape[:, None] - rest[None]).reshape(-1, 3)
    along = arms @ direction
    across = (arms**2).sum(axis=1) - along**2
    near = across <= distance**2
    if not near.any():
        # They pass each other at a greater distance: side by side is as near as they come.
        return float(-along[np.argmin(across)])
    return float((np.sqrt(distance**2 - across[near]) - along[near]).max())
