"""DeePMD-kit's folders of npy arrays, with one list of atoms per system or mixed ones."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress

from sparc_fw.documents import Label
from sparc_fw.formats.base import Reading, make_label, provenance_of
from sparc_fw.formats.groups import Indexed, alike
from sparc_fw.geometry.files import PROVENANCE

TYPES, TYPE_MAP, MIXED_TYPES = "type.raw", "type_map.raw", "real_atom_types.npy"
PROVENANCE_FILE = f"{PROVENANCE}.json"
NO_PBC = "nopbc"


def is_system(folder: Path) -> bool:
    """Whether a folder is a system of DeePMD-kit."""
    return (folder / TYPES).is_file() and any(folder.glob("set.*"))


def read_system(folder: Path) -> list[Reading]:
    """Every frame of a system; without ``type_map.raw`` nobody knows its elements.

    Notes
    -----
    Format: https://docs.deepmodeling.com/projects/deepmd/en/stable/data/data-conv.html.
    """
    if not (folder / TYPE_MAP).is_file():
        return [Reading(folder, "", None, "unreadable", f"found no {TYPE_MAP}, which names the elements of its types")]
    elements = np.array((folder / TYPE_MAP).read_text().split())
    types = np.loadtxt(folder / TYPES, dtype=int, ndmin=1)
    stated = folder / PROVENANCE_FILE
    provenance = json.loads(stated.read_text()) if stated.is_file() else []
    readings: list[Reading] = []
    for part in sorted(folder.glob("set.*")):
        readings += _read_set(folder, part, elements, types, provenance[len(readings) :])
    return readings


def _read_set(
    folder: Path, part: Path, elements: np.ndarray, types: np.ndarray, provenance: Sequence[dict[str, Any]]
) -> Iterator[Reading]:
    def array(name: str) -> np.ndarray | None:
        path = part / f"{name}.npy"
        return np.load(path) if path.is_file() else None

    positions = array("coord")
    if positions is None:
        yield Reading(folder, part.name, None, "unreadable", "found no coord.npy")
        return
    count = len(positions)
    mixed = array(MIXED_TYPES.removesuffix(".npy"))
    rows = np.broadcast_to(types, (count, len(types))) if mixed is None else mixed
    energies, forces, cells, virials = (array(name) for name in ("energy", "force", "box", "virial"))
    for number in range(count):
        # A mixed system may be padded with atoms of type -1.
        real = rows[number] >= 0
        frame = Atoms(elements[rows[number][real]].tolist(), positions[number].reshape(-1, 3)[real])
        mine = provenance[number] if number < len(provenance) else {}
        if cells is not None and not (folder / NO_PBC).exists():
            frame.cell, frame.pbc = cells[number].reshape(3, 3), True
        if "cell" in mine:
            frame.cell, frame.pbc = mine["cell"], mine["pbc"]
        label = make_label(
            frame,
            None if energies is None else energies.ravel()[number],
            None if forces is None else forces[number].reshape(-1, 3)[real],
            None if virials is None else _stress(virials[number], frame),
            mine,
        )
        yield Reading(folder, f"{part.name}, frame {number}", label)


def _stress(virial: np.ndarray, frame: Atoms) -> np.ndarray:
    return np.asarray(-full_3x3_to_voigt_6_stress(virial.reshape(3, 3)) / frame.get_volume())


def in_order(readings: list[Reading], folders: Sequence[Path]) -> list[Reading]:
    """Readings of several systems in the order in which we exported them; as they are where others wrote them."""
    stated = [folder / PROVENANCE_FILE for folder in folders]
    if not all(path.is_file() for path in stated):
        return readings
    places = [int(entry["index"]) for path in stated for entry in json.loads(path.read_text())]
    if sorted(places) != list(range(len(readings))):
        return readings
    return [reading for _, reading in sorted(zip(places, readings, strict=True), key=lambda pair: pair[0])]


def write_npy(labels: Sequence[Label], directory: Path, mixed: bool) -> None:
    """Write one system per list of atoms, or per number of atoms where `mixed`.

    Unlike the folders that a training reads, these carry where each label comes from, and true cells of molecules.
    """
    elements = [chemical_symbols[z] for z in sorted({int(z) for label in labels for z in label.frame.numbers})]
    for number, (first, members) in enumerate(alike(labels, by_order=not mixed)):
        name = f"{len(first.frame):04d}_atoms" if mixed else first.frame.get_chemical_formula()
        _write_system(first, members, elements, directory / f"{number:03d}_{name}", mixed)


def _write_system(first: Label, members: Sequence[Indexed], elements: list[str], system: Path, mixed: bool) -> None:
    arrays = system / "set.000"
    arrays.mkdir(parents=True)
    labels = [label for _, label in members]
    count = len(labels)
    types = np.array([[elements.index(symbol) for symbol in label.frame.symbols] for label in labels], dtype=int)
    np.savetxt(system / TYPES, np.zeros_like(types[0]) if mixed else types[0], fmt="%d")
    (system / TYPE_MAP).write_text("".join(f"{symbol}\n" for symbol in elements))
    periodic = bool(first.frame.pbc.any())
    if not periodic:
        (system / NO_PBC).touch()
    if mixed:
        np.save(arrays / MIXED_TYPES, types.astype(np.int32))
    boxes = np.array([label.frame.cell.array if periodic else np.eye(3) for label in labels])
    np.save(arrays / "box.npy", boxes.reshape(count, 9))
    np.save(arrays / "coord.npy", np.array([label.frame.positions for label in labels]).reshape(count, -1))
    np.save(arrays / "energy.npy", np.array([label.energy for label in labels], dtype=float))
    np.save(arrays / "force.npy", np.array([label.forces for label in labels], dtype=float).reshape(count, -1))
    if first.stress is not None:
        virials = [-voigt_6_to_full_3x3_stress(label.stress) * label.frame.get_volume() for label in labels]
        np.save(arrays / "virial.npy", np.array(virials).reshape(count, 9))
    stated = [_stated(index, label) for index, label in members]
    (system / PROVENANCE_FILE).write_text(json.dumps(stated))


def _stated(index: int, label: Label) -> dict[str, Any]:
    frame = label.frame
    place = {"index": index, "cell": frame.cell.array.tolist(), "pbc": frame.pbc.tolist()}
    return {**provenance_of(label), **place}
