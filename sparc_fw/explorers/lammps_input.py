"""The LAMMPS input of a run, units metal (ps, Å, eV, K, u, bar)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ase import Atoms
from pydantic import model_validator
from typing_extensions import Self

from sparc_fw.explorers.continued import COLVARS_BEFORE
from sparc_fw.explorers.md import RELAX_STEPS, RELAXED, MDOptions, Plan, engine_seeds

STRUCTURE = "start.data"
COLVARS = "colvars.in"
AT_REST = "at_rest.in"
PLUMED = "plumed.dat"
DUMP = "frames.bin"

BAR = 10_000.0
"""So many bar are a GPa."""


class LAMMPSOptions(MDOptions):
    """Options of dynamics by LAMMPS."""

    kind: Literal["lammps"] = "lammps"
    ensemble: Literal["nve", "langevin", "nose_hoover", "bussi", "npt", "npt_cell"] = "langevin"
    """Constant energy, constant temperature (Langevin, a Nosé-Hoover chain, Bussi's rescaling), or constant pressure,
    too, the cell scaled (npt) or free (npt_cell)."""
    text_files: ClassVar[dict[str, str]] = {"colvars_file": "colvars", "plumed_file": "plumed"}

    colvars: str = ""
    """COLVARS configuration in LAMMPS' units metal (Å, eV, eV/Å^2), atoms numbered from 1; empty for none."""
    colvars_file: str | None = None
    """A file with the COLVARS configuration, relative to the campaign file, instead of the text."""
    plumed: str = ""
    """PLUMED input, atoms numbered from 1, in the units that it names or PLUMED's own; needs LAMMPS with fix plumed."""
    plumed_file: str | None = None
    """A file with the PLUMED input, relative to the campaign file, instead of the text."""

    @model_validator(mode="after")
    def _windows_know_all_biases(self) -> Self:
        texts = {key: getattr(self, key) for key in ("colvars", "colvars_file", "plumed", "plumed_file")}
        named = next((key for key, value in texts.items() if value), None)
        if self.windows is not None and named is not None:
            raise ValueError(
                f"windows: found '{named}' beside them, expected umbrellas and walls as 'bias' alone: the free energy "
                "is told from them"
            )
        return self


@dataclass(frozen=True)
class Drives:
    """What acts on the atoms beside the potential.

    Attributes
    ----------
    biased, at_rest : bool
        Whether COLVARS has something to do in the run, and while it equilibrates.
    plumed : bool
        Whether fix plumed acts in the run.
    goes_on : bool
        Whether COLVARS begins with the state of an earlier run.
    """

    biased: bool
    at_rest: bool
    plumed: bool
    goes_on: bool = False


def lammps_input(
    options: LAMMPSOptions, start: Atoms, pair: Sequence[str], run: Plan, drives: Drives, seed: int
) -> list[str]:
    """All lines; the files that they name are the constants of this module."""
    velocity_seed, bath_seed, bias_seed = engine_seeds(seed, 3)
    # A minimization counts its iterations as steps, which are no time.
    relax = [*minimized(RELAXED, RELAX_STEPS), "reset_timestep 0"]
    before = f" input {COLVARS_BEFORE}" if drives.goes_on else ""
    bias = [f"fix bias all colvars {COLVARS}{before} output bias seed {bias_seed}"] if drives.biased else []
    plumed = [f"fix plumed all plumed plumedfile {PLUMED} outfile plumed.log"] if drives.plumed else []
    return [
        *prepared(start, pair),
        f"timestep {options.timestep_fs / 1000!r}",
        *(relax if options.relax else []),
        drawn_velocities(start, run.temperature, velocity_seed),
        *_integrate(options, run, bath_seed),
        *bounded(options.max_force, min(10, run.every)),
        "thermo_style custom step temp pe etotal",
        f"thermo {run.every}",
        *(_equilibrate(run, drives, bias_seed) if run.equilibrate else []),
        "thermo_modify line yaml format float %.17g flush yes",
        *bias,
        *plumed,
        f"dump frames all custom {run.every} {DUMP} id xu yu zu",
        "dump_modify frames sort id flush yes",
        f"run {run.steps}",
    ]


def prepared(start: Atoms, pair: Sequence[str]) -> list[str]:
    """The lines that an input begins with: units, boundaries, atoms from the file `STRUCTURE`, the potential."""
    periodic = bool(start.pbc.any())
    return [
        "units metal",
        "atom_style atomic",
        "atom_modify map array",
        # Open boundaries that follow the atoms, but never below the start's box: a molecule has no images, however
        # far its parts go, and LAMMPS finds no neighbours in a box that is much smaller than the cut-off.
        f"boundary {'p p p' if periodic else 'm m m'}",
        *(["box tilt large"] if periodic else []),
        f"read_data {STRUCTURE}",
        *pair,
        "neigh_modify every 1 delay 0 check yes",
    ]


def minimized(max_force: float, steps: int) -> list[str]:
    """Relax until no atom feels a longer force, eV/Å, or so many steps were made."""
    return ["min_modify norm max", f"minimize 0.0 {max_force!r} {steps} {10 * steps}"]


def drawn_velocities(start: Atoms, kelvin: float, seed: int) -> str:
    """Give atoms Maxwell's velocities; nothing moves or, as a molecule, turns as a whole."""
    turning = "no" if start.pbc.any() else "yes"
    return f"velocity all create {kelvin!r} {seed} mom yes rot {turning} dist gaussian"


def bounded(max_force: float, every: int) -> list[str]:
    """End all runs where a force component is larger, eV/Å, looked for every so many steps."""
    return ["variable largest equal fmax", f"fix bound all halt {every} v_largest > {max_force!r} error soft"]


def _integrate(options: LAMMPSOptions, run: Plan, seed: int) -> list[str]:
    kelvin, tau = repr(run.temperature), repr(1 / options.friction_per_ps)
    bar = repr(BAR * run.pressure)
    pressure = f"{bar} {bar} {options.pressure_relaxation_ps!r}"
    return {
        "nve": ["fix integrate all nve"],
        "nose_hoover": [f"fix integrate all nvt temp {kelvin} {kelvin} {tau}"],
        # zero: the bath pushes no molecule as a whole.
        "langevin": ["fix integrate all nve", f"fix bath all langevin {kelvin} {kelvin} {tau} {seed} zero yes"],
        "bussi": ["fix integrate all nve", f"fix bath all temp/csvr {kelvin} {kelvin} {tau} {seed}"],
        "npt": [f"fix integrate all npt temp {kelvin} {kelvin} {tau} iso {pressure}"],
        "npt_cell": [f"fix integrate all npt temp {kelvin} {kelvin} {tau} tri {pressure}"],
    }[options.ensemble]


def _equilibrate(run: Plan, drives: Drives, seed: int) -> list[str]:
    """A run before the run, whose steps and frames do not count."""
    hold = [f"fix rest all colvars {AT_REST} output rest seed {seed}"] if drives.at_rest else []
    return [*hold, f"run {run.equilibrate}", *(["unfix rest"] if drives.at_rest else []), "reset_timestep 0"]
