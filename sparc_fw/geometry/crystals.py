"""Crystals, slabs, molecules and nanoparticles, by ASE and pymatgen."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from sparc_fw.errors import InputError
from sparc_fw.geometry.recipes import SurfaceRecipe
from sparc_fw.geometry.simple_recipes import BulkRecipe, CrystalRecipe, MoleculeRecipe, NanoparticleRecipe


def make_bulk(recipe: BulkRecipe) -> Atoms:
    """A bulk crystal; raises `InputError` with ASE's own words where it knows no such crystal."""
    from ase.build import bulk

    try:
        crystal = bulk(recipe.name, recipe.structure, a=recipe.a_A, c=recipe.c_A, cubic=recipe.cubic)
    except (ValueError, RuntimeError, KeyError, NotImplementedError) as error:
        raise InputError(f"bulk: {recipe.name} {recipe.structure or ''}: ASE cannot build it: {error}") from error
    return crystal.repeat(recipe.repeat)


def make_crystal(recipe: CrystalRecipe) -> Atoms:
    """A crystal from its space group; raises `InputError` where cell and space group do not go together."""
    from pymatgen.core.lattice import Lattice
    from pymatgen.core.structure import Structure

    lattice = Lattice.from_parameters(*recipe.lengths_A, *recipe.angles_deg)
    try:
        structure = Structure.from_spacegroup(recipe.space_group, lattice, recipe.symbols, recipe.fractional)
    except ValueError as error:
        raise InputError(f"crystal: space_group {recipe.space_group}: pymatgen cannot build it: {error}") from error
    numbers = [site.specie.Z for site in structure]
    crystal = Atoms(numbers, scaled_positions=structure.frac_coords, cell=structure.lattice.matrix, pbc=True)
    return crystal.repeat(recipe.repeat)


def make_surface(recipe: SurfaceRecipe, crystal: Atoms) -> Atoms:
    """A slab with its normal along z, its lowest atom at z = 0; raises `InputError` without a cell to cut."""
    from ase.build import surface

    if not crystal.pbc.all():
        raise InputError("surface: of: found a structure that is not periodic, expected a crystal")
    slab = surface(crystal, recipe.miller, recipe.layers, periodic=True)
    slab = Atoms(slab.numbers, slab.positions, cell=slab.cell, pbc=True).repeat((*recipe.repeat, 1))
    if recipe.vacuum_A > 0:
        thickness = float(np.ptp(slab.positions[:, 2]))
        slab.set_cell([slab.cell[0], slab.cell[1], (0.0, 0.0, thickness + recipe.vacuum_A)])
    slab.positions[:, 2] -= slab.positions[:, 2].min()
    return slab


def make_molecule(recipe: MoleculeRecipe) -> Atoms:
    """A molecule of the G2 collection; raises `InputError` where there is none of that name."""
    from ase.build import molecule

    try:
        found = molecule(recipe.name)
    except KeyError as error:
        raise InputError(
            f"molecule: name: found {recipe.name!r}, expected a name of ASE's G2 collection (H2O, CH4, …); "
            "use 'kind: file' for others"
        ) from error
    return _boxed(Atoms(found.numbers, found.positions), recipe.box_A, f"molecule {recipe.name}")


def make_nanoparticle(recipe: NanoparticleRecipe) -> Atoms:
    """A nanoparticle of Wulff's shape; raises `InputError` where ASE cannot make one."""
    from ase.cluster.wulff import wulff_construction

    facets = [tuple(int(digit) for digit in name) for name in recipe.surface_energies]
    energies = list(recipe.surface_energies.values())
    try:
        found = wulff_construction(
            recipe.element, facets, energies, recipe.atoms, recipe.structure, "closest", recipe.a_A
        )
    except (ValueError, RuntimeError, NotImplementedError) as error:
        raise InputError(f"nanoparticle: {recipe.element}: ASE cannot build it: {error}") from error
    return _boxed(Atoms(found.numbers, found.positions), recipe.box_A, f"nanoparticle {recipe.element}")


def _boxed(atoms: Atoms, edge: float | None, name: str) -> Atoms:
    if edge is None:
        return atoms
    extent = float(np.ptp(atoms.positions, axis=0).max())
    if edge <= extent:
        raise InputError(f"{name}: box_A: found {edge:g} Å, expected more than its extent, {extent:.2f} Å")
    atoms.set_cell([edge] * 3)
    atoms.pbc = True
    atoms.center()
    return atoms
