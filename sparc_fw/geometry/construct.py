"""From a recipe to a structure."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms

from sparc_fw.errors import InputError
from sparc_fw.geometry.collage import make_collage
from sparc_fw.geometry.crystals import make_bulk, make_crystal, make_molecule, make_nanoparticle, make_surface
from sparc_fw.geometry.files import Files
from sparc_fw.geometry.packing import pack
from sparc_fw.geometry.recipes import CollageRecipe, EndRecipe, PackmolRecipe, PoolRecipe, SurfaceRecipe
from sparc_fw.geometry.simple_recipes import (
    BulkRecipe,
    CrystalRecipe,
    FileRecipe,
    MoleculeRecipe,
    NanoparticleRecipe,
    Recipe,
    StartRecipe,
)
from sparc_fw.seeds import derive_seed


@dataclass(frozen=True)
class Stock:
    """What recipes may take from, and what they are carried out with.

    Attributes
    ----------
    start : Atoms
        What the replica begins from.
    files : Files
        The frames of the campaign's files.
    ends : mapping of str to Atoms
        Where the phases of this exploration ended, by name; grows as they run.
    earlier : mapping of str to Atoms
        The same of the iteration before.
    packmol : str
        Packmol's executable.
    """

    start: Atoms
    files: Files
    packmol: str
    ends: Mapping[str, Atoms] = field(default_factory=dict)
    earlier: Mapping[str, Atoms] = field(default_factory=dict)


def construct(recipe: Recipe, stock: Stock, seed: int) -> Atoms:
    """Make a structure; the same seed makes the same one.

    Raises
    ------
    InputError
        Says which recipe cannot be carried out and why.
    """
    match recipe:
        case StartRecipe():
            return stock.start.copy()
        case EndRecipe():
            return _end(recipe, stock, seed)
        case FileRecipe():
            frames = stock.files.frames(recipe.path, recipe.index)
            chosen = frames[int(np.random.default_rng(seed).integers(len(frames)))]
            return Atoms(chosen.numbers, chosen.positions, cell=chosen.cell, pbc=chosen.pbc).repeat(recipe.repeat)
        case PoolRecipe():
            chosen = recipe.of[int(np.random.default_rng(seed).integers(len(recipe.of)))]
            return construct(chosen, stock, derive_seed(seed, "pool"))
        case BulkRecipe():
            return make_bulk(recipe)
        case CrystalRecipe():
            return make_crystal(recipe)
        case SurfaceRecipe():
            return make_surface(recipe, construct(recipe.of, stock, derive_seed(seed, "surface")))
        case MoleculeRecipe():
            return make_molecule(recipe)
        case NanoparticleRecipe():
            return make_nanoparticle(recipe)
        case PackmolRecipe():
            return _packed(recipe, stock, seed)
        case CollageRecipe():
            parts = [construct(p.of, stock, derive_seed(seed, "piece", n)) for n, p in enumerate(recipe.pieces)]
            return make_collage(recipe, parts, np.random.default_rng(seed))
    raise TypeError(f"no structure is known to come from {type(recipe).__name__}")


def _end(recipe: EndRecipe, stock: Stock, seed: int) -> Atoms:
    if recipe.iteration == "this":
        return stock.ends[recipe.phase].copy()
    if recipe.phase in stock.earlier:
        return stock.earlier[recipe.phase].copy()
    if recipe.otherwise is None:
        raise InputError(
            f"end: phase {recipe.phase!r} of the iteration before is not known, and 'otherwise' is not set"
        )
    return construct(recipe.otherwise, stock, derive_seed(seed, "otherwise"))


def _packed(recipe: PackmolRecipe, stock: Stock, seed: int) -> Atoms:
    parts = [construct(c.of, stock, derive_seed(seed, "compound", n)) for n, c in enumerate(recipe.compounds)]
    slab = None if recipe.above is None else construct(recipe.above, stock, derive_seed(seed, "slab"))
    with tempfile.TemporaryDirectory() as folder:
        return pack(recipe, parts, slab, derive_seed(seed, "packmol"), stock.packmol, Path(folder))
