"""VASP's output: ``vasprun.xml``, or OUTCAR where that is not whole."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.geometry import find_mic
from ase.units import GPa

from sparc_fw.labelers.base import LabelError

TOLERANCE_A = 1e-3
"""VASP writes positions with eight digits of the cell vectors; any other frame's atoms are farther away."""
_VERSION = re.compile(r"^\s*vasp\.(\S+)", re.MULTILINE)
_CONVERGED = "aborting loop because EDIFF is reached"


@dataclass(frozen=True)
class VASPOutput:
    """What a calculation gave, atoms in the order of the POSCAR.

    Attributes
    ----------
    energy : float
        Free energy, whose slope the forces are (``e_fr_energy``, TOTEN), eV.
    forces : ndarray of shape (n_atoms, 3)
        eV/Å.
    stress : ndarray of shape (6,) or None
        ASE's sign and order, eV/Å^3.
    """

    energy: float
    forces: np.ndarray
    stress: np.ndarray | None
    converged: bool
    electronic_steps: str
    version: str
    positions: np.ndarray
    symbols: list[str]


def read_output(folder: Path) -> VASPOutput | None:
    """What a folder's output says; None where neither file holds energy and forces."""
    if (folder / "vasprun.xml").is_file():
        found = _vasprun(folder / "vasprun.xml")
        if found is not None:
            return found
    return _outcar(folder / "OUTCAR") if (folder / "OUTCAR").is_file() else None


def _vasprun(path: Path) -> VASPOutput | None:
    from pymatgen.io.vasp.outputs import Vasprun

    with warnings.catch_warnings():
        # That it did not converge is told by the label.
        warnings.simplefilter("ignore", Warning)
        try:
            run = Vasprun(
                str(path), parse_dos=False, parse_eigen=False, parse_potcar_file=False, exception_on_bad_xml=True
            )
        except (SyntaxError, AttributeError, IndexError, KeyError, ValueError):
            # Cut short, by whatever ended VASP (lxml calls that a SyntaxError): OUTCAR may still tell.
            return None
    last: dict[str, Any] = run.ionic_steps[-1]
    if "forces" not in last or "e_fr_energy" not in last:
        return None
    stress = np.asarray(last["stress"]) if "stress" in last else None
    return VASPOutput(
        energy=float(last["e_fr_energy"]),
        forces=np.asarray(last["forces"], dtype=float),
        # VASP: kB, positive where the crystal would expand.
        stress=-0.1 * GPa * stress.flat[[0, 4, 8, 5, 2, 1]] if stress is not None else None,
        converged=bool(run.converged_electronic),
        electronic_steps=f"{len(last['electronic_steps'])} of NELM = {run.parameters['NELM']} electronic steps",
        version=str(run.vasp_version).strip(),
        positions=np.asarray(run.structures[-1].cart_coords),
        symbols=[site.specie.symbol for site in run.structures[-1]],
    )


def _outcar(path: Path) -> VASPOutput | None:
    from ase.io import ParseError, read

    text = path.read_text(errors="replace")
    try:
        atoms = read(path, format="vasp-out", index=-1)
    except (ParseError, IndexError, ValueError, KeyError, AttributeError):
        # A calculation that ended before its first energy; the caller says so.
        return None
    results = atoms.calc.results
    if "free_energy" not in results or "forces" not in results:
        return None
    version = _VERSION.search(text)
    return VASPOutput(
        energy=float(results["free_energy"]),
        forces=np.asarray(results["forces"]),
        stress=np.asarray(results["stress"]) if "stress" in results else None,
        converged=_CONVERGED in text,
        electronic_steps="all electronic steps",
        version=version.group(1) if version else "unknown",
        positions=atoms.positions,
        symbols=atoms.get_chemical_symbols(),
    )


def refuse_other_atoms(output: VASPOutput, expected: Atoms) -> None:
    """Raise `LabelError` where the output belongs to other atoms than the input, by whatever mistake."""
    if output.symbols != expected.get_chemical_symbols():
        raise LabelError(
            "crashed", f"VASP's output holds the atoms {output.symbols}, expected {expected.get_chemical_symbols()}"
        )
    moved = find_mic(output.positions - expected.positions, expected.cell, pbc=True)[1]
    if moved.max(initial=0.0) > TOLERANCE_A:
        raise LabelError(
            "crashed", f"VASP's output holds atom {int(moved.argmax())} {moved.max():.4f} Å away from the POSCAR's"
        )
