"""VASP's outputs: vasprun.xml, OUTCAR, and the folders of runs that hold them, also compressed (atomate)."""

from __future__ import annotations

import gzip
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import read
from ase.units import GPa

from sparc_fw.documents import Label
from sparc_fw.formats.base import Reading, make_label

VASPRUN = re.compile(r"^vasprun(\.[\w-]+)*\.xml(\.[\w-]+)*$|\.vasprun\.xml(\.gz)?$", re.I)
OUTCAR = re.compile(r"^OUTCAR(\.[\w-]+)*$|\.OUTCAR(\.gz)?$", re.I)
SORT_FILE = "ase-sort.dat"
KBAR = 0.1 * GPa


def run_of(folder: Path) -> list[Path]:
    """The output of each run in a folder (``relax1``, ``relax2``, … of atomate are runs of their own)."""
    names = sorted(path for path in folder.iterdir() if path.is_file())
    return [p for p in names if VASPRUN.search(p.name)] or [p for p in names if OUTCAR.search(p.name)]


def read_vasprun(path: Path) -> list[Reading]:
    """Every ionic step of a ``vasprun.xml``; where the file is cut off, of the OUTCAR beside it.

    The energy is VASP's free energy (TOTEN), whose slope the forces are; an ionic step that used up NELM electronic
    steps is not converged.
    """
    from pymatgen.io.vasp.outputs import Vasprun

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = Vasprun(path, parse_dos=False, parse_eigen=False, parse_potcar_file=False)
    except Exception as error:
        # A run that was killed leaves XML that ends anywhere; the parser raises what it stumbles on.
        fallback = next((p for p in sorted(path.parent.iterdir()) if OUTCAR.search(p.name)), None)
        if fallback is None:
            return [Reading(path, "", None, "unreadable", f"{type(error).__name__}: {error}")]
        return read_outcar(fallback)
    order = _original_order(path.parent)
    limit = int(run.parameters.get("NELM", 60))
    return [_step(path, number, step, limit, order, run.vasp_version) for number, step in enumerate(run.ionic_steps)]


def _step(path: Path, number: int, step: dict[str, Any], limit: int, order: np.ndarray | None, version: str) -> Reading:
    place = f"ionic step {number}"
    electronic = len(step["electronic_steps"])
    if electronic >= limit:
        message = f"found {electronic} electronic steps, expected fewer than NELM = {limit}"
        return Reading(path, place, None, "not_converged", message)
    structure = step["structure"]
    symbols = [site.specie.symbol for site in structure]
    frame = Atoms(symbols, structure.cart_coords, cell=structure.lattice.matrix, pbc=True)
    stress = step.get("stress")
    # VASP prints kbar with the opposite sign, as a matrix.
    voigt = None if stress is None else -KBAR * np.asarray(stress, dtype=float).flat[[0, 4, 8, 5, 2, 1]]
    return Reading(path, place, _ordered(frame, step.get("e_fr_energy"), step.get("forces"), voigt, order, version))


def read_outcar(path: Path) -> list[Reading]:
    """Every ionic step of an OUTCAR that said that its electronic steps converged."""
    frames = read(path, index=":", format="vasp-out")
    with _opener(path)(path, "rt", errors="replace") as stream:
        version, converged = _scan_outcar(stream)
    order = _original_order(path.parent)
    readings = []
    for number, frame in enumerate(frames):
        place = f"ionic step {number}"
        # The last step of a run that was killed has no verdict.
        if number >= len(converged) or not converged[number]:
            message = "VASP did not say that EDIFF was reached"
            readings.append(Reading(path, place, None, "not_converged", message))
            continue
        results = frame.calc.results if frame.calc is not None else {}
        energy, forces, stress = (results.get(name) for name in ("free_energy", "forces", "stress"))
        readings.append(Reading(path, place, _ordered(frame, energy, forces, stress, order, version)))
    return readings


def _scan_outcar(lines: Iterator[str]) -> tuple[str, list[bool]]:
    """Version of VASP, and whether EDIFF was reached in each ionic step."""
    version, converged, reached = "", [], False
    for line in lines:
        if not version and line.lstrip().startswith("vasp."):
            version = line.split()[0].removeprefix("vasp.")
        elif "aborting loop" in line and "EDIFF" in line:
            reached = "is reached" in line
        elif "FREE ENERGIE OF THE ION-ELECTRON SYSTEM" in line:
            converged.append(reached)
            reached = False
    return version, converged


def _ordered(frame: Atoms, energy: Any, forces: Any, stress: Any, order: np.ndarray | None, version: str) -> Label:
    """The label with atoms as they were before VASP wanted them sorted by element."""
    if order is not None and sorted(order.tolist()) == list(range(len(frame))):
        frame = frame[order]
        forces = None if forces is None else np.asarray(forces)[order]
    return make_label(frame, energy, forces, stress, code="vasp", version=version)


def _original_order(folder: Path) -> np.ndarray | None:
    """For each atom of the user's structure its place in VASP's files, where ASE wrote them."""
    path = folder / SORT_FILE
    return np.loadtxt(path, dtype=int, ndmin=2)[:, 1] if path.is_file() else None


def _opener(path: Path) -> Callable[..., Any]:
    return gzip.open if path.suffix == ".gz" else open
