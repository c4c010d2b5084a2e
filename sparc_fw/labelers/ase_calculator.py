"""Labels by any calculator of the Atomic Simulation Environment."""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from ase import Atoms
from pydantic import Field, field_validator

from sparc_fw.backend import package_version
from sparc_fw.child_process import clean_environment, last_lines
from sparc_fw.errors import InputError
from sparc_fw.labelers.ase_child import JOB, RESULT, find_calculator, with_electrons, write_job
from sparc_fw.labelers.base import Labeler, LabelerOptions, LabelError, Numbers, charge_and_spin, check_electrons
from sparc_fw.labelers.contents import with_contents
from sparc_fw.labelers.external import calculation_folder, run_program

LOG = "log"


class ASEOptions(LabelerOptions):
    """Options of the labeler ``ase``."""

    effort: ClassVar[frozenset[str]] = LabelerOptions.effort | {"timeout_seconds", "code_version"}

    kind: Literal["ase"] = "ase"
    calculator: str
    """ASE's name of a calculator (mopac, nwchem, orca, dftb, …), or module:Class of an installed package."""
    arguments: dict[str, Any] = {}
    """Its arguments; commands and profiles of this machine are the setting ``ase_calculators``."""
    electrons: Literal["unused", "initial", "arguments"] = "unused"
    """How the calculator learns charge and spin: not at all (frames with any are refused), from the atoms' initial
    charges and magnetic moments, or from "{charge}", "{spin}" and "{multiplicity}" among its arguments."""
    stress: bool = True
    """Whether the stress of periodic frames is asked for; false for calculators that have none."""
    not_converged_patterns: list[str] = []
    """Regular expressions; a calculation that leaves a text with one of them did not converge."""
    code_version: str | None = None
    """Version of the program that the calculator runs, which ASE does not know; recorded with each label."""
    timeout_seconds: float = Field(3600.0, gt=0)
    """Longest time of a label, s."""

    @field_validator("not_converged_patterns")
    @classmethod
    def _compile(cls, patterns: list[str]) -> list[str]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"found {pattern!r}, expected a regular expression: {error}") from error
        return patterns


class ASELabeler(Labeler[ASEOptions]):
    """Calculates each frame with a new calculator, in a process and a folder of its own.

    So nothing is handed on from one frame to the next, the time limit holds for every calculator, and one that crashes
    takes nothing with it. It costs the start of a Python interpreter per label.

    References
    ----------
    A. H. Larsen et al., J. Phys.: Condens. Matter 29 (2017) 273002.
    """

    Options: ClassVar[type[ASEOptions]] = ASEOptions
    packages: ClassVar[tuple[str, ...]] = ("ase",)
    code: ClassVar[str] = "ase"

    def missing(self) -> list[str]:
        """Say so where the calculator's package is not on this machine."""
        try:
            find_calculator(self.options.calculator)
        except InputError as error:
            return [f"labeler ase: {error}"]
        return []

    def version(self) -> str:
        """Versions of ASE, of the package that the calculator is from, and of its program as the options say."""
        known, program = calculator_version(self.options.calculator), self.options.code_version
        return known if program is None else f"{known}, program {program}"

    def keyed_version(self) -> str:
        """The version; where a program computes, its own must be among it."""
        from ase.calculators.calculator import FileIOCalculator
        from ase.calculators.genericfileio import GenericFileIOCalculator

        found = find_calculator(self.options.calculator)
        starts_program = isinstance(found, type) and issubclass(found, FileIOCalculator | GenericFileIOCalculator)
        of_machine = self.options.calculator in self.settings.ase_calculators
        if self.options.code_version is None and (starts_program or of_machine):
            raise InputError(
                f"labeler ase: key_with_version: found it without code_version, expected the version of the program "
                f"that {self.options.calculator!r} runs, which ASE does not know"
            )
        return super().keyed_version()

    def deciding(self) -> dict[str, Any]:
        """What decides the numbers: options, and files that the arguments name by absolute paths."""
        values = super().deciding()
        return values | {"arguments": with_contents(values["arguments"])}

    def check(self, frame: Atoms) -> None:
        """Raise `InputError` if there is no such calculator, or it gives no forces, stress, charge or spin."""
        options = self.options
        if options.key_with_version:
            self.keyed_version()
        found = find_calculator(options.calculator)
        wanted = ["energy", "forces"] + (["stress"] if frame.pbc.any() and options.stress else [])
        # Functions that make calculators do not tell.
        offered = getattr(found, "implemented_properties", wanted)
        absent = [name for name in wanted if name not in offered]
        if absent:
            hint = "; set 'stress: false' to do without" if absent == ["stress"] else ""
            raise InputError(
                f"labeler ase: calculator: {options.calculator!r} gives no {' and no '.join(absent)}{hint}"
            )
        check_told(frame, options.electrons == "unused")
        told = json.dumps(options.arguments)
        if options.electrons == "arguments" and not ("{charge}" in told and re.search("{(spin|multiplicity)}", told)):
            raise InputError(
                'labeler ase: arguments: found no "{charge}", or neither "{spin}" nor "{multiplicity}", expected them '
                "where electrons is 'arguments'"
            )

    def calculate(self, frame: Atoms) -> Numbers:
        """Energy (eV), forces (eV/Å), stress (eV/Å^3) where periodic, and one attempt."""
        check_told(frame, self.options.electrons == "unused")
        with calculation_folder(self, frame) as folder:
            write_job(folder, frame, self._job(frame))
            log = folder / LOG
            command = [sys.executable, "-m", "sparc_fw.labelers.ase_child"]
            environment = clean_environment(self.settings.threads)
            status = run_program(command, folder, environment, log, self.options.timeout_seconds)
            words = last_lines(log.read_text(errors="replace")) or "it said nothing"
            self._refuse_unconverged(folder)
            if status != 0:
                raise LabelError("crashed", f"{self.options.calculator} failed: {words}")
            result = json.loads((folder / RESULT).read_text())
            if "not_converged" in result:
                raise LabelError("not_converged", f"{self.options.calculator}: {result['not_converged']}")
        stress = np.array(result["stress"]) if "stress" in result else None
        return result["energy"], np.array(result["forces"]), stress, 1

    def _job(self, frame: Atoms) -> dict[str, Any]:
        charge, spin = charge_and_spin(frame)
        return {
            "calculator": self.options.calculator,
            "arguments": with_electrons(self.options.arguments, charge, spin),
            "machine": self.settings.ase_calculators.get(self.options.calculator, {}),
            "initial": self.options.electrons == "initial",
            "charge": charge,
            "spin": spin,
            "stress": bool(frame.pbc.any()) and self.options.stress,
        }

    def _refuse_unconverged(self, folder: Path) -> None:
        if not self.options.not_converged_patterns:
            return
        pattern = re.compile("|".join(f"(?:{pattern})" for pattern in self.options.not_converged_patterns))
        for path in sorted(folder.rglob("*")):
            if not path.is_file() or path.name == JOB:
                continue
            for line in path.read_text(errors="replace").splitlines():
                if pattern.search(line):
                    raise LabelError("not_converged", f"{self.options.calculator}: {path.name}: {line.strip()}")


def check_told(frame: Atoms, unused: bool) -> None:
    """Raise `InputError` for a molecule with impossible electrons, and for a charge or spin that nobody would use."""
    if unused:
        charge, spin = charge_and_spin(frame)
        if charge or spin:
            raise InputError(
                f"found a frame with charge {charge} and spin {spin}, which the calculator would not learn of; "
                "expected 0 and 0, or, with the labeler 'ase', 'electrons'"
            )
    elif not frame.pbc.any():
        check_electrons(frame)


def calculator_version(name: str) -> str:
    """Versions of ASE and of the distribution that holds a calculator."""
    ase = f"ase {package_version('ase')}"
    package = name.partition(":")[0].partition(".")[0] if ":" in name else "ase"
    others = [d for d in importlib.metadata.packages_distributions().get(package, []) if d != "ase"]
    return ", ".join([ase, *(f"{other} {package_version(other)}" for other in sorted(set(others)))])
