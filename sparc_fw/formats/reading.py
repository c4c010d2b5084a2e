"""Any file or folder of labelled configurations: found out what it is, and read."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io.formats import UnknownFileTypeError, filetype

from sparc_fw.errors import InputError, MissingDependency
from sparc_fw.formats.ase_files import read_ase, read_database
from sparc_fw.formats.base import Reading, make_label
from sparc_fw.formats.cp2k import dynamics_of, forces_of, is_cp2k_output, read_cp2k, read_cp2k_dynamics
from sparc_fw.formats.deepmd import in_order, is_system, read_system
from sparc_fw.formats.espresso import read_espresso
from sparc_fw.formats.vasp import OUTCAR, VASPRUN, read_outcar, read_vasprun, run_of

KINDS = ("extxyz", "traj", "ase-db", "vasprun", "outcar", "deepmd", "ani", "cp2k", "cp2k-md", "espresso")
"""Formats that have a reader of their own; ``dpdata:NAME`` and ``ase:NAME`` are those packages' formats."""

SUFFIXES = {".extxyz": "extxyz", ".xyz": "extxyz", ".traj": "traj", ".db": "ase-db", ".h5": "ani", ".hdf5": "ani"}
"""What a file's ending says without a look inside."""
FOLDER_SUFFIXES = (*SUFFIXES, ".pwo")
"""Files that are taken from a folder, beside outputs of VASP, CP2K and Quantum ESPRESSO."""


def read_labels(
    path: Path, kind: str | None = None, energy_key: str | None = None, forces_key: str | None = None
) -> list[Reading]:
    """Everything that a file or a folder, with the folders below it, holds.

    Parameters
    ----------
    kind : str, optional
        One of `KINDS`, ``ase:NAME`` or ``dpdata:NAME``; found out where unset.
    energy_key, forces_key : str, optional
        Other names of energy and forces in extended XYZ and HDF5 files.

    Raises
    ------
    InputError
        If there is no such file, or a folder has nothing that can be read.
    MissingDependency
        If a package is not installed that the format needs.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if path.is_dir() and kind is None:
        return _read_folder(path, partial(read_labels, energy_key=energy_key, forces_key=forces_key))
    chosen = kind or kind_of(path)
    return _try(_reader(chosen, energy_key, forces_key), path, chosen)


def kind_of(path: Path) -> str:
    """What a file is, by its name where that says, by its content otherwise; ``ase:NAME`` where ASE knows."""
    if VASPRUN.search(path.name):
        return "vasprun"
    if OUTCAR.search(path.name):
        return "outcar"
    if path.suffix in SUFFIXES:
        return SUFFIXES[path.suffix]
    # ASE takes CP2K's output for Quantum ESPRESSO's.
    if is_cp2k_output(path):
        return "cp2k"
    try:
        found = str(filetype(str(path)))
    except UnknownFileTypeError:
        return "unknown"
    return {"espresso-out": "espresso", "vasp-xml": "vasprun", "vasp-out": "outcar"}.get(found, f"ase:{found}")


def _reader(kind: str, energy_key: str | None, forces_key: str | None) -> Callable[[Path], list[Reading]]:
    family, _, name = kind.partition(":")
    if family == "ase":
        return partial(read_ase, kind=name, energy_key=energy_key, forces_key=forces_key)
    if family == "dpdata":
        return partial(_read_dpdata, name=name)
    if kind == "ani":
        from sparc_fw.formats.ani import read_ani

        return partial(read_ani, energy_key=energy_key, forces_key=forces_key)
    readers: dict[str, Callable[[Path], list[Reading]]] = {
        "extxyz": partial(read_ase, kind="extxyz", energy_key=energy_key, forces_key=forces_key),
        "traj": partial(read_ase, kind="traj"),
        "ase-db": read_database,
        "vasprun": read_vasprun,
        "outcar": read_outcar,
        "deepmd": read_system,
        "cp2k": read_cp2k,
        "cp2k-md": read_cp2k_dynamics,
        "espresso": read_espresso,
    }
    if kind not in readers:
        known = ", ".join([*KINDS, "ase:NAME", "dpdata:NAME"])
        raise InputError(f"format {kind!r}: found no reader for it, expected one of {known} (--format)")
    return readers[kind]


def _read_folder(path: Path, read: Callable[[Path], list[Reading]]) -> list[Reading]:
    """All that a folder and those below it hold, in the order of their names."""
    systems = [folder for folder in _folders(path) if is_system(folder)]
    readings = in_order([reading for system in systems for reading in _try(read_system, system, "deepmd")], systems)
    for folder in _folders(path):
        if is_system(folder) or folder.parent in systems:
            continue
        for trajectory in dynamics_of(folder):
            readings += _try(read_cp2k_dynamics, trajectory, "cp2k-md")
        for file in run_of(folder) or _files(folder):
            readings += read(file)
    if not readings:
        raise InputError(f"{path}: found nothing in this folder or below that can be read")
    return readings


def _try(read: Callable[[Path], list[Reading]], path: Path, kind: str) -> list[Reading]:
    """What a reader finds; what is wrong with the file, other than with the command or this machine, is a reading."""
    try:
        return read(path)
    except (InputError, MissingDependency):
        raise
    except Exception as error:
        # Parsers raise whatever they stumble on; one broken file must not hide what the others hold.
        return [Reading(path, "", None, "unreadable", f"as {kind}: {type(error).__name__}: {error}")]


def _folders(path: Path) -> Iterator[Path]:
    yield path
    for folder in sorted(child for child in path.iterdir() if child.is_dir()):
        yield from _folders(folder)


def _files(folder: Path) -> list[Path]:
    """The files of a folder that hold labels; whatever else lies there is none of ours."""
    dynamics = dynamics_of(folder)
    parts = {file for trajectory in dynamics for file in (trajectory, forces_of(trajectory))}
    found = []
    for path in sorted(child for child in folder.iterdir() if child.is_file()):
        output = path.suffix in (".out", ".log") and kind_of(path) in ("cp2k", "espresso")
        if (path.suffix in FOLDER_SUFFIXES and path not in parts) or (output and not dynamics):
            found.append(path)
    return found


def _read_dpdata(path: Path, name: str) -> list[Reading]:
    """Every frame of a format of dpdata, which does not tell whether an SCF converged.

    References
    ----------
    https://docs.deepmodeling.com/projects/dpdata/en/master/formats.html
    """
    if importlib.util.find_spec("dpdata") is None:
        raise MissingDependency("formats dpdata:… need the Python package 'dpdata': pip install 'sparc_fw[formats]'")
    import dpdata

    data = dpdata.LabeledSystem(str(path), fmt=name).data
    symbols = [str(data["atom_names"][kind]) for kind in data["atom_types"]]
    readings = []
    for number, positions in enumerate(data["coords"]):
        frame = Atoms(symbols, positions, cell=data["cells"][number], pbc=not data.get("nopbc", False))
        stress = None
        if "virials" in data:
            stress = -np.asarray(data["virials"][number]).flat[[0, 4, 8, 5, 2, 1]] / frame.get_volume()
        label = make_label(frame, data["energies"][number], data["forces"][number], stress, code=name)
        readings.append(Reading(path, f"frame {number}", label))
    return readings
