"""Labels by Quantum ESPRESSO's pw.x: plane waves and pseudopotentials, for periodic systems and molecules in a box."""

from __future__ import annotations

import re
from functools import cache, cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from ase import Atoms
from pydantic import Field, field_validator

from sparc_fw.documents import json_hash
from sparc_fw.errors import InputError, MissingDependency
from sparc_fw.labelers import qe_files
from sparc_fw.labelers.base import Labeler, LabelerOptions, LabelError, Numbers, charge_and_spin, check_electrons
from sparc_fw.labelers.box import ISOLATED, Periodicity, boxed, periodicity, slab_box, without_drift
from sparc_fw.labelers.contents import file_sha256
from sparc_fw.labelers.external import calculation_folder, run_program
from sparc_fw.labelers.program import first_output, program_environment, program_words
from sparc_fw.labelers.qe_namelists import OWN_KEYS, WORDS, make_namelists, names_atoms, refuse_other_electrons, without

ADVICE = "expected pw.x (Debian, Ubuntu: apt install quantum-espresso)"
LEAST_HEIGHT_A = 11.0
"""pw.x wants the images of a slab twice 10 bohr apart, where it cuts pseudopotentials off."""


class QEOptions(LabelerOptions):
    """Options of the labeler ``qe``."""

    effort: ClassVar[frozenset[str]] = LabelerOptions.effort | {"electron_maxstep", "timeout_seconds"}
    steering: ClassVar[frozenset[str]] = frozenset(
        {"mixing_beta", "diagonalization", "starting_density", "starting_wavefunctions"}
    )

    kind: Literal["qe"] = "qe"
    pseudopotentials: dict[str, str] = {}
    """File name of each element's pseudopotential, in the folder of the setting `pseudo_dir`; they decide the
    functional."""
    ecutwfc_Ry: float = Field(60.0, gt=0)
    """Cut-off of the wavefunctions, Ry."""
    ecutrho_Ry: float | None = Field(None, gt=0)
    """Cut-off of the density, Ry; where unset, 4 times the one of the wavefunctions, which norm-conserving
    pseudopotentials need. Ultrasoft and PAW ones need 8 to 12 times, to be set here."""
    kpoint_spacing_per_A: float = Field(0.25, gt=0)
    """Largest distance of k-points along each reciprocal vector (with its 2π), 1/Å; molecules have gamma alone."""
    kpoints: tuple[int, int, int] | None = None
    """Grid of k-points, centred on gamma, instead of the one from the distance."""
    smearing: Literal["gaussian", "methfessel-paxton", "marzari-vanderbilt", "fermi-dirac"] | None = None
    """Smeared occupations; where unset, whole ones, for systems with a gap."""
    smearing_width_eV: float = Field(0.1, gt=0)
    """Width of the smearing, eV."""
    vacuum_A: float = Field(6.0, gt=0)
    """Empty space around a molecule or slab, Å; with martyna-tuckerman and for slabs the box is twice as wide as needed
    for half of it."""
    assume_isolated: Literal["none", "makov-payne", "martyna-tuckerman"] = "martyna-tuckerman"
    """Correction for the images of a molecule; those of a slab (pbc true, true, false) are cut off unless it is none,
    where slabs are repeated as their cell says."""
    conv_thr_Ry: float = Field(1e-9, gt=0)
    """SCF convergence of the energy, Ry."""
    electron_maxstep: int = Field(100, ge=1)
    """Most SCF iterations."""
    mixing_beta: float = Field(0.7, gt=0, le=1)
    """Fraction of the new density in mixing."""
    diagonalization: Literal["david", "cg", "ppcg", "paro"] = "david"
    """Eigenvalue solver."""
    starting_density: Literal["atoms", "ions"] = "atoms"
    """First density: of neutral atoms, or of elements with charges of +0.5 and -0.5 e in turn, for which pw.x 6.5 or
    later is needed. Where there is more than one solution, another start may find another one."""
    starting_wavefunctions: Literal["atomic", "atomic+random", "random"] = "atomic+random"
    """First wavefunctions."""
    namelists: dict[Literal["control", "system", "electrons"], dict[str, Any]] = {}
    """Anything else of pw.x's namelists, over what the keys above say: ``{system: {input_dft: rpbe}}``."""
    timeout_seconds: float = Field(3600.0, gt=0)
    """A calculation that takes longer fails, s."""

    @field_validator("namelists", mode="after")
    @classmethod
    def _own_keys_stay(cls, namelists: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        for name, values in namelists.items():
            for key, value in values.items():
                if key.lower() in OWN_KEYS:
                    raise ValueError(f"{name}.{key}: the labeler sets it")
                if not isinstance(value, bool | int | float | str):
                    raise ValueError(f"{name}.{key}: found {value!r}, expected a number, text or true/false")
        return namelists

    def yielding(self, changes: dict[str, Any]) -> dict[str, Any]:
        """The namelists without what says the same as the keys of `changes`."""
        return {} if "namelists" in changes else {"namelists": without(self.namelists, changes)}


class QELabeler(Labeler[QEOptions]):
    """DFT energies, forces and stresses of molecules, slabs (without stress) and crystals.

    Every frame starts from atomic densities, never from the density of the frame before: SCF ends where it is within
    `conv_thr_Ry`, and that place depends on where it began. With smeared occupations the energy is the free energy F
    = E - TS, whose slope the forces are.

    References
    ----------
    P. Giannozzi et al., J. Phys.: Condens. Matter 29 (2017) 465901; isolated molecules: G. J. Martyna and M. E.
    Tuckerman, J. Chem. Phys. 110 (1999) 2810; slabs: T. Sohier et al., Phys. Rev. B 96 (2017) 075448.
    """

    Options: ClassVar[type[QEOptions]] = QEOptions
    code: ClassVar[str] = "quantum-espresso"
    own_retries: ClassVar[dict[Any, list[dict[str, Any]]]] = {
        "not_converged": [
            {"mixing_beta": 0.3},
            {"mixing_beta": 0.1, "electron_maxstep": 200},
            {"mixing_beta": 0.1, "electron_maxstep": 200, "diagonalization": "cg"},
        ]
    }

    rechecks: ClassVar[list[dict[str, Any]]] = [
        {"starting_density": "ions", "starting_wavefunctions": "random", "mixing_beta": 0.3, "conv_thr_Ry": 1e-10},
        {"starting_wavefunctions": "random", "mixing_beta": 0.3, "conv_thr_Ry": 1e-10},
    ]

    @property
    def cores(self) -> int:
        """Processor cores that a calculation uses here."""
        return self.settings.cores or self.settings.threads

    def missing(self) -> list[str]:
        """Say so where there is no pw.x, or not all the pseudopotentials."""
        lacking = []
        try:
            self._words()
        except MissingDependency as error:
            lacking.append(f"qe needs Quantum ESPRESSO: {error}")
        return lacking + self._missing_pseudopotentials()

    def _missing_pseudopotentials(self) -> list[str]:
        folder = self.settings.pseudo_dir
        return [
            f"pseudo_dir: found no file {folder / name}, the pseudopotential of {symbol}: put it there, or set "
            "SPARC_FW_PSEUDO_DIR to where it is"
            for symbol, name in sorted(self.options.pseudopotentials.items())
            if not (folder / name).is_file()
        ]

    def deciding(self) -> dict[str, Any]:
        """What decides the numbers: options, and what is in the pseudopotentials, not what they are called.

        Raises
        ------
        MissingDependency
            If a pseudopotential is not here.
        """
        missing = self._missing_pseudopotentials()
        if missing:
            raise MissingDependency("; ".join(missing))
        table = self.options.pseudopotentials
        files = {symbol: file_sha256(self.settings.pseudo_dir / name) for symbol, name in table.items()}
        return super().deciding() | {"pseudopotentials": files}

    @cached_property
    def like_atoms_alike(self) -> bool:
        """They are, as pw.x numbers elements, unless its namelists number atoms.

        Its forces know the order by their noise: on water and its cation, at 20 Ry, those of two orders differ by up to
        3e-4 eV/Å (with `conv_thr_Ry` at 1e-11 by 1e-4), the energies by 1e-7 eV.
        """
        return not names_atoms(self.options.namelists)

    def version(self) -> str:
        """Version of pw.x."""
        return _version(tuple(self._words()))

    def _words(self) -> list[str]:
        return program_words("pw_command", self.settings.pw_command, ADVICE)

    def check(self, frame: Atoms) -> None:
        """Raise `InputError` if a frame can never be labelled: electrons, cell, pseudopotentials, their cut-off."""
        refuse_other_electrons(self.options.namelists, frame)
        periodic = self._periodicity(frame) != "molecule"
        # A metal's cell may hold an odd number of electrons without a magnetic moment.
        if not (periodic and self.options.smearing is not None and charge_and_spin(frame)[1] == 0):
            check_electrons(frame, ", or set the labeler's 'smearing' for a metal" if periodic else "")
        table = self.options.pseudopotentials
        for symbol in sorted(set(frame.get_chemical_symbols())):
            if symbol not in table:
                raise InputError(
                    f"labeler qe: pseudopotentials: found none for element {symbol}, only for "
                    f"{', '.join(table) or 'no element'}; expected the name of its UPF file"
                )
            path = self.settings.pseudo_dir / table[symbol]
            if self.options.ecutrho_Ry is None and path.is_file() and qe_files.is_soft(path):
                raise InputError(
                    f"labeler qe: ecutrho_Ry: found it unset with {table[symbol]}, which is ultrasoft or PAW; expected "
                    f"8 to 12 times ecutwfc_Ry, {8 * self.options.ecutwfc_Ry:g} to {12 * self.options.ecutwfc_Ry:g}"
                )

    def calculate(self, frame: Atoms) -> Numbers:
        """Energy (eV), forces (eV/Å), stress (eV/Å^3) where periodic, and one attempt."""
        self.check(frame)
        words = self._words()
        with calculation_folder(self, frame) as folder:
            (folder / qe_files.INPUT).write_text(self.input_text(frame))
            status = run_program(
                [*words, "-in", qe_files.INPUT],
                folder,
                program_environment(words, self.settings.threads),
                folder / qe_files.OUTPUT,
                self.options.timeout_seconds,
            )
            result = qe_files.read_result(folder)
            if qe_files.went_astray(folder) or (result is not None and not result.converged):
                raise LabelError("not_converged", f"pw.x: {qe_files.scf_words(folder)}")
            if status != 0 or result is None:
                raise LabelError("crashed", f"pw.x, exit status {status}: {qe_files.last_words(folder)}")
        repeats = self._periodicity(frame)
        if repeats != "crystal":
            return result.energy, without_drift(result.forces, ISOLATED[repeats]), None, 1
        return result.energy, result.forces, result.stress, 1

    def input_text(self, frame: Atoms) -> str:
        """pw.x's input for a frame."""
        options, repeats = self.options, self._periodicity(frame)
        kpoints = None
        if repeats == "molecule":
            frame = boxed(frame, options.vacuum_A, doubled=options.assume_isolated == "martyna-tuckerman")
        elif repeats == "slab":
            frame = slab_box(frame, options.vacuum_A, LEAST_HEIGHT_A)
        if repeats != "molecule":
            kpoints = options.kpoints or self._grid(frame)
        if kpoints is not None and repeats == "slab":
            kpoints = (*kpoints[:2], 1)
        return qe_files.input_text(frame, self._namelists(frame), options.pseudopotentials, kpoints)

    def way(self, frame: Atoms) -> str:
        """Hash of the namelists, but for the number of steps, and of what else decides the numbers."""
        namelists = self._namelists(frame)
        del namelists["electrons"]["electron_maxstep"]
        beside = {*WORDS, "namelists"}
        return json_hash([namelists, {key: value for key, value in self.deciding().items() if key not in beside}])

    def _periodicity(self, frame: Atoms) -> Periodicity:
        """How a frame repeats; without a correction a slab's images are where its cell puts them."""
        if frame.pbc.any() and self.options.assume_isolated == "none" and frame.cell.rank == 3:
            return "crystal"
        return periodicity("qe", frame)

    def _grid(self, frame: Atoms) -> tuple[int, int, int]:
        lengths = 2 * np.pi * np.linalg.norm(frame.cell.reciprocal().array, axis=1)
        # Without periodicity there is no dispersion along a direction.
        counts = np.where(frame.pbc, np.ceil(np.round(lengths / self.options.kpoint_spacing_per_A, 6)), 1)
        first, second, third = (max(1, int(count)) for count in counts)
        return first, second, third

    def _namelists(self, frame: Atoms) -> dict[str, dict[str, Any]]:
        return make_namelists(self.options, frame, self._periodicity(frame), self.settings.pseudo_dir)


@cache
def _version(words: tuple[str, ...]) -> str:
    found = re.search(r"Program PWSCF v\.(\S+)", first_output((*words, "-in", "/dev/null")))
    return found[1] if found else "unknown"
