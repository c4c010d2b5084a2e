"""Extended XYZ, ASE trajectories and databases, and whatever else ASE reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ase.db
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db.row import AtomsRow
from ase.io import Trajectory, read
from ase.io.extxyz import key_val_dict_to_str
from ase.stress import voigt_6_to_full_3x3_stress

from sparc_fw.documents import Label
from sparc_fw.encoding import frame_info
from sparc_fw.formats.base import Reading, make_label, provenance_from_text, provenance_of, provenance_text
from sparc_fw.geometry.files import PROVENANCE


def read_ase(
    path: Path, kind: str | None, energy_key: str | None = None, forces_key: str | None = None
) -> list[Reading]:
    """Every frame of a file, with the numbers that it carries; computes nothing.

    Parameters
    ----------
    kind : str or None
        ASE's name of the format; found out where None.
    energy_key, forces_key : str, optional
        Where an extended XYZ file keeps energy (eV) and forces (eV/Å) under other names, such as ``REF_energy``.
    """
    frames = read(path, index=":", format=kind)
    return [
        Reading(path, f"frame {number}", _label(frame, energy_key, forces_key)) for number, frame in enumerate(frames)
    ]


def _label(frame: Atoms, energy_key: str | None, forces_key: str | None) -> Label:
    results = frame.calc.results if frame.calc is not None else {}
    # The slope of the free energy is what codes call forces.
    energy = results.get("free_energy", results.get("energy"))
    forces = results.get("forces")
    if energy_key is not None:
        energy = frame.info.get(energy_key)
    if forces_key is not None:
        forces = frame.arrays.get(forces_key)
    stated = frame.info.get(PROVENANCE)
    provenance = None if stated is None else provenance_from_text(stated)
    return make_label(frame, energy, forces, results.get("stress"), provenance)


def read_database(path: Path) -> list[Reading]:
    """Every row of an ASE database, with system, charge and unpaired electrons of the key-value pairs in `COLUMNS`."""
    with ase.db.connect(path) as database:
        return [Reading(path, f"row {row.id}", _row_label(row)) for row in database.select()]


def _row_label(row: AtomsRow) -> Label:
    frame = row.toatoms()
    stated = row.key_value_pairs
    frame.info = {name: stated[column] for name, column in COLUMNS.items() if column in stated}
    forces = row.forces if "forces" in row else None
    energy = row.free_energy if "free_energy" in row else row.get("energy")
    stress = row.stress if "stress" in row else None
    return make_label(frame, energy, forces, stress, row.data.get(PROVENANCE))


def labelled_atoms(label: Label) -> Atoms:
    """A label as Atoms with a calculator that holds the numbers that it has."""
    frame: Atoms = label.frame.copy()
    numbers = {"energy": label.energy, "forces": label.forces, "stress": label.stress}
    frame.calc = SinglePointCalculator(frame, **{name: value for name, value in numbers.items() if value is not None})
    return frame


COLUMNS = {"system": "system", "charge": "total_charge", "spin": "unpaired_electrons"}
"""Key-value pairs of a database for what a frame's ``info`` says; ``charge`` is taken by ASE for another charge."""


def write_trajectory(labels: Sequence[Label], path: Path) -> None:
    """Write an ASE trajectory."""
    with Trajectory(path, "w") as trajectory:
        for label in labels:
            frame = labelled_atoms(label)
            frame.info[PROVENANCE] = provenance_text(label)
            trajectory.write(frame)


def write_database(labels: Sequence[Label], path: Path) -> None:
    """Write an ASE database (SQLite)."""
    with ase.db.connect(path, type="db") as database:
        for label in labels:
            info = label.frame.info
            pairs = {"label_key": label.key} | {c: info[name] for name, c in COLUMNS.items() if name in info}
            data = {PROVENANCE: provenance_of(label)}
            database.write(labelled_atoms(label), data=data, key_value_pairs=_searchable(pairs))


def _searchable(pairs: Mapping[str, Any]) -> dict[str, Any]:
    """What ASE takes for key-value pairs: no text that could be read as a number, such as a system named 2."""
    found = {}
    for key, value in pairs.items():
        try:
            float(value)
        except ValueError:
            found[key] = value
        else:
            if not isinstance(value, str):
                found[key] = value
    return found


def write_extxyz(labels: Sequence[Label], path: Path) -> None:
    """Write extended XYZ with every digit; ASE's own writer keeps eight behind the point.

    Format: https://github.com/libAtoms/extxyz.
    """
    with path.open("w", encoding="utf-8") as stream:
        for label in labels:
            stream.writelines(_extxyz_lines(label))


def _extxyz_lines(label: Label) -> Iterator[str]:
    frame = label.frame
    comment: dict[str, Any] = {
        "Properties": "species:S:1:pos:R:3:forces:R:3",
        "energy": label.energy,
        "pbc": np.array(frame.pbc),
    }
    if frame.cell.array.any():
        comment["Lattice"] = frame.cell.array.T.copy()
    if label.stress is not None:
        comment["stress"] = voigt_6_to_full_3x3_stress(label.stress)
    comment |= frame_info(frame) | {PROVENANCE: provenance_text(label)}
    yield f"{len(frame)}\n{key_val_dict_to_str(comment)}\n"
    assert label.forces is not None, "only good labels are written"
    for symbol, row in zip(frame.symbols, np.hstack([frame.positions, label.forces]).tolist(), strict=True):
        yield f"{symbol} {' '.join(map(repr, row))}\n"
