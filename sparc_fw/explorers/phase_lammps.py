"""One phase under way in LAMMPS: its runs in one process, what is kept of them, and why it ended."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.lammps import Prism

from sparc_fw.encoding import frame_info
from sparc_fw.errors import StageFailed
from sparc_fw.explorers.bias_colvars import colvars_text
from sparc_fw.explorers.colvars import colvars_series, with_units
from sparc_fw.explorers.lammps_command import INPUT, LOG, run_lammps
from sparc_fw.explorers.lammps_files import (
    PER_PS,
    blew_up,
    error_in,
    halt_in,
    last_words,
    read_dump,
    read_thermo,
    write_structure,
)
from sparc_fw.explorers.lammps_input import COLVARS, STRUCTURE
from sparc_fw.explorers.phase_lammps_input import END, THERMO, kept_file, looked_file, phase_input, write_chosen
from sparc_fw.explorers.phase_options import Phase, PhasesOptions
from sparc_fw.explorers.phase_run import SERIES, chosen_steps, misplaced
from sparc_fw.settings import Settings
from sparc_fw.trajectories import Trajectory

_ITERATIONS = re.compile(r"^\s*Iterations, force evaluations = (\d+)", re.MULTILINE)


@dataclass
class _Frames:
    """Steps in time of shape (n_frames,), positions and cells in ASE's axes, Å."""

    steps: np.ndarray
    positions: np.ndarray
    cells: np.ndarray


def phase_colvars(options: PhasesOptions, phase: Phase, replica: int) -> str:
    """The COLVARS configuration of a phase, empty for none."""
    if not phase.bias:
        return ""
    first = phase.timed[0]
    return with_units(colvars_text(phase.bias, first.timestep_fs, first.kelvin(0), replica, options.stride(first)))


@dataclass
class LAMMPSPhase:
    """Carries a phase out by LAMMPS.

    Attributes
    ----------
    start : Atoms
        Where the phase begins.
    pair : sequence of str
        The potential's lines.
    number : int
        Of the replica.
    directory : Path
        Empty; LAMMPS works there.
    random : numpy.random.Generator
        Draws the frames to keep, and the seeds of velocities and baths.
    told : callable
        Told the number of steps in time that are done.
    """

    options: PhasesOptions
    phase: Phase
    start: Atoms
    pair: Sequence[str]
    settings: Settings
    number: int
    directory: Path
    random: np.random.Generator
    told: Callable[[int], None]

    def carry_out(self) -> Trajectory:
        """Make all runs, up to the first that ends early."""
        started = time.perf_counter()
        directory, start = self.directory, self.start
        chosen = chosen_steps(self.phase, self.random)
        write_structure(start, directory / STRUCTURE, moving=bool(start.get_momenta().any()))
        (directory / COLVARS).write_text(phase_colvars(self.options, self.phase, self.number))
        write_chosen(directory, self.phase, chosen)
        lines = phase_input(self.options, self.phase, start, self.pair, self._seeds())
        (directory / INPUT).write_text("\n".join(lines) + "\n")
        status = run_lammps(self.settings, directory, lambda: self.told(self._made(self._log())))
        trajectory = self._collected(status)
        trajectory.seconds = time.perf_counter() - started
        return trajectory

    def _seeds(self) -> Iterator[int]:
        while True:
            yield int(self.random.integers(1, 900_000_000))

    def _log(self) -> str:
        path = self.directory / LOG
        return path.read_text(errors="replace") if path.exists() else ""

    def _made(self, log: str) -> int:
        """Steps in time that LAMMPS has told of."""
        return int(max(read_thermo(log, THERMO)["Step"], default=0))

    def _collected(self, status: int) -> Trajectory:
        log = self._log()
        end, velocities = self._end()
        looked = self._frames(looked_file)
        ended, last = self._ending(log, status, end is not None)
        if end is not None:
            looked = _joined([looked, end])
        step, reason = self._misplaced(looked)
        if reason is not None:
            ended, last = reason, step
        kept = self._frames(kept_file)
        complete = ended is None
        if not complete:
            kept = _part(kept, kept.steps < last)
            worth = _part(looked, looked.steps == last)
            # What ended the phase is worth judging, where anything is kept of it.
            if self.phase.sampling.frames and len(worth.steps) and np.isfinite(worth.positions[-1]).all():
                kept = _joined([kept, _part(worth, np.arange(len(worth.steps)) == len(worth.steps) - 1)])
        final = None
        if complete and end is not None:
            final = self._atoms(end.positions[-1], end.cells[-1])
            final.set_velocities(velocities)
        self.told(last)
        return self._trajectory(kept, self._sentence(ended, last), last, log, final)

    def _ending(self, log: str, status: int, has_end: bool) -> tuple[str | None, int]:
        """Why LAMMPS ended early, None where it did not, and the last step in time."""
        made, error, halt = self._made(log), error_in(log), halt_in(log)
        if halt is not None and has_end:
            limit = self.options.max_force
            return f"a force of {halt[1]:.4g} eV/Å passed max_force, {limit:g} eV/Å", halt[0]
        if status == 0 and error is None and has_end:
            return None, self.phase.steps
        if status < 0 or error is None or not blew_up(error):
            raise StageFailed(last_words(self.directory, log, status))
        return f"LAMMPS: {error}", made

    def _misplaced(self, looked: _Frames) -> tuple[int, str | None]:
        """The first step at which atoms overlap or left, and what is told of it."""
        for step, positions, cell in zip(looked.steps, looked.positions, looked.cells, strict=True):
            reason = misplaced(self._atoms(positions, cell), self.options.within_A)
            if reason is not None:
                return int(step), reason
        return self.phase.steps, None

    def _sentence(self, ended: str | None, last: int) -> str:
        if ended is None:
            return "completed"
        number, begin = 0, 0
        for place, run in enumerate(self.phase.run):
            number = place
            if last <= begin + run.steps and run.steps:
                break
            begin += run.steps
        kind = self.phase.run[number].kind
        return f"{ended}, in run {number} ({kind}) after {self._fs(last):g} fs of the phase"

    def _fs(self, steps: np.ndarray | int) -> np.ndarray:
        """Time of steps that are counted through all runs, fs."""
        counts = np.cumsum([0, *(run.steps for run in self.phase.timed)])
        times = np.cumsum([0.0, *(run.planned_fs for run in self.phase.timed)])
        return np.asarray(np.interp(steps, counts, times))

    def _frames(self, name: Callable[[int], str]) -> _Frames:
        count = len(self.start)
        return _joined(
            [self._turned(*read_dump(self.directory / name(n), count)) for n in range(len(self.phase.timed))]
            or [_Frames(np.zeros(0, dtype=int), np.zeros((0, count, 3)), np.zeros((0, 3, 3)))]
        )

    def _end(self) -> tuple[_Frames | None, np.ndarray]:
        """Where LAMMPS ended, and the velocities there in ASE's unit."""
        steps, values, cells = read_dump(self.directory / END, len(self.start), 6)
        if not len(steps):
            return None, np.zeros((len(self.start), 3))
        velocities = values[-1, :, 3:] / PER_PS
        if self.start.pbc.any():
            velocities = Prism(self.start.cell.array).vector_to_ase(velocities)
        return self._turned(steps, values[:, :, :3], cells), velocities

    def _turned(self, steps: np.ndarray, positions: np.ndarray, cells: np.ndarray) -> _Frames:
        if not self.start.pbc.any():
            return _Frames(steps, positions, np.repeat(self.start.cell.array[None], len(steps), axis=0))
        prism = Prism(self.start.cell.array)
        turned = prism.vector_to_ase(positions.reshape(-1, 3)).reshape(positions.shape)
        return _Frames(steps, turned, prism.vector_to_ase(cells.reshape(-1, 3)).reshape(cells.shape))

    def _atoms(self, positions: np.ndarray, cell: np.ndarray) -> Atoms:
        start = self.start
        return Atoms(start.numbers, positions, cell=cell, pbc=start.pbc, info=frame_info(start))

    def _trajectory(self, kept: _Frames, ended: str, last: int, log: str, end: Atoms | None) -> Trajectory:
        start = self.start
        relaxed = sum(int(count) for count in _ITERATIONS.findall(log))
        return Trajectory(
            numbers=start.numbers.copy(),
            positions=kept.positions,
            cells=kept.cells,
            times=self._fs(kept.steps),
            pbc=(bool(start.pbc[0]), bool(start.pbc[1]), bool(start.pbc[2])),
            info=frame_info(start),
            steps=relaxed + last,
            ended=ended,
            series=self._series(log, last),
            name=self.phase.name,
            lasted_fs=float(self._fs(last)),
            end=end,
        )

    def _series(self, log: str, last: int) -> dict[str, np.ndarray]:
        thermo = read_thermo(log, THERMO)
        # A run tells of the step at which the one before it ended once more.
        first = np.diff(thermo["Step"], prepend=0) > 0
        told = first & (thermo["Step"] <= last)
        series = {name: thermo[column][told] for name, column in zip(SERIES, THERMO, strict=True)}
        series["time_fs"] = self._fs(series["time_fs"])
        if self.start.cell.rank < 3:
            series["volume_A3"] = np.full(len(series["time_fs"]), np.nan)
        if self.phase.bias:
            timestep = self.phase.timed[0].timestep_fs
            series |= colvars_series(self.directory / "bias.colvars.traj", timestep)
        return series


def _joined(parts: Sequence[_Frames]) -> _Frames:
    return _Frames(
        np.concatenate([part.steps for part in parts]),
        np.concatenate([part.positions for part in parts]),
        np.concatenate([part.cells for part in parts]),
    )


def _part(frames: _Frames, mask: np.ndarray) -> _Frames:
    return _Frames(frames.steps[mask], frames.positions[mask], frames.cells[mask])
