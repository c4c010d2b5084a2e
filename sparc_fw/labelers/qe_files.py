"""The files of Quantum ESPRESSO's pw.x: its input, its XML, its pseudopotentials, its last words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree

INPUT = "pw.in"
OUTPUT = "pw.out"
PREFIX = "label"
CRASH = "CRASH"

_ERROR_BOX = re.compile(r"%{20,}\n(.*?)%{20,}", re.S)
# Matrices that become singular and bands that are not found: an SCF gone astray, which other settings may cure.
_ASTRAY = re.compile(
    r"Error in routine\s+(?:[cr]diaghg|p[cr]diaghg|c_bands|electrons)\b|too many bands are not converged"
)


@dataclass(frozen=True)
class Result:
    """What pw.x found.

    Attributes
    ----------
    energy : float
        eV; with smeared occupations the free energy, whose slope the forces are.
    forces : ndarray of shape (n_atoms, 3)
        eV/Å.
    stress : ndarray of shape (6,) or None
        eV/Å^3, ASE's sign and order.
    converged : bool
        Whether SCF converged.
    """

    energy: float
    forces: np.ndarray
    stress: np.ndarray | None
    converged: bool


def input_text(
    frame: Atoms,
    namelists: Mapping[str, Mapping[str, Any]],
    pseudopotentials: Mapping[str, str],
    kpoints: tuple[int, int, int] | None,
) -> str:
    """Input of pw.x; `kpoints` None is the gamma point alone, with real wavefunctions.

    Lengths are in bohr by ASE's constant, which converts the forces back.
    """
    from ase.io.espresso_namelist.namelist import Namelist

    symbols = sorted(set(frame.get_chemical_symbols()))
    sizes = {"nat": len(frame), "ntyp": len(symbols), "ibrav": 0}
    written: Any = Namelist({**namelists, "system": {**namelists["system"], **sizes}})
    lines = ["ATOMIC_SPECIES"]
    # Masses move nothing here.
    lines += [f"{symbol} 1.0 {pseudopotentials[symbol]}" for symbol in symbols]
    lines += ["K_POINTS gamma"] if kpoints is None else ["K_POINTS automatic", " ".join(map(str, kpoints)) + " 0 0 0"]
    lines += ["CELL_PARAMETERS bohr", *(_numbers(vector) for vector in frame.cell.array / Bohr)]
    lines += ["ATOMIC_POSITIONS bohr"]
    lines += [
        f"{symbol} {_numbers(place)}" for symbol, place in zip(frame.symbols, frame.positions / Bohr, strict=True)
    ]
    return "".join([str(written.to_string()), "\n".join(lines), "\n"])


def read_result(folder: Path) -> Result | None:
    """Read the XML of pw.x, where numbers have all their digits; None where it wrote no whole one."""
    path = folder / f"{PREFIX}.xml"
    try:
        output = ElementTree.parse(path).find("output")
    except (OSError, ElementTree.ParseError):
        return None
    if output is None:
        return None
    converged = output.findtext("convergence_info/scf_conv/convergence_achieved", "").strip() == "true"
    energy, forces = output.findtext("total_energy/etot"), output.findtext("forces")
    if energy is None or forces is None:
        return None
    stress = output.findtext("stress")
    return Result(
        energy=float(energy) * Hartree,
        forces=np.array(forces.split(), dtype=float).reshape(-1, 3) * (Hartree / Bohr),
        # pw.x has the sign of a pressure.
        stress=None if stress is None else -_floats(stress)[[0, 4, 8, 5, 2, 1]] * (Hartree / Bohr**3),
        converged=converged,
    )


def is_soft(path: Path) -> bool:
    """Whether a pseudopotential is ultrasoft or PAW, whose densities need a higher cut-off."""
    with path.open(encoding="utf-8", errors="replace") as file:
        head = file.read(200_000)
    return re.search(r"pseudo_type\s*=\s*\"(?:US|USPP|PAW)\"|Ultrasoft pseudopotential", head) is not None


def last_words(folder: Path) -> str:
    """The text in pw.x's box of an error, or else its last lines."""
    for name in (OUTPUT, CRASH):
        path = folder / name
        text = path.read_text(errors="replace") if path.exists() else ""
        found = _ERROR_BOX.findall(text)
        if found:
            return " ".join(found[-1].split())
    output = folder / OUTPUT
    lines = output.read_text(errors="replace").splitlines() if output.exists() else []
    return "\n".join([line for line in lines if line.strip()][-8:])


def scf_words(folder: Path) -> str:
    """What pw.x said of an SCF that failed, and how near it came."""
    text = (folder / OUTPUT).read_text(errors="replace")
    said = re.findall(r"convergence NOT achieved.*", text) or [last_words(folder)]
    accuracies = re.findall(r"estimated scf accuracy\s+<\s+(.+)", text)
    return f"{said[-1]}; last estimated accuracies {', '.join(accuracies[-3:]) or 'none'}"


def went_astray(folder: Path) -> bool:
    """Whether SCF failed: it did not converge, or its matrices became singular."""
    text = (folder / OUTPUT).read_text(errors="replace")
    return "convergence NOT achieved" in text or _ASTRAY.search(text) is not None


def _floats(text: str) -> np.ndarray:
    return np.array(text.split(), dtype=float)


def _numbers(values: Any) -> str:
    return " ".join(f"{value:.15f}" for value in values)
