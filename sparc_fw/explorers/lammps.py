"""Molecular dynamics by LAMMPS (Thompson et al., Comput. Phys. Commun. 271, 108171, 2022), biased by COLVARS."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.lammps import Prism

from sparc_fw.child_process import clean_environment, last_lines, run_child
from sparc_fw.encoding import frame_info
from sparc_fw.errors import InputError, MissingDependency, StageFailed
from sparc_fw.explorers.base import Explorer, Replica, by_place
from sparc_fw.explorers.bias import check_biases, held
from sparc_fw.explorers.bias_colvars import colvars_text
from sparc_fw.explorers.colvars import check_colvars, common_name, read_colvars, with_units
from sparc_fw.explorers.continued import (
    COLVARS_STATE,
    check_no_restart,
    colvars_learned,
    lay_down,
    plumed_learned,
    restarting,
)
from sparc_fw.explorers.endings import until_apart, until_out_of_bounds
from sparc_fw.explorers.lammps_command import lammps_command, lammps_packages
from sparc_fw.explorers.lammps_deviation import DeviationLog
from sparc_fw.explorers.lammps_files import (
    THERMO,
    elements_in,
    error_in,
    halt_in,
    read_dump,
    read_thermo,
    write_structure,
)
from sparc_fw.explorers.lammps_input import (
    AT_REST,
    COLVARS,
    DUMP,
    INPUT,
    PLUMED,
    STRUCTURE,
    Drives,
    LAMMPSOptions,
    lammps_input,
)
from sparc_fw.explorers.md import Plan, check_starts, plan
from sparc_fw.explorers.plumed import input_lines
from sparc_fw.explorers.plumed_series import plumed_series
from sparc_fw.geometry.files import Files
from sparc_fw.trajectories import Trajectory

LOG = "log.lammps"
DEVIATION = "deviation.out"
OUTPUT = "output"

# LAMMPS says these of a run that blew up; at the very first step there is no frame yet that would tell.
_UNSTABLE = re.compile(
    r"Non-numeric|Lost atoms|too large for neighbor bins|out of range atoms|non-finite|\bNaN\b", re.I
)


class _Disagreed(Exception):
    """The committee has disagreed for too long."""


class LAMMPSExplorer(Explorer[LAMMPSOptions]):
    """Runs LAMMPS as one child process that writes positions only."""

    Options: ClassVar[type[LAMMPSOptions]] = LAMMPSOptions

    def missing(self) -> list[str]:
        """Say so where there is no LAMMPS, or one without COLVARS where it is asked for."""
        try:
            packages = lammps_packages(self.settings.lmp_command)
        except MissingDependency as error:
            return [str(error)]
        options, problems = self.options, []
        if (options.colvars or options.bias or options.confine is not None) and "COLVARS" not in packages:
            found = f"{self.settings.lmp_command}: found no package COLVARS"
            problems.append(f"{found}, expected it for explorer.colvars, explorer.bias and explorer.confine")
        if options.plumed and "PLUMED" not in packages:
            found = f"{self.settings.lmp_command}: found no package PLUMED (fix plumed)"
            problems.append(f"{found}, expected it for explorer.plumed; write the bias as explorer.bias or ")
            problems[-1] += "explorer.colvars, take the explorer ase_md, or a LAMMPS that was built with PLUMED"
        return problems

    def check(self, structure: Atoms) -> None:
        """Raise `InputError` where COLVARS refuses its text for this structure, or a cell is not one."""
        check_colvars(self.options.colvars, len(structure))
        check_no_restart(input_lines(self.options.plumed))
        check_biases(self.options.bias, len(structure))
        if self.options.ensemble.startswith("npt") and structure.cell.rank < 3:
            found = f"ensemble: found {self.options.ensemble} for a structure without a cell"
            raise InputError(f"{found}, expected a crystal")
        if self.options.confine is not None:
            self.options.confine.check("explorer: confine", len(structure))
        for index, bound in enumerate(self.options.distances):
            bound.check(f"distances[{index}]", len(structure))
        if structure.pbc.any() and structure.cell.rank < 3:
            raise InputError("structure: found a periodic structure without three cell vectors, expected them all")
        if self.bias(structure):
            self._try_colvars(structure)

    def check_geometries(self, structure: Atoms, files: Files) -> None:
        """Raise `InputError` where the file of a window holds other atoms."""
        check_starts(self.options, structure, files)

    def bias(self, structure: Atoms, replica: int = 0, at_rest: bool = False) -> str:
        """The whole COLVARS configuration, empty for none; at rest, only what acts while a run equilibrates."""
        options, confine = self.options, self.options.confine
        biases = held(options.biases(replica)) if at_rest else options.biases(replica)
        every = max(1, round(options.frame_every_fs / options.timestep_fs))
        kelvin = by_place(options.temperature_K, replica)
        parts = [
            "" if at_rest else options.colvars,
            colvars_text(biases, options.timestep_fs, kelvin, replica, every, options.continue_bias),
            confine.colvars(len(structure)) if confine is not None else "",
        ]
        return with_units("\n".join(part for part in parts if part)) if any(parts) else ""

    def bias_text(self, structure: Atoms) -> str:
        """COLVARS text."""
        return self.bias(structure)

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
        pair = self._pair(replica)
        write_structure(start, directory / STRUCTURE)
        (directory / COLVARS).write_text(self.bias(start, replica.number))
        (directory / AT_REST).write_text(self.bias(start, replica.number, at_rest=True))
        lay_down(replica.learned, directory)
        plumed = input_lines(self.options.plumed)
        plumed = restarting(plumed) if replica.learned else plumed
        (directory / PLUMED).write_text("\n".join(plumed) + "\n")
        lines = self.input_lines(start, pair, run, replica.seed, replica.learned)
        (directory / INPUT).write_text("\n".join(lines) + "\n")
        deviations = DeviationLog(directory / DEVIATION, self.options.stop, self.options.timestep_fs)
        size = 0

        def watch() -> None:
            nonlocal size
            # Every frame is as long as the first, whose header and 4 columns are some 200 bytes plus 32 per atom.
            path = directory / DUMP
            now = path.stat().st_size if path.exists() else 0
            if now != size:
                size = now
                progress(min(run.steps, now // (200 + 32 * len(start)) * run.every), run.steps)
            deviations.read()
            if deviations.moment is not None:
                raise _Disagreed

        output = directory / OUTPUT
        command = [executable, "-in", INPUT, "-log", LOG, "-screen", "none", "-nocite"]
        environment = clean_environment(self.settings.threads, variables)
        try:
            status = run_child(command, directory, environment, output, watch)
        except _Disagreed:
            status = 0
        trajectory = self._ended_in_time(self._collect(start, run, directory, status, deviations.moment))
        trajectory.seconds = time.perf_counter() - started
        progress(trajectory.steps, run.steps)
        return [trajectory]

    def _pair(self, replica: Replica) -> list[str]:
        elements, stop = elements_in(replica.start), self.options.stop
        if stop is None:
            return replica.potential.lammps_lines(replica.models[0], elements)
        every = max(1, round(stop.every_fs / self.options.timestep_fs))
        return replica.potential.lammps_committee_lines(replica.models, elements, every, DEVIATION)

    def _ended_in_time(self, trajectory: Trajectory) -> Trajectory:
        """The trajectory up to where it left its bounds."""
        options = self.options
        return until_out_of_bounds(
            until_apart(trajectory, options.within_A), options.distances, options.energy_window_eV
        )

    def input_lines(
        self, start: Atoms, pair: Sequence[str], run: Plan, seed: int, learned: Collection[str] = ()
    ) -> list[str]:
        """The LAMMPS input; `learned` names the files from which biases go on."""
        bias = Drives(
            biased=bool(self.bias(start)),
            at_rest=bool(self.bias(start, at_rest=True)),
            plumed=bool(self.options.plumed),
            goes_on=COLVARS_STATE in learned,
        )
        return lammps_input(self.options, start, pair, run, bias, seed)

    def _collect(self, start: Atoms, run: Plan, directory: Path, status: int, moment: float | None) -> Trajectory:
        """Read what LAMMPS left and tell a run that blew up from one that could not run."""
        path = directory / LOG
        log = path.read_text(errors="replace") if path.exists() else ""
        steps, positions, cells = read_dump(directory / DUMP, len(start))
        thermo = read_thermo(log)
        made = int(max([*thermo["Step"], *steps, 0]))
        ended = self._ending(log, run, made)
        if moment is not None and self.options.stop is not None:
            # LAMMPS ran on for as long as nobody looked.
            count = int((steps * self.options.timestep_fs <= moment).sum())
            steps, positions, cells = steps[:count], positions[:count], cells[:count]
            made, ended = round(moment / self.options.timestep_fs), self.options.stop.sentence(moment)
        if status < 0 or ended is None or not (len(steps) or _UNSTABLE.search(ended)):
            # What the plugin prints at its end would hide LAMMPS' own words.
            text = log if error_in(log) else log + (directory / OUTPUT).read_text(errors="replace")
            raise StageFailed(
                f"lammps: the run in {directory} ended with status {status}; its last lines:\n{last_lines(text)}"
            )
        if not len(steps):
            steps, positions = np.zeros(1, dtype=int), start.positions[None]
        elif start.pbc.any():
            prism = Prism(start.cell.array)
            positions = prism.vector_to_ase(positions.reshape(-1, 3)).reshape(positions.shape)
            cells = prism.vector_to_ase(cells.reshape(-1, 3)).reshape(cells.shape)
        if not self.options.ensemble.startswith("npt") or len(cells) != len(steps):
            cells = np.repeat(start.cell.array[None], len(steps), axis=0)
        return Trajectory(
            numbers=start.numbers.copy(),
            positions=positions,
            cells=cells,
            times=steps * self.options.timestep_fs,
            pbc=(bool(start.pbc[0]), bool(start.pbc[1]), bool(start.pbc[2])),
            info=frame_info(start),
            steps=made,
            ended=ended,
            series=self._series(thermo, directory),
            learned=self._learned(directory) if self.options.continue_bias else {},
        )

    def _learned(self, directory: Path) -> dict[str, str]:
        return colvars_learned(directory) | plumed_learned(input_lines(self.options.plumed), directory)

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
        variables = read_colvars(directory / "bias.colvars.traj")
        if "step" in variables:
            series["bias_time_fs"] = variables.pop("step") * self.options.timestep_fs
        # How far each atom is from the sphere's centre is in the positions already.
        series |= {common_name(name): values for name, values in variables.items() if not name.startswith("confine_")}
        if self.options.plumed:
            series |= plumed_series(input_lines(self.options.plumed), [], directory)
        return series
