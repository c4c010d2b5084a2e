"""One phase under way: its runs by ASE's integrators, what is kept of them, and why it ended."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, CalculatorError, PropertyNotImplementedError

from sparc_fw.encoding import frame_info
from sparc_fw.errors import StageFailed
from sparc_fw.explorers.bias_plumed import plumed_text
from sparc_fw.explorers.grips import AXES, Grips
from sparc_fw.explorers.phase_options import Phase, PhasesOptions
from sparc_fw.explorers.phase_runs import NPT, GripRun, Ramp, Relax, Strain, TimedRun
from sparc_fw.explorers.plumed import biased, input_lines, let_go, working_in
from sparc_fw.explorers.plumed_series import plumed_series
from sparc_fw.geometry.isolation import describe_isolation
from sparc_fw.geometry.overlap import describe_overlap
from sparc_fw.trajectories import Trajectory


def phase_plumed(options: PhasesOptions, phase: Phase, replica: int) -> list[str]:
    """The PLUMED input of a phase, empty for none."""
    if not phase.bias:
        return []
    first = phase.timed[0]
    return input_lines(plumed_text(phase.bias, first.timestep_fs, replica, options.stride(first)))


SERIES = ("time_fs", "temperature_K", "potential_energy_eV", "total_energy_eV", "volume_A3")


@dataclass
class PhaseRun:
    """Carries a phase out by ASE.

    Attributes
    ----------
    atoms : Atoms
        Where the phase begins, in the end where it ended.
    calculator : Calculator
        What its dynamics run on.
    number : int
        Of the replica.
    directory : Path
        PLUMED works there, where there is a bias.
    random : numpy.random.Generator
        Draws velocities, kicks of the bath and the frames to keep.
    told : callable
        Told the number of steps in time that are done.
    ended : str
        ``"completed"``, or why it ended early.
    """

    options: PhasesOptions
    phase: Phase
    atoms: Atoms
    calculator: Calculator
    number: int
    directory: Path
    random: np.random.Generator
    told: Callable[[int], None]
    ended: str = "completed"
    steps: int = 0
    now_fs: float = 0.0
    _kept: list[tuple[float, np.ndarray, np.ndarray]] = field(default_factory=list)
    _series: list[tuple[float, ...]] = field(default_factory=list)
    _wanted: set[int] = field(default_factory=set)
    _in_time: int = 0

    def carry_out(self) -> Trajectory:
        """Make all runs, up to the first that ends early."""
        started = time.perf_counter()
        self._wanted = chosen_steps(self.phase, self.random)
        self.atoms.calc = self.calculator
        lines = phase_plumed(self.options, self.phase, self.number)
        if lines:
            with working_in(self.directory):
                self._carry_out(lines)
                let_go(self.atoms)
        else:
            self._carry_out(lines)
        found = self._trajectory(time.perf_counter() - started)
        found.series |= plumed_series(lines, self.phase.bias, self.directory)
        return found

    def _carry_out(self, lines: list[str]) -> None:
        first = self.phase.timed[0] if lines else None
        for number, run in enumerate(self.phase.run):
            if run is first and first is not None:
                kelvin = first.kelvin(0)
                self.atoms.calc = biased(self.calculator, lines, self.atoms, first.timestep_fs, kelvin)
            try:
                reason = self._relax(run) if isinstance(run, Relax) else self._run(run)
            except NotImplementedError:
                # What a calculator can never do is no ending of one phase.
                raise
            except (CalculatorError, RuntimeError) as error:
                # A driver's SCF that does not converge, or its program that refuses a frame.
                reason = f"{type(error).__name__}: {error}"
            self.atoms.set_constraint()
            if reason is not None:
                self.ended = f"{reason}, in run {number} ({run.kind}) after {self.now_fs:g} fs of the phase"
                # What ended the phase is worth judging, where anything is kept of it.
                if self.phase.sampling.frames and np.isfinite(self.atoms.positions).all():
                    self._keep()
                break

    def _relax(self, run: Relax) -> str | None:
        from ase.filters import FrechetCellFilter
        from ase.optimize import FIRE

        moved = FrechetCellFilter(self.atoms) if run.cell else self.atoms
        with needing_stress(run.cell), FIRE(moved, logfile=None) as optimizer:
            for _ in optimizer.irun(fmax=run.max_force, steps=run.max_steps):
                if not np.isfinite(self.atoms.get_forces()).all():
                    return "a force is not finite"
            self.steps += int(optimizer.nsteps)
        self.atoms.set_momenta(np.zeros((len(self.atoms), 3)))
        return self._misplaced()

    def _run(self, run: TimedRun) -> str | None:
        atoms = self.atoms
        reason = self._misplaced()
        if reason is not None:
            return reason
        grips = Grips(atoms, run) if isinstance(run, GripRun) else None
        if grips is not None:
            atoms.set_constraint(grips)
        stride = self.options.stride(run)
        begin_fs, first_cell = self.now_fs, atoms.cell.array.copy()
        with needing_stress(isinstance(run, NPT)):
            draw_velocities(atoms, run.kelvin(0), self.random)
            bath = integrator(run, atoms, self.random)
            for step in range(1, run.steps + 1):
                if grips is not None:
                    grips.advance(atoms.get_forces(apply_constraint=False))
                if isinstance(run, Ramp):
                    bath.set_temperature(temperature_K=run.kelvin(step))
                bath.step()
                self.steps += 1
                self._in_time += 1
                self.now_fs = begin_fs + step * run.timestep_fs
                looked = step % stride == 0 or step == run.steps
                reason = self._lost(atoms.get_forces(md=True)) or (self._misplaced() if looked else None)
                if looked and np.isfinite(atoms.positions).all():
                    self._note()
                if reason is not None:
                    return reason
                if self._in_time in self._wanted:
                    self._keep()
                if isinstance(run, Strain) and looked:
                    # Not at every step, because a strained frame wants its forces anew.
                    strained(atoms, first_cell, run, step)
        return None

    def _lost(self, forces: np.ndarray) -> str | None:
        if not np.isfinite(forces).all():
            return "a force is not finite"
        largest = float(np.abs(forces).max())
        limit = self.options.max_force
        return f"a force of {largest:.4g} eV/Å passed max_force, {limit:g} eV/Å" if largest > limit else None

    def _misplaced(self) -> str | None:
        return misplaced(self.atoms, self.options.within_A)

    def _note(self) -> None:
        """Enter the state into the series; energies are known with the forces."""
        # Without the bias's part, which the calculator around this one adds.
        potential = float(self.calculator.results["energy"])
        volume = float(self.atoms.get_volume()) if self.atoms.cell.rank == 3 else np.nan
        kinetic = float(self.atoms.get_kinetic_energy())
        self._series.append((self.now_fs, self.atoms.get_temperature(), potential, potential + kinetic, volume))
        self.told(self._in_time)

    def _keep(self) -> None:
        self._kept.append((self.now_fs, self.atoms.positions.copy(), self.atoms.cell.array.copy()))

    def _trajectory(self, seconds: float) -> Trajectory:
        atoms = self.atoms
        count = len(self._kept)
        columns = np.array(self._series).reshape(-1, len(SERIES)).T
        end = atoms.copy() if self.ended == "completed" else None
        return Trajectory(
            numbers=atoms.numbers.copy(),
            positions=np.array([positions for _, positions, _ in self._kept]).reshape(count, len(atoms), 3),
            cells=np.array([cell for _, _, cell in self._kept]).reshape(count, 3, 3),
            times=np.array([when for when, _, _ in self._kept]),
            pbc=(bool(atoms.pbc[0]), bool(atoms.pbc[1]), bool(atoms.pbc[2])),
            info=frame_info(atoms),
            steps=self.steps,
            ended=self.ended,
            seconds=seconds,
            series=dict(zip(SERIES, columns, strict=True)),
            name=self.phase.name,
            lasted_fs=self.now_fs,
            end=end,
        )


def misplaced(atoms: Atoms, within: float | None) -> str | None:
    """How atoms overlap, or that one has none within so many Å; None where all are well."""
    if not np.isfinite(atoms.positions).all():
        return "a position is not finite"
    return describe_overlap(atoms) or (None if within is None else describe_isolation(atoms, within))


@contextmanager
def needing_stress(needed: bool) -> Iterator[None]:
    """Say in the words of phases that a calculator has no stress."""
    try:
        yield
    except PropertyNotImplementedError as error:
        if not needed:
            raise
        raise StageFailed(
            f"phases: the potential's calculator gives no stress, which npt and relax with cell need: {error}"
        ) from error


def chosen_steps(phase: Phase, random: np.random.Generator) -> set[int]:
    """Steps in time, counted from 1 through all runs of a phase, one at random in each window of equal time."""
    count = phase.sampling.frames
    if count == 0:
        return set()
    runs = [run for run in phase.run if run.steps]
    lengths = np.array([run.planned_fs for run in runs])
    ends, before = np.cumsum(lengths), np.cumsum([0, *(run.steps for run in runs)])
    windows = (np.arange(count) + random.random(count)) * float(ends[-1]) / count
    chosen: set[int] = set()
    for moment in windows:
        number = min(int(np.searchsorted(ends, moment, side="right")), len(runs) - 1)
        timestep = lengths[number] / runs[number].steps
        step = int((moment - (ends[number] - lengths[number])) / timestep)
        chosen.add(int(before[number]) + min(step, runs[number].steps - 1) + 1)
    return chosen


def draw_velocities(atoms: Atoms, kelvin: float, random: np.random.Generator) -> None:
    """Give atoms at rest Maxwell's velocities; nothing moves or, as a molecule, turns as a whole."""
    from ase.md.velocitydistribution import Stationary, ZeroRotation

    if atoms.get_momenta().any():
        # Handed on; layers that are now held lose theirs.
        atoms.set_momenta(atoms.get_momenta())
        return
    width = np.sqrt(atoms.get_masses() * units.kB * kelvin)
    atoms.set_momenta(random.normal(size=(len(atoms), 3)) * width[:, None])
    if atoms.constraints or len(atoms) == 1:
        return
    Stationary(atoms)
    if not atoms.pbc.any():
        # A linear molecule has no moment of inertia about its axis, which ASE divides by before it looks.
        with np.errstate(divide="ignore", invalid="ignore"):
            ZeroRotation(atoms)


def integrator(run: TimedRun, atoms: Atoms, random: np.random.Generator) -> Any:
    """ASE's integrator of a run."""
    from ase.md.langevin import Langevin
    from ase.md.langevinbaoab import LangevinBAOAB

    timestep, friction = run.timestep_fs * units.fs, run.friction_per_ps / (1000 * units.fs)
    if not isinstance(run, NPT):
        return Langevin(atoms, timestep, temperature_K=run.kelvin(0), friction=friction, rng=random, fixcm=False)
    with warnings.catch_warnings():
        # It warns of the barostat's mass, which it finds by itself from P_tau.
        warnings.filterwarnings("ignore", message="Using heuristic P_mass")
        return LangevinBAOAB(
            atoms,
            timestep,
            temperature_K=run.temperature_K,
            externalstress=-run.pressure_GPa * units.GPa,
            hydrostatic=True,
            T_tau=1 / friction,
            P_tau=run.barostat_ps * 1000 * units.fs,
            rng=random,
        )


def strained(atoms: Atoms, first_cell: np.ndarray, run: Strain, step: int) -> None:
    """Strain the cell to where it is to be at a step, and the atoms with it."""
    amount = run.rate_per_ps * step * run.timestep_fs / 1000
    to, up = AXES[run.along[0]], AXES[run.along[-1]]
    matrix = np.eye(3)
    matrix[up, to] += amount
    atoms.set_cell(first_cell @ matrix, scale_atoms=True)
