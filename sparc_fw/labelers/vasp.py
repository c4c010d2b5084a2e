"""Labels by VASP: plane waves and PAW, for crystals, surfaces and molecules in a box."""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from ase import Atoms
from pydantic import Field, model_validator
from typing_extensions import Self

from sparc_fw.backend import find_command
from sparc_fw.child_process import clean_environment
from sparc_fw.documents import json_hash
from sparc_fw.errors import InputError, MissingDependency
from sparc_fw.labelers.base import Labeler, LabelerOptions, LabelError, Numbers
from sparc_fw.labelers.external import calculation_folder
from sparc_fw.labelers.vasp_input import VASPInput, build_input, potcar_names
from sparc_fw.labelers.vasp_output import read_output, refuse_other_atoms
from sparc_fw.labelers.vasp_potcar import ASE_VARIABLE, PMG_VARIABLE, potcar_folder, read_potcars
from sparc_fw.labelers.vasp_tags import (
    LIMITS,
    TECHNICAL,
    deciding_tags,
    names_atoms,
    own_incar,
    plain_kpoints,
    way_tags,
)

if TYPE_CHECKING:
    from pymatgen.io.vasp.inputs import Incar

_VERSIONS: dict[str, str] = {}
"""VASP tells its version in its output alone: by command, that of the last calculation of this process."""


class VASPOptions(LabelerOptions):
    """Options of the labeler ``vasp``: an input set of pymatgen with changes, or an INCAR of one's own."""

    text_files: ClassVar[dict[str, str]] = {"incar_file": "incar", "kpoints_file": "kpoints"}
    # A label is refused where a handler changed more than how the SCF is done.
    effort: ClassVar[frozenset[str]] = LabelerOptions.effort | {
        *("handlers", "max_errors", "timeout_seconds", "unlisted_tags", "code_version")
    }
    steering: ClassVar[frozenset[str]] = frozenset({"algorithm", "start", "moment_factor"})

    kind: Literal["vasp"] = "vasp"
    input_set: str | None = None
    """Input set of pymatgen.io.vasp.sets: MPStaticSet, MPScanStaticSet, MatPESStaticSet, …"""
    incar: str = ""
    """Text of an INCAR, instead of an input set; atoms are sorted by their symbols, which a MAGMOM has to follow."""
    incar_file: str | None = None
    """A file with the INCAR, relative to the campaign file."""
    kpoints: str = ""
    """Text of a KPOINTS file, to go with an INCAR of one's own; molecules are calculated at Gamma in any case."""
    kpoints_file: str | None = None
    """A file with the KPOINTS, relative to the campaign file."""
    user_incar_settings: dict[str, Any] = {}
    """INCAR tags to set, or to take out (null)."""
    user_kpoints_settings: dict[str, Any] = {}
    """k-points instead of the input set's, as pymatgen takes them: {reciprocal_density: 100}, …"""
    user_potcar_settings: dict[str, str] = {}
    """POTCAR by element where not the input set's (or the element's own): {Fe: Fe_pv}."""
    user_potcar_functional: str | None = None
    """Family of POTCARs as pymatgen names them (PBE, PBE_54, LDA_54, …); where unset the input set's, or PBE."""
    unlisted_tags: list[str] = []
    """INCAR tags that pymatgen does not list and that are meant all the same."""
    vacuum_A: float = Field(8.0, gt=0)
    """Least empty space between a molecule, slab or chain and its images where it does not repeat, Å."""
    box_A: float | None = Field(None, gt=0)
    """Edge of a cubic box for molecules, Å; where unset, each molecule's extent and `vacuum_A`, in whole Å."""
    spin: Literal["frame", "free"] = "frame"
    """frame: the frame's number of unpaired electrons is held (ISPIN, NUPDOWN); free: as input set or INCAR say."""
    algorithm: Literal["Normal", "Fast", "VeryFast", "All", "Damped", "Conjugate"] | None = None
    """How SCF is done (ALGO); where unset, as input set or INCAR say."""
    start: Literal["atoms", "orbitals"] | None = None
    """First density: of atoms (ICHARG = 2), or of random orbitals (ICHARG = 0); where unset, as input set or INCAR say.
    Where there is more than one solution, another start may find another one."""
    moment_factor: float = Field(1.0, gt=0)
    """Factor on the magnetic moments that SCF starts from (MAGMOM)."""
    handlers: list[str] = ["VaspErrorHandler", "MeshSymmetryErrorHandler", "UnconvergedErrorHandler", "StdErrHandler"]
    """custodian's error handlers; a label is refused where one of them changed more than how the SCF is done."""
    code_version: str | None = None
    """Version of VASP that labels are to be computed with, such as 6.4.2; one that calls itself something else is
    refused. `key_with_version` needs it, for VASP tells its version only when it has computed."""
    max_errors: int = Field(5, ge=1)
    """After so many errors custodian gives up."""
    timeout_seconds: float = Field(86400.0, gt=0)
    """Longest time of a label, all attempts together, s."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        own = bool(self.incar) or self.incar_file is not None
        if own == (self.input_set is not None):
            found = "both" if own else "neither"
            raise ValueError(f"found {found} of input_set and incar (or incar_file), expected one of them")
        kpoints = bool(self.kpoints) or self.kpoints_file is not None
        if kpoints and not own:
            raise ValueError("kpoints: found it beside input_set, expected user_kpoints_settings")
        if self.user_kpoints_settings and own:
            raise ValueError("user_kpoints_settings: found it beside incar, expected kpoints or kpoints_file")
        if self.key_with_version and self.code_version is None:
            raise ValueError(
                "key_with_version: found it without code_version, expected the version of VASP (such as 6.4.2): VASP "
                "tells it only when it has computed, and keys are made before"
            )
        return self


class VASPLabeler(Labeler[VASPOptions]):
    """Free energies, forces and stresses by VASP, run under custodian.

    Molecules are put into a box of their own and have no stress. Slabs and chains are repeated across the vacuum of
    their cell; a dipole across it wants VASP's correction (LDIPOL, IDIPOL), which is the user's to set. A charged cell
    is neutralised by a background, whose interaction with its images is in the energy.

    References
    ----------
    G. Kresse and J. Furthmüller, Phys. Rev. B 54 (1996) 11169; input sets and parsers: S. P. Ong et al., Comput.
    Mater. Sci. 68 (2013) 314.
    """

    Options: ClassVar[type[VASPOptions]] = VASPOptions
    packages: ClassVar[tuple[str, ...]] = ("pymatgen", "custodian")
    extra: ClassVar[str] = "vasp"
    code: ClassVar[str] = "vasp"
    rechecks: ClassVar[list[dict[str, Any]]] = [
        {"algorithm": "All", "start": "orbitals", "moment_factor": 1.5},
        {"algorithm": "Normal", "start": "atoms", "moment_factor": 1.5},
    ]

    @property
    def cores(self) -> int:
        """Processor cores that the command uses, as the settings say."""
        return self.settings.cores or self.settings.threads

    def missing(self) -> list[str]:
        """List what this machine lacks: packages, VASP, the folder of POTCARs."""
        found = super().missing()
        executable = shlex.split(self.settings.vasp_command)[0]
        if find_command(executable) is None:
            found.append(f"vasp needs the program {executable!r}, which is not on PATH: set vasp_command")
        if importlib.util.find_spec("pymatgen") is None:
            return found
        folder = potcar_folder(self.settings)
        if folder is None:
            found.append(f"vasp needs POTCAR files: set vasp_potcar_dir, {PMG_VARIABLE} or {ASE_VARIABLE}")
        elif not folder.is_dir():
            found.append(f"vasp needs POTCAR files: found no folder {folder}")
        return found

    def deciding(self) -> dict[str, Any]:
        """What decides the numbers: options, and tags and k-points as VASP reads them, however they are written."""
        values, options = super().deciding(), self.options
        values["user_incar_settings"] = deciding_tags(options.user_incar_settings)
        if options.input_set is None:
            values |= {"incar": deciding_tags(self._own_incar()), "user_incar_settings": {}}
        if options.kpoints:
            values["kpoints"] = plain_kpoints(options.kpoints)
        return values

    def effort(self) -> dict[str, Any]:
        """How much is tried for a number: options, and the limits among the tags."""
        limits = {tag: value for tag, value in self._said_tags().items() if tag.upper() in LIMITS}
        return super().effort() | {"tags": limits}

    @cached_property
    def like_atoms_alike(self) -> bool:
        """They are, unless tags have a value for each atom, or may have one, since nobody here knows them.

        Atoms of an element come in the order of the frame, which is the order of such values.
        """
        return not names_atoms(self._said_tags(), self.options.unlisted_tags)

    def _said_tags(self) -> Mapping[str, Any]:
        """The tags that the user said."""
        return self._own_incar() if self.options.input_set is None else self.options.user_incar_settings

    def _own_incar(self) -> Incar:
        return own_incar(self.options.incar, self.options.user_incar_settings)

    def way(self, frame: Atoms) -> str:
        """Hash of a frame's tags, but for those that VASP's defaults say, and of what else decides the numbers."""
        beside = {"incar", "user_incar_settings", *self.options.steering}
        others = {key: value for key, value in self.deciding().items() if key not in beside}
        return json_hash([way_tags(self.input(frame).incar), others])

    def potentials_of(self, frame: Atoms) -> list[str]:
        """Hashes of the POTCARs of a frame's elements; where there are no POTCARs, their family and names."""
        elements = tuple(sorted(set(frame.get_chemical_symbols())))
        if elements not in self._potcars:
            symbols, functional = potcar_names(self.options, elements)
            folder = potcar_folder(self.settings)
            texts = read_potcars(folder, functional, symbols) if folder is not None else [functional, *symbols]
            self._potcars[elements] = [json_hash(text) for text in texts]
        return self._potcars[elements]

    @cached_property
    def _potcars(self) -> dict[tuple[str, ...], list[str]]:
        return {}

    def version(self) -> str:
        """Version of the VASP that this process ran last."""
        return _VERSIONS.get(self.settings.vasp_command, "unknown")

    def keyed_version(self) -> str:
        """The version that the options demand."""
        return self.options.code_version or super().keyed_version()

    def _refuse_other_version(self) -> None:
        """Raise `MissingDependency` where the VASP of this machine is known and not the one that is demanded."""
        found, wanted = self.version(), self.options.code_version
        if wanted is None or found in ("unknown", wanted) or found.startswith(f"{wanted}."):
            return
        raise MissingDependency(
            f"labeler vasp: code_version: found VASP {found}, which '{self.settings.vasp_command}' runs, expected "
            f"{wanted}: set vasp_command to that version, or change code_version in a new campaign"
        )

    def check(self, frame: Atoms) -> None:
        """Raise `InputError` if a frame can never be labelled: tags, k-points, POTCARs, electrons or cell."""
        # Without custodian nothing runs, which `missing` says, but labels can be imported and inputs looked at.
        if importlib.util.find_spec("custodian") is not None:
            from sparc_fw.labelers.vasp_run import make_handlers

            make_handlers(self.options.handlers)
        try:
            self.input(frame)
        except LabelError as error:
            raise InputError(f"labeler vasp: {error}") from error

    def input(self, frame: Atoms) -> VASPInput:
        """The input of a frame; it can be made, and looked at, where there is neither VASP nor a POTCAR."""
        return build_input(self.options, frame, potcar_folder(self.settings))

    def calculate(self, frame: Atoms) -> Numbers:
        """Free energy (eV), forces (eV/Å), stress (eV/Å^3) where periodic, and how often VASP was started."""
        from sparc_fw.labelers.vasp_run import run_vasp

        self._refuse_other_version()
        given = self.input(frame)
        options = self.options
        with calculation_folder(self, frame) as folder:
            given.write(folder)
            command = self._command(given.gamma_only)
            environment = clean_environment(self.settings.threads)
            runs, trouble = run_vasp(
                folder, command, environment, options.handlers, options.max_errors, options.timeout_seconds
            )
            output = read_output(folder)
            if output is None:
                raise LabelError("crashed", f"VASP left no energy and forces; {trouble or 'it told nothing'}", runs)
            _VERSIONS[self.settings.vasp_command] = output.version
            self._refuse_other_version()
            if not output.converged:
                told = f"electronic loop not converged in {output.electronic_steps}"
                raise LabelError("not_converged", f"{told}; {trouble}" if trouble else told, runs)
            if trouble:
                raise LabelError("crashed", trouble, runs)
            refuse_other_atoms(output, given.atoms)
            self._refuse_other_settings(given, folder, runs)
        forces = np.empty_like(output.forces)
        forces[given.order] = output.forces
        return output.energy, forces, output.stress if frame.pbc.any() else None, runs

    def _command(self, gamma_only: bool) -> list[str]:
        settings = self.settings
        gamma = settings.vasp_gam_command if gamma_only else None
        executable, *arguments = shlex.split(gamma or settings.vasp_command)
        found = find_command(executable)
        if found is None:
            raise LabelError("crashed", f"found no program {executable!r}: set vasp_command", attempts=0)
        return [found, *arguments]

    @staticmethod
    def _refuse_other_settings(given: VASPInput, folder: Path, runs: int) -> None:
        """Raise `LabelError` where custodian got a result with other physics than the campaign's."""
        from pymatgen.io.vasp.inputs import Incar

        written = Incar.from_str(given.incar.get_str())
        final = Incar.from_file(folder / "INCAR")
        changed = [tag for tag in {*written, *final} - TECHNICAL if written.get(tag) != final.get(tag)]
        said = [f"{tag} from {written.get(tag)} to {final.get(tag)}" for tag in sorted(changed)]
        if given.kpoints is not None and (folder / "KPOINTS").read_text() != f"{given.kpoints}":
            said.append("the k-points")
        if said:
            raise LabelError(
                "crashed",
                f"custodian could only go on with other physics: it changed {', '.join(said)}; change that for the "
                "whole campaign, or leave the handler out of 'handlers'",
                runs,
            )
