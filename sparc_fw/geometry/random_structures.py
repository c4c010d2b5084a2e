"""Structures with every atom at random, from which short dynamics finds isomers that nobody thought of."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.geometry import get_distances

from sparc_fw.errors import InputError
from sparc_fw.geometry.sources import RandomStarts

ATTEMPTS_PER_ATOM = 200
ATTEMPTS = 1000
"""A sphere or cell that cannot be filled in so many attempts is too small."""


def random_structures(structure: Atoms, source: RandomStarts, random: np.random.Generator) -> list[Atoms]:
    """Place the atoms of a structure at random, again and again.

    Parameters
    ----------
    structure : Atoms
        Gives species, cell and ``info``. Molecules are placed in a sphere, periodic systems in the whole cell.
    source : RandomStarts
    random : numpy.random.Generator

    Raises
    ------
    InputError
        If the atoms do not fit.

    Notes
    -----
    Ab initio random structure searching: C. J. Pickard and R. J. Needs, J. Phys.: Condens. Matter 23 (2011) 053201.
    """
    structures = []
    for _ in range(source.count):
        positions = next((p for _ in range(ATTEMPTS) if (p := _place(structure, source, random)) is not None), None)
        if positions is None:
            room = "its cell" if structure.pbc.any() else f"a sphere of radius_A = {source.radius_A:g}"
            raise InputError(
                f"dynamics: starts: {len(structure)} atoms do not fit into {room} with distances of at least "
                f"{source.min_fraction:g} times the sum of covalent radii; enlarge radius_A or lower min_fraction"
            )
        frame = structure.copy()
        frame.positions = positions
        structures.append(frame)
    return structures


def _place(structure: Atoms, source: RandomStarts, random: np.random.Generator) -> np.ndarray | None:
    """Positions for all atoms, shape (n_atoms, 3), or None where one found no room."""
    radii = covalent_radii[structure.numbers]
    positions = np.zeros((0, 3))
    for atom in range(len(structure)):
        allowed = source.min_fraction * (radii[:atom] + radii[atom])
        for _ in range(ATTEMPTS_PER_ATOM):
            point = _point(structure, source.radius_A, random)
            if not atom or (_distances(point, positions, structure) > allowed).all():
                positions = np.vstack([positions, point])
                break
        else:
            return None
    return positions


def _point(structure: Atoms, radius: float, random: np.random.Generator) -> np.ndarray:
    if structure.pbc.any():
        return np.asarray(random.random(3) @ structure.cell.array)
    direction = random.standard_normal(3)
    # The cube root makes the density in the sphere even.
    return np.asarray(radius * np.cbrt(random.random()) * direction / np.linalg.norm(direction))


def _distances(point: np.ndarray, positions: np.ndarray, structure: Atoms) -> np.ndarray:
    if not structure.pbc.any():
        return np.asarray(np.linalg.norm(positions - point, axis=1))
    return np.asarray(get_distances(point[None], positions, cell=structure.cell, pbc=structure.pbc)[1][0])
