"""Labels by CP2K: Gaussian and plane waves, for molecules and periodic systems, through one running process."""

from __future__ import annotations

import re
import tempfile
import time
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree
from pydantic import Field, model_validator
from typing_extensions import Self

from sparc_fw.errors import InputError, MissingDependency
from sparc_fw.labelers.base import Labeler, LabelerOptions, LabelError, Numbers, charge_and_spin, check_electrons
from sparc_fw.labelers.box import ISOLATED, periodicity, without_drift
from sparc_fw.labelers.cp2k_build import input_text, smears
from sparc_fw.labelers.cp2k_input import BUILT_IN, PLACES, SCF, parse_template, without
from sparc_fw.labelers.cp2k_output import OUTPUT, check_convergence, did_not_converge, last_words, read
from sparc_fw.labelers.cp2k_settings import deciding_part, limits, names_atoms, settings_tree
from sparc_fw.labelers.cp2k_shell import CP2KShell, ShellEnded, ShellLate
from sparc_fw.labelers.external import calculation_folder
from sparc_fw.labelers.program import first_output, program_environment, program_words

INPUT = "cp2k.inp"
ADVICE = "expected CP2K (Debian, Ubuntu: apt install cp2k)"

_MOST_FRAMES = 100
"""Calculations of one process: CP2K 2023.1 leaves a file open after each, and may have some hundreds open."""


class CP2KOptions(LabelerOptions):
    """Options of the labeler ``cp2k``: a template, and keys that change it."""

    kind: Literal["cp2k"] = "cp2k"
    text_files: ClassVar[dict[str, str]] = {"template_file": "template"}
    effort: ClassVar[frozenset[str]] = LabelerOptions.effort | {"max_scf", "timeout_seconds"}
    steering: ClassVar[frozenset[str]] = frozenset({"guess", "scf", "mixing_alpha"})

    template: str = ""
    """CP2K input without cell, coordinates, charge and multiplicity, which come from the frame; where neither this nor
    `template_file` is set, PBE/DZVP-MOLOPT-SR-GTH at 600 Ry. KIND DEFAULT serves elements without their own KIND."""
    template_file: str | None = None
    """A file with the template, relative to the campaign file, instead of the text."""
    functional: str | None = None
    """Functional as XC_FUNCTIONAL names it (PBE, BLYP, PBE0, …), with GTH potentials made for it; where unset, the
    template's."""
    basis_set: str | None = None
    """Basis set of all elements; where unset, the template's."""
    pseudo_potential: str | None = None
    """Pseudopotential of all elements; where unset, GTH-`functional`, or the template's."""
    cutoff_Ry: float | None = Field(None, gt=0)
    """Cut-off of the finest grid, Ry; where unset, the template's."""
    rel_cutoff: float | None = Field(None, gt=0)
    """Cut-off of the grid of a Gaussian with exponent 1, Ry; where unset, the template's."""
    scf: Literal["diagonalization", "ot"] | None = None
    """How SCF is done: by diagonalization, or by orbital transformation with up to 10 outer loops, for systems with a
    gap; where unset, as in the template."""
    guess: Literal["atomic", "core", "random"] | None = None
    """First density: of atoms, of the electrons among bare cores, or of random orbitals; where unset, the template's.
    Where there is more than one solution, another guess may find another one."""
    max_scf: int | None = Field(None, ge=1)
    """Most SCF steps, of each outer loop where there are any; where unset, the template's."""
    eps_scf: float | None = Field(None, gt=0)
    """SCF convergence, as CP2K's EPS_SCF; where unset, the template's."""
    smearing_K: float | None = Field(None, gt=0)
    """Electronic temperature of smeared (Fermi-Dirac) occupations, K, for metals; where unset, as in the template. A
    cell with spin 0 may then hold an odd number of electrons, whose spins share one Fermi level."""
    added_orbitals: int | None = Field(None, ge=1)
    """Orbitals beyond the occupied ones that smearing may fill; where unset, two for each atom, and 10 at least."""
    mixing_alpha: float | None = Field(None, gt=0, le=1)
    """Fraction of the new density in Broyden's mixing; where unset, mixing as in the template."""
    vacuum_A: float = Field(4.0, gt=0)
    """Empty space around a molecule or slab, Å. A molecule's box is a cube; boxes are doubled for the Poisson solvers
    MT and ANALYTIC, of which slabs (pbc true, true, false) have one."""
    overrides: dict[str, Any] = {}
    """Anything else of CP2K's input, section by section: ``{FORCE_EVAL: {DFT: {QS: {EPS_DEFAULT: 1.0e-14}}}}``. ``_``
    is a section's own parameter, null removes, a list repeats a keyword."""
    timeout_seconds: float = Field(3600.0, gt=0)
    """A calculation that takes longer fails, s."""

    @model_validator(mode="before")
    @classmethod
    def _template_is_written_down(cls, values: Any) -> Any:
        # What decides the numbers belongs into the hash of the options.
        if isinstance(values, dict) and not values.get("template") and not values.get("template_file"):
            return {**values, "template": BUILT_IN}
        return values

    def yielding(self, changes: dict[str, Any]) -> dict[str, Any]:
        """The overrides without what says the same as the keys of `changes`."""
        if "overrides" in changes:
            return {}
        paths = {path for key in changes for path in PLACES.get(key, ())}
        if changes.get("scf") == "ot":
            paths.add((*SCF, "MIXING"))
        return {"overrides": without(self.overrides, paths)}

    @model_validator(mode="after")
    def _template_can_be_read(self) -> Self:
        if self.template:
            try:
                parse_template(self.template)
            except ValueError as error:
                raise ValueError(f"template: {error}") from error
        return self


class CP2KLabeler(Labeler[CP2KOptions]):
    """DFT energies, forces and stresses of molecules, slabs (without stress) and crystals.

    CP2K is started once while the labeler is open. Each frame is loaded anew, from atomic densities and in an empty
    folder: it repeats to the last digit that CP2K hands out, whatever was calculated before. An SCF that did not
    converge is known by CP2K's output alone; its shell hands out the numbers all the same.

    With smeared occupations the energy is the free energy, whose slope the forces are.

    References
    ----------
    T. D. Kühne et al., J. Chem. Phys. 152 (2020) 194103; wavelets: L. Genovese et al., ibid. 125 (2006) 074105.
    """

    Options: ClassVar[type[CP2KOptions]] = CP2KOptions
    code: ClassVar[str] = "cp2k"
    own_retries: ClassVar[dict[Any, list[dict[str, Any]]]] = {
        "not_converged": [
            {"scf": "diagonalization", "mixing_alpha": 0.1, "max_scf": 200},
            {"scf": "ot", "max_scf": 40},
        ]
    }

    # The template's method is kept first: orbital transformation may not be for the system.
    rechecks: ClassVar[list[dict[str, Any]]] = [
        {"guess": "core", "eps_scf": 1e-7},
        {"guess": "random", "scf": "ot", "max_scf": 40},
        {"guess": "random", "eps_scf": 1e-7},
    ]

    _shell: CP2KShell | None = None
    _frames_of_shell: int = 0
    _accepted: frozenset[Any] = frozenset()

    @property
    def cores(self) -> int:
        """Processor cores that a calculation uses here."""
        return self.settings.cores or self.settings.threads

    def missing(self) -> list[str]:
        """Say so where there is no CP2K."""
        try:
            self._words()
        except MissingDependency as error:
            return [f"cp2k needs CP2K's shell: {error}"]
        return []

    def version(self) -> str:
        """Version of CP2K."""
        return _version(tuple(self._words()))

    def deciding(self) -> dict[str, Any]:
        """What decides the numbers: the input that template, keys and overrides come to, however they are written.

        The user's own files count by their content: those that the input names by absolute paths, and those in the
        folder of the setting `cp2k_data_dir`. Others are CP2K's own, of its version.
        """
        said = {*PLACES, "template", "template_file", "overrides"}
        values = {key: value for key, value in super().deciding().items() if key not in said}
        return values | {"input": deciding_part(self._tree, self.settings.cp2k_data_dir)}

    def effort(self) -> dict[str, Any]:
        """How much is tried for a number: options, and the limits that the input sets."""
        return super().effort() | {"input": limits(self._tree)}

    @cached_property
    def like_atoms_alike(self) -> bool:
        """They are where the input has nothing but what CP2K knows by element, or for all atoms."""
        return not names_atoms(self._tree)

    @cached_property
    def _tree(self) -> Any:
        return settings_tree(self.options)

    def _words(self) -> list[str]:
        return program_words("cp2k_command", self.settings.cp2k_command, ADVICE)

    def check(self, frame: Atoms) -> None:
        """Raise `InputError` if a frame can never be labelled: electrons, cell, or CP2K refuses the input.

        CP2K itself reads the input once for each composition, charge and spin: nobody else knows all its keys and
        which basis sets and potentials its files hold.
        """
        self._check_frame(frame)
        text = self.input_text(frame)
        odd = int(frame.numbers.sum()) % 2
        known = (frozenset(frame.symbols), *charge_and_spin(frame), odd, tuple(frame.pbc))
        if known in self._accepted or self.missing():
            return
        with tempfile.TemporaryDirectory(prefix="sparc_fw_check_") as folder:
            directory = Path(folder)
            (directory / INPUT).write_text(text)
            deadline = time.monotonic() + self.options.timeout_seconds
            try:
                shell = self._start(directory, deadline)
                try:
                    shell.ask(f"LOAD {INPUT} {OUTPUT}", deadline)
                finally:
                    shell.close()
            except (ShellEnded, ShellLate) as error:
                raise InputError(
                    f"labeler cp2k: CP2K refuses the input: {last_words(directory, str(error))}"
                ) from error
        self._accepted |= {known}

    def _check_frame(self, frame: Atoms) -> None:
        periodic = periodicity("cp2k", frame) != "molecule"
        # A metal's cell may hold an odd number of electrons without a magnetic moment.
        if not (periodic and charge_and_spin(frame)[1] == 0 and self._smears):
            check_electrons(frame, ", or set the labeler's 'smearing_K' for a metal" if periodic else "")

    @cached_property
    def _smears(self) -> bool:
        return smears(self.options)

    def input_text(self, frame: Atoms) -> str:
        """CP2K's input for a frame."""
        return input_text(self.options, frame)

    def calculate(self, frame: Atoms) -> Numbers:
        """Energy (eV), forces (eV/Å), stress (eV/Å^3) where periodic, and one attempt."""
        self._check_frame(frame)
        deadline = time.monotonic() + self.options.timeout_seconds
        with calculation_folder(self, frame) as folder:
            (folder / INPUT).write_text(self.input_text(frame))
            try:
                return self._evaluate(frame, folder, deadline)
            except ShellLate as error:
                limit = f"CP2K took longer than timeout_seconds, {self.options.timeout_seconds:g} s, in {folder}"
                raise LabelError("timeout", f"{limit}; its last words:\n{last_words(folder, '')}") from error
            except ShellEnded as error:
                if did_not_converge(read(folder)):
                    # From 2024.1 on CP2K ends where an SCF did not converge.
                    raise LabelError("not_converged", f"CP2K: {last_words(folder, str(error))}") from error
                raise LabelError("crashed", f"CP2K: {last_words(folder, str(error))}") from error

    def _evaluate(self, frame: Atoms, folder: Path, deadline: float) -> Numbers:
        """Load the input of a folder and evaluate it."""
        whole = False
        try:
            if self._shell is None:
                self._shell, self._frames_of_shell = self._start(self.directory or folder, deadline), 0
            shell = self._shell
            self._frames_of_shell += 1
            shell.ask(f"CD {folder}", deadline)
            number = shell.ask(f"LOAD {INPUT} {OUTPUT}", deadline)[-1]
            shell.ask(f"EVAL_EF {number}", deadline)
            energy = float(shell.ask(f"GET_E {number}", deadline)[-1])
            count, *lines = shell.ask(f"GET_F {number}", deadline)
            stress = shell.ask(f"GET_STRESS {number}", deadline)[-1]
            shell.ask(f"DESTROY {number}", deadline)
            whole = True
        finally:
            if not whole or self.directory is None or self._frames_of_shell >= _MOST_FRAMES:
                self._end_shell(kill=not whole)
        check_convergence(read(folder))
        forces = np.array(" ".join(lines[: int(count) // 3]).split(), dtype=float).reshape(-1, 3) * (Hartree / Bohr)
        repeats = periodicity("cp2k", frame)
        if repeats != "crystal":
            return energy * Hartree, without_drift(forces, ISOLATED[repeats]), None, 1
        # CP2K's stress is a pressure, of the opposite sign.
        tensor = -np.array(stress.split(), dtype=float) * (Hartree / Bohr**3)
        return energy * Hartree, forces, tensor[[0, 4, 8, 5, 2, 1]], 1

    def _start(self, directory: Path, deadline: float) -> CP2KShell:
        directory.mkdir(parents=True, exist_ok=True)
        words, folder = self._words(), self.settings.cp2k_data_dir
        extra = {} if folder is None else {"CP2K_DATA_DIR": str(folder)}
        return CP2KShell(words, program_environment(words, self.settings.threads, extra), directory, deadline)

    def _end_shell(self, kill: bool = False) -> None:
        shell, self._shell = self._shell, None
        if shell is not None:
            (shell.kill if kill else shell.close)()

    def close(self) -> None:
        """End the running CP2K."""
        self._end_shell()


@cache
def _version(words: tuple[str, ...]) -> str:
    text = first_output((*(word for word in words if word not in ("-s", "--shell")), "--version"))
    found = re.search(r"CP2K version (\S+)", text)
    return found[1] if found else "unknown"
