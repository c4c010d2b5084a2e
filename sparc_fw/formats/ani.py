"""HDF5 files as the ANI data sets are published: groups of one composition, energies in hartree."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from ase.units import Hartree

from sparc_fw.documents import Label
from sparc_fw.errors import MissingDependency
from sparc_fw.formats.base import Reading, make_label, provenance_of
from sparc_fw.formats.groups import alike
from sparc_fw.geometry.files import PROVENANCE

SPECIES = ("species", "atomic_numbers", "numbers")
COORDINATES = ("coordinates", "coord", "positions")
ENERGIES = ("energies", "energy", "wb97x_dz.energy")
FORCES = ("forces", "force", "wb97x_dz.forces")
"""Names that ANI-1, ANI-1x, ANI-2x and their kin give to their arrays."""
CELL, PBC, STRESS = "cell", "pbc", "stress"


def require_h5py() -> Any:
    """The module h5py.

    Raises
    ------
    MissingDependency
        Where it is not installed.
    """
    if importlib.util.find_spec("h5py") is None:
        raise MissingDependency("HDF5 files need the Python package 'h5py': pip install 'sparc_fw[formats]'")
    import h5py

    return h5py


def read_ani(path: Path, energy_key: str | None = None, forces_key: str | None = None) -> list[Reading]:
    """Every configuration of every group; energies in hartree, forces in hartree/Å, coordinates in Å.

    Parameters
    ----------
    energy_key, forces_key : str, optional
        Names of the arrays where they are others than `ENERGIES` and `FORCES`; such as the coupled-cluster energies of
        ANI-1ccx.

    Notes
    -----
    Formats: J. S. Smith et al., Sci. Data 4 (2017) 170193 (ANI-1) and 7 (2020) 134 (ANI-1x).
    """
    h5py = require_h5py()
    readings: list[tuple[int, Reading]] = []
    with h5py.File(path, "r") as file:
        groups: list[Any] = []
        file.visititems(lambda _, item: groups.append(item) if _first(item, COORDINATES, h5py) else None)
        if _first(file, COORDINATES, h5py):
            groups.append(file)
        for group in groups:
            readings += _read_group(path, group, energy_key, forces_key, h5py)
    # Our own exports say which place a label had; the others keep the order of the file.
    return [reading for _, reading in sorted(readings, key=lambda entry: entry[0])]


def _first(group: Any, names: Sequence[str], h5py: Any) -> str | None:
    if not isinstance(group, h5py.Group):
        return None
    return next((name for name in names if name in group), None)


def _read_group(
    path: Path, group: Any, energy_key: str | None, forces_key: str | None, h5py: Any
) -> Iterator[tuple[int, Reading]]:
    def array(names: Sequence[str]) -> np.ndarray | None:
        name = _first(group, names, h5py)
        return None if name is None else group[name][()]

    positions, species = array(COORDINATES), array(SPECIES)
    if positions is None or species is None:
        yield 0, Reading(path, f"group {group.name}", None, "unreadable", f"found no {' or '.join(SPECIES)}")
        return
    energies = array(ENERGIES if energy_key is None else [energy_key])
    forces = array(FORCES if forces_key is None else [forces_key])
    cells, pbc, stresses, stated = (array([name]) for name in (CELL, PBC, STRESS, PROVENANCE))
    numbers = _numbers(species)
    for number, coordinates in enumerate(positions):
        frame = Atoms(numbers if numbers.ndim == 1 else numbers[number], coordinates)
        if cells is not None:
            frame.cell = cells if cells.ndim == 2 else cells[number]
            frame.pbc = True if pbc is None else pbc
        provenance = None if stated is None else json.loads(stated[number])
        label = make_label(
            frame,
            None if energies is None else float(energies[number]) * Hartree,
            None if forces is None else np.asarray(forces[number], dtype=float) * Hartree,
            None if stresses is None else np.asarray(stresses[number], dtype=float) * Hartree,
            provenance,
        )
        yield (provenance or {}).get("index", 0), Reading(path, f"group {group.name}, frame {number}", label)


def _numbers(species: np.ndarray) -> np.ndarray:
    """Atomic numbers, from numbers or chemical symbols."""
    if species.dtype.kind in "iu":
        return species.astype(int)
    symbols = [name.decode() if isinstance(name, bytes) else str(name) for name in species.ravel()]
    return np.array([atomic_numbers[symbol] for symbol in symbols]).reshape(species.shape)


def write_ani(labels: Sequence[Label], path: Path) -> None:
    """Write one group per list of atoms, equally periodic, with or without stress (hartree/Å^3)."""
    h5py = require_h5py()
    with h5py.File(path, "w") as file:
        for number, (first, members) in enumerate(alike(labels)):
            group = file.create_group(f"{number:05d}_{first.frame.get_chemical_formula()}")
            mine = [label for _, label in members]
            group["species"] = np.array(first.frame.get_chemical_symbols(), dtype="S2")
            group["coordinates"] = np.array([label.frame.positions for label in mine])
            group["energies"] = np.array([label.energy for label in mine], dtype=float) / Hartree
            group["forces"] = np.array([label.forces for label in mine]) / Hartree
            group[CELL] = np.array([label.frame.cell.array for label in mine])
            group[PBC] = np.array(first.frame.pbc)
            if first.stress is not None:
                group[STRESS] = np.array([label.stress for label in mine]) / Hartree
            stated = [json.dumps({**provenance_of(label), "index": index}) for index, label in members]
            group[PROVENANCE] = np.array(stated, dtype=h5py.string_dtype())
