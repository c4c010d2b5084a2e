"""How long geometries of phases take: a Packmol mixture of 1,000 atoms, and a collage of two such.

Usage: ``python scripts/benchmarks/phases_geometry.py``: seconds of each, the density or strain asked for, and the
smallest distance between atoms of different molecules against what the covalent radii allow.
"""

from __future__ import annotations

import time

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list

from sparc_fw.geometry.collage import molecules
from sparc_fw.geometry.construct import Stock, construct
from sparc_fw.geometry.files import Files
from sparc_fw.geometry.overlap import FRACTION, describe_overlap
from sparc_fw.geometry.packing import density
from sparc_fw.geometry.recipes import CollageRecipe, Compound, EndRecipe, PackmolRecipe, Piece
from sparc_fw.geometry.simple_recipes import MoleculeRecipe
from sparc_fw.settings import load_settings

COUNTS = {"CH3CH2OH": 40, "H2O": 100, "CH4": 40, "CO2": 20, "NH3": 20}
"""1,000 atoms of five compounds, as in Figure 6 of the SCS paper."""
DENSITY = 0.6
LOOK = 3.0
"""Neighbours are looked for up to this distance, Å."""


def closest(structure: Atoms) -> tuple[float, float, float]:
    """Smallest distance between molecules, Å, the least ratio to the sum of covalent radii, and its own distance."""
    groups, _ = molecules(structure)
    first, second, distances = neighbor_list("ijd", structure, LOOK)
    between = groups[first] != groups[second]
    radii = covalent_radii[structure.numbers]
    ratios = distances / (radii[first] + radii[second])
    worst = int(np.argmin(np.where(between, ratios, np.inf)))
    return float(distances[between].min()), float(ratios[worst]), float(distances[worst])


def report(name: str, structure: Atoms, seconds: float) -> None:
    distance, ratio, there = closest(structure)
    print(
        f"{name}: {len(structure)} atoms, {density(structure):.4f} g/cm^3, {seconds:.2f} s; between molecules at least "
        f"{distance:.3f} Å, nearest for its radii {there:.3f} Å = {ratio:.2f} of them (limit {FRACTION}); "
        f"overlap: {describe_overlap(structure) or 'none'}"
    )


def main() -> None:
    compounds = [Compound(of=MoleculeRecipe(name=name), count=count) for name, count in COUNTS.items()]
    mixture = PackmolRecipe(compounds=compounds, density_g_cm3=DENSITY)
    ends: dict[str, Atoms] = {}
    stock = Stock(Atoms(), Files({}), load_settings().packmol_command, ends)
    for seed, name in enumerate(("below", "above"), start=1):
        started = time.perf_counter()
        ends[name] = construct(mixture, stock, seed)
        report(f"packmol mixture, seed {seed}", ends[name], time.perf_counter() - started)
    pieces = [Piece(of=EndRecipe(phase=name)) for name in ends]
    started = time.perf_counter()
    found = construct(CollageRecipe(pieces=pieces, max_area_A2=1000.0), stock, 1)
    report("collage of both", found, time.perf_counter() - started)


if __name__ == "__main__":
    main()
