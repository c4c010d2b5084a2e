"""Molecular dynamics by LAMMPS (Thompson et al., Comput. Phys. Commun. 271, 108171, 2022), biased by COLVARS."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.calculators.lammps import Prism

from sparc_fw.child_process import clean_environment, last_lines, run_child
from sparc_fw.documents import Trajectory
from sparc_fw.encoding import frame_info
from sparc_fw.errors import InputError, MissingDependency, StageFailed
from sparc_fw.explorers.base import Explorer, Replica
from sparc_fw.explorers.colvars import check_colvars, read_colvars, with_units
from sparc_fw.explorers.lammps_command import lammps_command, lammps_packages
from sparc_fw.explorers.lammps_files import (
    THERMO,
    elements_in,
    error_in,
    halt_in,
    read_dump,
    read_thermo,
    write_structure,
)
from sparc_fw.explorers.md import MDOptions, Plan, engine_seeds, plan, until_apart

INPUT = "in.lammps"
STRUCTURE = "start.data"
COLVARS = "colvars.in"
DUMP = "frames.bin"
LOG = "log.lammps"
OUTPUT = "output"

# LAMMPS says these of a run that blew up; at the very first step there is no frame yet that would tell.
_UNSTABLE = re.compile(
    r"Non-numeric|Lost atoms|too large for neighbor bins|out of range atoms|non-finite|\bNaN\b", re.I
)


class LAMMPSOptions(MDOptions):
    """Options of dynamics by LAMMPS."""

    kind: Literal["lammps"] = "lammps"
    ensemble: Literal["nve", "nvt", "langevin"] = "langevin"
    """Constant energy, Nosé-Hoover or Langevin."""
    text_files: ClassVar[dict[str, str]] = {"colvars_file": "colvars"}

    colvars: str = ""
    """COLVARS configuration in LAMMPS' units metal (Å, eV, eV/Å^2), atoms numbered from 1; empty for none."""
    colvars_file: str | None = None
    """A file with the COLVARS configuration, relative to the campaign file, instead of the text."""


class LAMMPSExplorer(Explorer[LAMMPSOptions]):
    """Runs LAMMPS as one child process that writes positions only."""

    Options: ClassVar[type[LAMMPSOptions]] = LAMMPSOptions

    def missing(self) -> list[str]:
        """Say so where there is no LAMMPS, or one without COLVARS where it is asked for."""
        try:
            packages = lammps_packages(self.settings.lmp_command)
        except MissingDependency as error:
            return [str(error)]
        if (self.options.colvars or self.options.confine is not None) and "COLVARS" not in packages:
            found = f"{self.settings.lmp_command}: found no package COLVARS"
            return [f"{found}, expected it for explorer.colvars and explorer.confine"]
        return []

    def check(self, structure: Atoms) -> None:
        """Raise `InputError` where COLVARS refuses its text for this structure, or a cell is not one."""
        check_colvars(self.options.colvars, len(structure))
        if self.options.confine is not None:
            self.options.confine.check("explorer: confine", len(structure))
        if structure.pbc.any() and structure.cell.rank < 3:
            raise InputError("structure: found a periodic structure without three cell vectors, expected them all")
        if self.bias(structure):
            self._try_colvars(structure)

    def bias(self, structure: Atoms) -> str:
        """The whole COLVARS configuration, empty for none."""
        confine = self.options.confine
        parts = [self.options.colvars, confine.colvars(len(structure)) if confine is not None else ""]
        return with_units("\n".join(part for part in parts if part)) if any(parts) else ""

    def _try_colvars(self, structure: Atoms) -> None:
        """Let LAMMPS read the COLVARS text, without a potential and without a step: nobody else knows all its keys."""
        executable, variables = lammps_command(self.settings.lmp_command)
        pair = ["pair_style zero 6.0", "pair_coeff * *"]
        with TemporaryDirectory() as folder:
            directory = Path(folder)
            write_structure(structure, directory / STRUCTURE)
            (directory / COLVARS).write_text(self.bias(structure))
            lines = self.input_lines(structure, pair, Plan(steps=0, every=1, temperature=1.0), seed=1)
            (directory / INPUT).write_text("\n".join(lines) + "\n")
            done = subprocess.run(
                [executable, "-in", INPUT, "-log", LOG, "-nocite"],
                cwd=directory,
                env=clean_environment(1, variables),
                capture_output=True,
                text=True,
                check=False,
            )
        words = [line.removeprefix("colvars:").strip() for line in done.stdout.splitlines() if "rror" in line]
        if done.returncode != 0 or words:
            raise InputError(f"explorer.colvars: LAMMPS refuses it: {'; '.join(words) or last_lines(done.stdout, 5)}")

    def explore(self, replica: Replica) -> list[Trajectory]:
        """Run one replica with the first model of the committee."""
        started = time.perf_counter()
        executable, variables = lammps_command(self.settings.lmp_command)
        run = plan(self.options, replica)
        start, directory, progress = replica.start, replica.directory, replica.progress
        pair = replica.potential.lammps_lines(replica.models[0], elements_in(start))
        write_structure(start, directory / STRUCTURE)
        (directory / COLVARS).write_text(self.bias(start))
        (directory / INPUT).write_text("\n".join(self.input_lines(start, pair, run, replica.seed)) + "\n")
        size = 0

        def watch() -> None:
            nonlocal size
            # Every frame is as long as the first, whose header and 4 columns are some 200 bytes plus 32 per atom.
            path = directory / DUMP
            now = path.stat().st_size if path.exists() else 0
            if now != size:
                size = now
                progress(min(run.steps, now // (200 + 32 * len(start)) * run.every), run.steps)

        output = directory / OUTPUT
        command = [executable, "-in", INPUT, "-log", LOG, "-screen", "none", "-nocite"]
        environment = clean_environment(self.settings.threads, variables)
        status = run_child(command, directory, environment, output, watch)
        trajectory = until_apart(self._collect(start, run, directory, status), self.options.within_A)
        trajectory.seconds = time.perf_counter() - started
        progress(trajectory.steps, run.steps)
        return [trajectory]

    def input_lines(self, start: Atoms, pair: Sequence[str], run: Plan, seed: int) -> list[str]:
        """The LAMMPS input, units metal (ps, Å, eV, K, u)."""
        velocity_seed, bath_seed, bias_seed = engine_seeds(seed, 3)
        kelvin, friction = run.temperature, self.options.friction_per_ps
        periodic = bool(start.pbc.any())
        turning = "no" if periodic else "yes"
        integrate = {
            "nve": ["fix integrate all nve"],
            "nvt": [f"fix integrate all nvt temp {kelvin!r} {kelvin!r} {1 / friction!r}"],
            # zero: the bath pushes no molecule as a whole.
            "langevin": [
                "fix integrate all nve",
                f"fix bath all langevin {kelvin!r} {kelvin!r} {1 / friction!r} {bath_seed} zero yes",
            ],
        }[self.options.ensemble]
        biased = bool(self.options.colvars) or self.options.confine is not None
        bias = [f"fix bias all colvars {COLVARS} output bias seed {bias_seed}"] if biased else []
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
            f"timestep {self.options.timestep_fs / 1000!r}",
            f"velocity all create {kelvin!r} {velocity_seed} mom yes rot {turning} dist gaussian",
            *integrate,
            *bias,
            "variable largest equal fmax",
            f"fix bound all halt {min(10, run.every)} v_largest > {self.options.max_force!r} error soft",
            "thermo_style custom step temp pe etotal",
            f"thermo {run.every}",
            "thermo_modify line yaml format float %.17g flush yes",
            f"dump frames all custom {run.every} {DUMP} id xu yu zu",
            "dump_modify frames sort id flush yes",
            f"run {run.steps}",
        ]

    def _collect(self, start: Atoms, run: Plan, directory: Path, status: int) -> Trajectory:
        """Read what LAMMPS left and tell a run that blew up from one that could not run."""
        path = directory / LOG
        log = path.read_text(errors="replace") if path.exists() else ""
        steps, positions = read_dump(directory / DUMP, len(start))
        thermo = read_thermo(log)
        made = int(max([*thermo["Step"], *steps, 0]))
        ended = self._ending(log, run, made)
        if status < 0 or ended is None or not (len(steps) or _UNSTABLE.search(ended)):
            # What the plugin prints at its end would hide LAMMPS' own words.
            text = log if error_in(log) else log + (directory / OUTPUT).read_text(errors="replace")
            raise StageFailed(
                f"lammps: the run in {directory} ended with status {status}; its last lines:\n{last_lines(text)}"
            )
        if not len(steps):
            steps, positions = np.zeros(1, dtype=int), start.positions[None]
        elif start.pbc.any():
            positions = Prism(start.cell.array).vector_to_ase(positions.reshape(-1, 3)).reshape(positions.shape)
        return Trajectory(
            numbers=start.numbers.copy(),
            positions=positions,
            cells=np.repeat(start.cell.array[None], len(steps), axis=0),
            times=steps * self.options.timestep_fs,
            pbc=(bool(start.pbc[0]), bool(start.pbc[1]), bool(start.pbc[2])),
            info=frame_info(start),
            steps=made,
            ended=ended,
            series=self._series(thermo, directory),
        )

    def _ending(self, log: str, run: Plan, made: int) -> str | None:
        """How the run ended in one sentence; None where the log does not say."""
        error = error_in(log)
        if error is not None:
            return f"LAMMPS after step {made}: {error}"
        halt = halt_in(log)
        if halt is not None:
            return f"a force of {halt[1]:.4g} eV/Å at step {halt[0]} passed max_force, {self.options.max_force:g} eV/Å"
        return "completed" if made >= run.steps - run.steps % run.every and "Loop time" in log else None

    def _series(self, thermo: dict[str, np.ndarray], directory: Path) -> dict[str, np.ndarray]:
        names = ("time_fs", "temperature_K", "potential_energy_eV", "total_energy_eV")
        series = {name: thermo[column] for name, column in zip(names, THERMO, strict=True)}
        series["time_fs"] = series["time_fs"] * self.options.timestep_fs
        if self.options.colvars or self.options.confine is not None:
            variables = read_colvars(directory / "bias.colvars.traj")
            if variables:
                series["colvars_time_fs"] = variables.pop("step") * self.options.timestep_fs
            # How far each atom is from the sphere's centre is in the positions already.
            series |= {name: values for name, values in variables.items() if not name.startswith("confine_")}
        return series
