"""CP2K's output of one calculation of energy and forces, and the files of its molecular dynamics."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read
from ase.units import Bohr, GPa, Hartree

from sparc_fw.formats.base import Reading, make_label

CONVERGED = "SCF run converged"
NOT_CONVERGED = "SCF run NOT converged"
_NUMBER = r"[-+]?\d+\.\d+(?:[ED][-+]?\d+)?"
_ENERGY = re.compile(rf"ENERGY\| Total FORCE_EVAL .*?({_NUMBER})\s*$", re.M)
_VECTOR = re.compile(rf"^ CELL\| Vector [abc] \[angstrom\]:?\s+({_NUMBER})\s+({_NUMBER})\s+({_NUMBER})", re.M)
_COORDINATE = re.compile(rf"^\s+\d+\s+\d+\s+([A-Z][a-z]?)\s+\d+\s+({_NUMBER})\s+({_NUMBER})\s+({_NUMBER})", re.M)
# '# 1 1 H x y z' until version 2023, 'FORCES| 1 x y z |f|' since 2024, which is in hartree/bohr, too.
_OLD_FORCE = re.compile(rf"^\s+\d+\s+\d+\s+[A-Z][a-z]?\s+({_NUMBER})\s+({_NUMBER})\s+({_NUMBER})\s*$", re.M)
_NEW_FORCE = re.compile(rf"^ FORCES\|\s+\d+\s+({_NUMBER})\s+({_NUMBER})\s+({_NUMBER})\s", re.M)
_STRESS = re.compile(rf"^ STRESS\|\s+[xyz]\s+({_NUMBER})\s+({_NUMBER})\s+({_NUMBER})\s*$", re.M)


def read_cp2k(path: Path) -> list[Reading]:
    """The one configuration of an output with ``PRINT_LEVEL MEDIUM`` and printed forces.

    CP2K ends normally, with numbers, where its SCF did not converge; such an output is refused.
    """
    text = path.read_text(errors="replace")
    if NOT_CONVERGED in text or CONVERGED not in text:
        message = NOT_CONVERGED if NOT_CONVERGED in text else "found no SCF that converged"
        return [Reading(path, "", None, "not_converged", message)]
    energies = _ENERGY.findall(text)
    if len(energies) != 1:
        message = (
            f"found {len(energies)} total energies, expected one (RUN_TYPE ENERGY_FORCE); give the folder of a "
            "molecular dynamics run instead of its output"
        )
        return [Reading(path, "", None, "unreadable", message)]
    # The reference cell is printed under another name; a cell that is printed twice is printed the same.
    cell = np.array(_VECTOR.findall(text)[:3], dtype=float).reshape(-1, 3)
    atoms = _COORDINATE.findall(text.partition("ATOMIC COORDINATES IN")[2].partition("SCF PARAMETERS")[0])
    if len(cell) != 3 or not atoms:
        message = "found no cell or no coordinates (PRINT_LEVEL MEDIUM prints them)"
        return [Reading(path, "", None, "unreadable", message)]
    positions = np.array([atom[1:] for atom in atoms], dtype=float)
    frame = Atoms([atom[0] for atom in atoms], positions, cell=cell, pbc=_periodicity(text))
    label = make_label(
        frame,
        float(energies[0]) * Hartree,
        _forces(text, len(frame)),
        _stress(text),
        code="cp2k",
        version=_version(text),
    )
    return [Reading(path, "frame 0", label)]


def _forces(text: str, count: int) -> np.ndarray | None:
    part = text.partition("ATOMIC FORCES in")[2].partition("SUM OF ATOMIC FORCES")[0]
    rows = _OLD_FORCE.findall(part) or _NEW_FORCE.findall(text)
    return np.array(rows, dtype=float) * Hartree / Bohr if len(rows) == count else None


def _stress(text: str) -> np.ndarray | None:
    """Stress in ASE's order and sign: CP2K's is positive under compression."""
    part = text.partition("stress tensor [GPa]")[2]
    rows = _STRESS.findall(part)[:3]
    return -np.array(rows, dtype=float).flat[[0, 4, 8, 5, 2, 1]] * GPa if len(rows) == 3 else None


def dynamics_of(folder: Path) -> list[Path]:
    """The trajectories ``NAME-pos-1.xyz`` of CP2K in a folder that have forces, ``NAME-frc-1.xyz``, beside them."""
    return [path for path in sorted(folder.glob("*-pos-*.xyz")) if forces_of(path).is_file()]


def forces_of(trajectory: Path) -> Path:
    """Where CP2K writes the forces of a trajectory."""
    stem, _, number = trajectory.name.rpartition("-pos-")
    return trajectory.with_name(f"{stem}-frc-{number}")


def read_cp2k_dynamics(path: Path) -> list[Reading]:
    """Every step of a run whose output in the same folder says that its SCF converged.

    The energies are those of the trajectory's comments (``E = …``, hartree), the cell that of the output, which must
    not change.
    """
    output = next((p for p in sorted(path.parent.iterdir()) if p.is_file() and is_cp2k_output(p)), None)
    if output is None:
        return [
            Reading(path, "", None, "unreadable", "found no output of CP2K beside it, which has cell and convergence")
        ]
    text = output.read_text(errors="replace")
    frames, forces = read(path, index=":", format="xyz"), read(forces_of(path), index=":", format="xyz")
    energies = re.findall(rf"\bE =\s+({_NUMBER})", path.read_text())
    verdicts = [found == CONVERGED for found in re.findall(f"{CONVERGED}|{NOT_CONVERGED}", text)]
    cells = np.array(_VECTOR.findall(text), dtype=float).reshape(-1, 3, 3)
    if not len(frames) == len(forces) == len(energies) == len(verdicts):
        message = (
            f"found {len(frames)} frames, {len(forces)} of forces, {len(energies)} energies and {len(verdicts)} SCFs "
            f"in {output.name}, expected as many of each (EACH MD 1 for both trajectories)"
        )
        return [Reading(path, "", None, "unreadable", message)]
    if not len(cells) or np.ptp(cells, axis=0).any():
        return [
            Reading(
                path,
                "",
                None,
                "unreadable",
                f"{output.name}: found no cell (PRINT_LEVEL MEDIUM prints it), or one that changes",
            )
        ]
    readings = []
    for number, frame in enumerate(frames):
        if not verdicts[number]:
            readings.append(Reading(path, f"step {number}", None, "not_converged", NOT_CONVERGED))
            continue
        # ASE reads the forces' file, in hartree/bohr, as if it held positions.
        slopes = forces[number].positions * Hartree / Bohr
        periodic = Atoms(frame.symbols, frame.positions, cell=cells[0], pbc=_periodicity(text))
        label = make_label(periodic, float(energies[number]) * Hartree, slopes, code="cp2k", version=_version(text))
        readings.append(Reading(path, f"step {number}", label))
    return readings


def is_cp2k_output(path: Path) -> bool:
    """Whether a text file begins as CP2K's output does."""
    with path.open("rb") as stream:
        return b" CP2K| version string" in stream.read(8000)


def _periodicity(text: str) -> list[bool]:
    axes = re.search(r"CELL\| Periodicity\s+(\w+)", text)
    return [axis in (axes[1].upper() if axes else "XYZ") for axis in "XYZ"]


def _version(text: str) -> str:
    version = re.search(r"CP2K\| version string:\s+CP2K version (\S+)", text)
    return version[1] if version else ""
