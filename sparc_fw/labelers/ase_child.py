"""One calculation by an ASE calculator, in a process of its own: ``python -m sparc_fw.labelers.ase_child``."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, SCFError, get_calculator_class

from sparc_fw.encoding import pack_frames, unpack_frames
from sparc_fw.errors import InputError

JOB, FRAME, RESULT = "job.json", "frame.bin", "result.json"


def find_calculator(name: str) -> Callable[..., Calculator]:
    """A calculator class, or a function that makes a calculator, by ``module:name`` or by ASE's name.

    Raises
    ------
    InputError
        If there is none.
    """
    module, _, member = name.partition(":")
    try:
        found: Callable[..., Calculator] = (
            getattr(importlib.import_module(module), member) if member else get_calculator_class(name)
        )
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"calculator: found {name!r} ({type(error).__name__}: {error}), expected a name of "
            "ASE's (mopac, nwchem, …) or module:Class of an installed package"
        ) from error
    return found


def with_electrons(arguments: Any, charge: int, spin: int) -> Any:
    """Arguments with the values "{charge}", "{spin}" and "{multiplicity}" replaced by the frame's numbers."""
    if isinstance(arguments, dict):
        return {key: with_electrons(value, charge, spin) for key, value in arguments.items()}
    if isinstance(arguments, list):
        return [with_electrons(value, charge, spin) for value in arguments]
    numbers = {"{charge}": charge, "{spin}": spin, "{multiplicity}": spin + 1}
    return numbers.get(arguments, arguments) if isinstance(arguments, str) else arguments


def evaluate(frame: Atoms, calculator: Calculator, stress: bool) -> dict[str, Any]:
    """Energy (eV), forces (eV/Å) and, where asked for, stress (eV/Å^3) of a frame, as plain numbers.

    The energy is the one whose slope the forces are (ASE's ``free_energy``), where the calculator has it.
    """
    atoms = frame.copy()
    atoms.calc = calculator
    energy = atoms.get_potential_energy()
    # Looked up rather than asked for: many have it among their results and not in their list of properties.
    energy = calculator.results.get("free_energy", energy)
    forces = np.asarray(atoms.get_forces(apply_constraint=False))
    result = {"energy": float(energy), "forces": forces.tolist()}
    if stress:
        result["stress"] = np.asarray(atoms.get_stress(apply_constraint=False)).tolist()
    return result


def write_job(folder: Path, frame: Atoms, job: dict[str, Any]) -> None:
    """Write what `main` reads: the calculator, its arguments, and the frame to the bit."""
    (folder / JOB).write_text(json.dumps(job))
    (folder / FRAME).write_bytes(pack_frames([frame]))


def main() -> int:
    """Calculate the frame of the working directory; the calculator's own traceback is the last that is printed."""
    job = json.loads(Path(JOB).read_text())
    (frame,) = unpack_frames(Path(FRAME).read_bytes())
    if job["initial"]:
        frame.set_initial_charges(np.full(len(frame), job["charge"] / len(frame)))
        frame.set_initial_magnetic_moments(np.full(len(frame), job["spin"] / len(frame)))
    machine = dict(job["machine"])
    if "profile" in machine:
        machine = {"profile": find_calculator(machine.pop("profile"))(**machine)}
    calculator = find_calculator(job["calculator"])(**job["arguments"], **machine)
    try:
        result = evaluate(frame, calculator, job["stress"])
    except SCFError as error:
        result = {"not_converged": str(error) or "the calculator says that its SCF did not converge"}
    Path(RESULT).write_text(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
