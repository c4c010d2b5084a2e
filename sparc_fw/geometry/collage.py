"""Slices of structures, stitched together along an axis (A. Pacini et al., J. Chem. Theory Comput. 21 (2025) 7102)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.build import make_supercell
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list

from sparc_fw.errors import InputError
from sparc_fw.geometry.matching import Supercell, common_cell, deformation
from sparc_fw.geometry.overlap import describe_overlap
from sparc_fw.geometry.recipes import CollageRecipe
from sparc_fw.geometry.scan import BOND

AXES = {"x": 0, "y": 1, "z": 2}


def make_collage(recipe: CollageRecipe, structures: Sequence[Atoms], random: np.random.Generator) -> Atoms:
    """Stitch slices of structures together along an axis.

    Parameters
    ----------
    recipe : CollageRecipe
    structures : sequence of Atoms
        One for each piece.
    random : numpy.random.Generator
        Draws the shifts in the plane, where they are asked for.

    Raises
    ------
    InputError
        If a slice is empty, a structure has no cell in the plane, no common cell is found, or atoms overlap.
    """
    axis = AXES[recipe.axis]
    slices = []
    for number, (piece, structure) in enumerate(zip(recipe.pieces, structures, strict=True)):
        top = np.inf if piece.to_A is None else piece.to_A
        try:
            slices.append(cut(upright(structure, axis), piece.from_A, top))
        except InputError as error:
            raise InputError(f"collage: pieces[{number}]: {error}") from error
    try:
        planes = [np.asarray(part.cell[:2, :2]) for part in slices]
        supercells, _ = common_cell(planes, recipe.max_strain, recipe.max_area_A2)
    except InputError as error:
        raise InputError(f"collage: {error}") from error
    whole = _stack(recipe, slices, supercells, random)
    overlap = describe_overlap(whole)
    if overlap is not None:
        raise InputError(f"collage: {overlap}; widen gap_A, which is {recipe.gap_A:g} Å")
    return turned_back(whole, axis)


def upright(structure: Atoms, axis: int) -> Atoms:
    """The structure turned so that the plane of the two cell vectors beside that of `axis` is x, y.

    Raises
    ------
    InputError
        If it is not periodic in that plane.
    """
    order = [(axis + 1) % 3, (axis + 2) % 3, axis]
    pbc = structure.pbc[order]
    if not pbc[:2].all():
        raise InputError(f"found a structure with pbc {structure.pbc.tolist()}, expected one periodic in the plane")
    cell = structure.cell.complete()[order]
    if np.linalg.det(cell) < 0:
        raise InputError("found a left-handed cell, expected a right-handed one")
    form, turn = Atoms(cell=cell).cell.standard_form()
    return Atoms(structure.numbers, structure.positions @ np.asarray(turn).T, cell=np.asarray(form), pbc=pbc)


def turned_back(structure: Atoms, axis: int) -> Atoms:
    """The inverse of what `upright` did to the order of axes."""
    order = [(2 - axis) % 3, (3 - axis) % 3, (4 - axis) % 3]
    cell = structure.cell.array[order][:, order]
    return Atoms(structure.numbers, structure.positions[:, order], cell=cell, pbc=structure.pbc[order])


def cut(structure: Atoms, low: float, high: float) -> Atoms:
    """Atoms from `low` to `high` (Å) above the lowest one, along z.

    Where the structure is periodic along z, it is first opened in its widest gap. What bonds hold together and is no
    network stays whole and lies where its centre is.

    Raises
    ------
    InputError
        If nothing lies there.
    """
    groups, positions = molecules(structure)
    count = int(groups.max()) + 1
    sizes = np.bincount(groups, minlength=count)
    centres = np.bincount(groups, positions[:, 2], count) / sizes
    height = float(structure.cell[2, 2])
    if structure.pbc[2]:
        turns = np.floor(centres / height - _widest_gap(centres / height))
        positions = positions - turns[groups][:, None] * structure.cell.array[2]
        centres = centres - turns * height
    floor = float(positions[:, 2].min())
    kept = ((centres >= floor + low - 1e-9) & (centres <= floor + high + 1e-9))[groups]
    if not kept.any():
        extent = float(np.ptp(positions[:, 2]))
        raise InputError(f"nothing lies from {low:g} to {high:g} Å: the structure is {extent:.2f} Å thick")
    part = Atoms(structure.numbers[kept], positions[kept], cell=structure.cell, pbc=(True, True, False))
    part.positions[:, 2] -= part.positions[:, 2].min()
    return part


def molecules(structure: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Which atoms form a molecule, and positions in which no molecule is cut by the cell.

    Atoms of a network, which its bonds carry through the cell, count one by one.

    Returns
    -------
    groups : ndarray of int, shape (n_atoms,)
    positions : ndarray of shape (n_atoms, 3)
        Å.
    """
    first, second, shifts = neighbor_list("ijS", structure, BOND * covalent_radii[structure.numbers])
    neighbours: list[list[tuple[int, np.ndarray]]] = [[] for _ in range(len(structure))]
    for one, other, shift in zip(first, second, shifts, strict=True):
        neighbours[one].append((int(other), shift))
    groups = np.full(len(structure), -1)
    images = np.zeros((len(structure), 3), dtype=int)
    found = 0
    for atom in range(len(structure)):
        if groups[atom] >= 0:
            continue
        members, network = _connected(atom, neighbours, images)
        if network:
            images[members] = 0
            groups[members] = found + np.arange(len(members))
            found += len(members)
        else:
            groups[members] = found
            found += 1
    return groups, structure.positions + images @ structure.cell.array


def _connected(atom: int, neighbours: list[list[tuple[int, np.ndarray]]], images: np.ndarray) -> tuple[list[int], bool]:
    """Atoms that bonds join to one, whose images are set beside it, and whether they meet their own images."""
    seen = {atom}
    queue = deque([atom])
    network = False
    while queue:
        here = queue.popleft()
        for other, shift in neighbours[here]:
            image = images[here] + shift
            if other not in seen:
                seen.add(other)
                images[other] = image
                queue.append(other)
            elif (images[other] != image).any():
                network = True
    return sorted(seen), network


def _widest_gap(heights: np.ndarray) -> float:
    """Upper edge of the widest gap between periodic heights, in units of the period."""
    ordered = np.sort(heights % 1.0)
    gaps = np.diff([ordered[-1] - 1.0, *ordered])
    # A hair lower, so that rounding sends nothing round.
    return float(ordered[int(np.argmax(gaps))] - 1e-9)


def _stack(
    recipe: CollageRecipe, slices: Sequence[Atoms], supercells: Sequence[Supercell], random: np.random.Generator
) -> Atoms:
    target = supercells[0].vectors
    whole = Atoms(pbc=True)
    height = 0.0
    for part, supercell in zip(slices, supercells, strict=True):
        repeats = np.eye(3, dtype=int)
        repeats[:2, :2] = supercell.repeats
        part = part.copy()
        part.pbc = False
        grown = make_supercell(part, repeats, wrap=False)
        grown.positions[:, :2] = grown.positions[:, :2] @ deformation(supercell, target)
        if recipe.random_shift:
            grown.positions[:, :2] += random.random(2) @ target
        grown.positions[:, 2] += height
        height += float(np.ptp(grown.positions[:, 2])) + recipe.gap_A
        whole += Atoms(grown.numbers, grown.positions)
    cell = np.zeros((3, 3))
    cell[:2, :2] = target
    cell[2, 2] = height + recipe.vacuum_A
    whole.set_cell(cell)
    whole.pbc = True
    return whole
