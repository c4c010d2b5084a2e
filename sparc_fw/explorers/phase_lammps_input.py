"""The LAMMPS input of a phase, units metal (ps, Å, eV, K, u, bar)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from ase import Atoms

from sparc_fw.errors import InputError
from sparc_fw.explorers.lammps_input import BAR, COLVARS, bounded, drawn_velocities, minimized, prepared
from sparc_fw.explorers.phase_options import Phase, PhasesOptions
from sparc_fw.explorers.phase_runs import NPT, Relax, Strain, TimedRun

THERMO = ("Step", "Temp", "PotEng", "TotEng", "Volume")
END = "end.bin"
NEVER = 10**15
"""A step that no run comes to."""
_GROWS = {
    "x": [("x", "lx"), ("xy", "xy"), ("xz", "xz")],
    "y": [("y", "ly"), ("yz", "yz")],
    "z": [("z", "lz")],
    "xy": [("xy", "ly"), ("xz", "yz")],
    "xz": [("xz", "lz")],
    "yz": [("yz", "lz")],
}
"""Which parameters of LAMMPS' cell a strain changes, each by the strain times another one."""


def looked_file(number: int) -> str:
    """Where a run in time, counted without the others, leaves the frames that are looked at."""
    return f"looked-{number}.bin"


def kept_file(number: int) -> str:
    """Where it leaves the frames that are kept."""
    return f"kept-{number}.bin"


def check_strained_cell(atoms: Atoms) -> None:
    """Raise `InputError` for a cell that LAMMPS would turn: it strains along its own axes."""
    cell = atoms.cell.array
    if np.abs(np.triu(cell, 1)).max() > 1e-9 or (np.diag(cell) <= 0).any():
        raise InputError(
            "found a cell whose first vector is not along x, or whose second one is not in the xy plane, expected such "
            "a cell, or engine: ase, which strains any"
        )


def write_chosen(directory: Path, phase: Phase, chosen: set[int]) -> None:
    """Write the steps whose frames are kept, of each run in time, for `phase_input`."""
    begin = 0
    for number, run in enumerate(phase.timed):
        mine = sorted(step for step in chosen if begin < step <= begin + run.steps)
        (directory / f"chosen-{number}.txt").write_text("".join(f"{step}\n" for step in [*mine, NEVER]))
        begin += run.steps


def phase_input(
    options: PhasesOptions, phase: Phase, start: Atoms, pair: Sequence[str], seeds: Iterator[int]
) -> list[str]:
    """All lines.

    Parameters
    ----------
    start : Atoms
        Where the phase begins; the file of the structure holds velocities where its atoms have some.
    pair : sequence of str
        The potential.
    seeds : iterator of int
        Gives as many as are asked for.
    """
    lines = [*prepared(start, pair), *bounded(options.max_force, 1), f"thermo_style custom {_thermo()}"]
    at_rest, done, number = not start.get_momenta().any(), 0, 0
    for run in phase.run:
        if isinstance(run, Relax):
            # A relaxation counts its iterations as steps, which are no time.
            lines += [*_relaxed(run), f"reset_timestep {done}", "velocity all set 0.0 0.0 0.0"]
            at_rest = True
            continue
        lines.append(f"timestep {run.timestep_fs / 1000!r}")
        if at_rest:
            lines.append(drawn_velocities(start, run.kelvin(0), next(seeds)))
            at_rest = False
        if phase.bias and number == 0:
            lines.append(f"fix bias all colvars {COLVARS} output bias seed {next(seeds)}")
        lines += _timed(run, number, options.stride(run), next(seeds))
        done += run.steps
        number += 1
    return [*lines, f"write_dump all custom {END} id xu yu zu vx vy vz modify sort id"]


def _thermo() -> str:
    return "step temp pe etotal vol"


def _relaxed(run: Relax) -> list[str]:
    quiet = "thermo_modify line one"
    if not run.cell:
        return [quiet, "min_style fire", *minimized(run.max_force, run.max_steps)]
    # Only by conjugate gradients does LAMMPS relax a cell.
    cell = "fix cell all box/relax tri 0.0 vmax 0.01"
    return [quiet, cell, "min_style cg", *minimized(run.max_force, run.max_steps), "unfix cell"]


def _timed(run: TimedRun, number: int, stride: int, seed: int) -> list[str]:
    begin, end, tau = run.kelvin(0), run.kelvin(run.steps), 1 / run.friction_per_ps
    integrate = "fix integrate all nve"
    if isinstance(run, NPT):
        # With Langevin's bath, as in the integrator that ASE has for this.
        bar = BAR * run.pressure_GPa
        integrate = f"fix integrate all nph iso {bar!r} {bar!r} {run.barostat_ps!r}"
    strain = [_strain(run, stride)] if isinstance(run, Strain) else []
    look, keep = f"looked{number}", f"kept{number}"
    return [
        integrate,
        # zero: the bath pushes no molecule as a whole.
        f"fix bath all langevin {begin!r} {end!r} {tau!r} {seed} zero yes",
        *strain,
        f"thermo {stride}",
        "thermo_modify line yaml format float %.17g flush yes",
        f"dump {look} all custom {stride} {looked_file(number)} id xu yu zu",
        f"dump_modify {look} sort id first yes flush yes",
        # The next step at which a frame is kept, read when the one before was.
        f"variable chosen{number} file chosen-{number}.txt",
        f"variable next{number} equal next(chosen{number})",
        f"dump {keep} all custom 1 {kept_file(number)} id xu yu zu",
        f"dump_modify {keep} sort id flush yes every v_next{number}",
        f"run {run.steps}",
        f"undump {look}",
        f"undump {keep}",
        "unfix integrate",
        "unfix bath",
        *(["unfix strain"] if strain else []),
    ]


def _strain(run: Strain, stride: int) -> str:
    amount = run.rate_per_ps * run.steps * run.timestep_fs / 1000
    changes = []
    for parameter, of in _GROWS[run.along]:
        delta = f"$({of}*{amount!r}:%.17g)"
        changes.append(f"{parameter} delta {'0.0 ' if len(parameter) == 1 else ''}{delta}")
    return f"fix strain all deform {stride} {' '.join(changes)} remap x flip no"
