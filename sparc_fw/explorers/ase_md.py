"""Molecular dynamics by ASE (Larsen et al., J. Phys.: Condens. Matter 29, 273002, 2017), for any ASE calculator."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, CalculatorError
from ase.md.md import MolecularDynamics
from ase.optimize import BFGS
from pydantic import Field

from sparc_fw.encoding import frame_info
from sparc_fw.errors import InputError
from sparc_fw.explorers.ase_integrators import Ensemble, draw_velocities, integrator
from sparc_fw.explorers.ase_watch import CommitteeWatch, Watch
from sparc_fw.explorers.base import Explorer, Replica
from sparc_fw.explorers.bias import check_biases, held
from sparc_fw.explorers.bias_plumed import plumed_text
from sparc_fw.explorers.continued import check_no_restart, lay_down, plumed_learned, restarting
from sparc_fw.explorers.endings import until_out_of_bounds
from sparc_fw.explorers.md import RELAX_STEPS, RELAXED, MDOptions, Plan, check_starts, plan
from sparc_fw.explorers.plumed import biased, input_lines, kernel_problem, let_go, try_input, working_in
from sparc_fw.explorers.plumed_series import plumed_series
from sparc_fw.geometry.confinement import SoftSphere
from sparc_fw.geometry.files import Files
from sparc_fw.geometry.isolation import describe_isolation
from sparc_fw.geometry.overlap import describe_overlap
from sparc_fw.labelers.base import LabelerOptions
from sparc_fw.labelers.driver import check_driver, driving_calculator, make_driver
from sparc_fw.registry import ByKind
from sparc_fw.trajectories import Trajectory


class ASEOptions(MDOptions):
    """Options of dynamics by ASE."""

    text_files: ClassVar[dict[str, str]] = {"plumed_file": "plumed"}

    kind: Literal["ase_md"] = "ase_md"
    ensemble: Ensemble = "langevin"
    """Constant energy (velocity Verlet), constant temperature (Langevin, a Nosé-Hoover chain, Bussi's rescaling), or
    constant pressure, too, the cell scaled (npt) or free (npt_cell)."""
    driver: Annotated[LabelerOptions, ByKind("labeler")] | None = None
    """What drives the first iterations instead of the committee, which still judges the frames: a labeler that offers a
    calculator (xtb, or potential for a pretrained model or any ASE calculator by its import path)."""
    driver_iterations: int = Field(1, ge=1)
    """So many iterations are driven by the driver."""
    plumed: str = ""
    """PLUMED input, atoms numbered from 1, in the units that it names or PLUMED's own; empty for none."""
    plumed_file: str | None = None
    """A file with the PLUMED input, relative to the campaign file, instead of the text."""


@dataclass
class _Record:
    """What is kept of a run."""

    steps: list[int] = field(default_factory=list)
    positions: list[np.ndarray] = field(default_factory=list)
    cells: list[np.ndarray] = field(default_factory=list)
    temperature: list[float] = field(default_factory=list)
    potential: list[float] = field(default_factory=list)
    kinetic: list[float] = field(default_factory=list)

    def keep(self, step: int, atoms: Atoms, energy: float) -> None:
        self.steps.append(step)
        self.positions.append(atoms.positions.copy())
        self.cells.append(atoms.cell.array.copy())
        self.temperature.append(atoms.get_temperature())
        self.potential.append(energy)
        self.kinetic.append(float(atoms.get_kinetic_energy()))


class ASEExplorer(Explorer[ASEOptions]):
    """Runs ASE's integrators with the potential's calculator, in this process."""

    Options: ClassVar[type[ASEOptions]] = ASEOptions

    def missing(self) -> list[str]:
        """Say so where PLUMED is asked for and cannot run."""
        problem = kernel_problem() if self.options.plumed or self.options.bias else None
        driver = [] if self.options.driver is None else make_driver(self.options.driver, self.settings).missing()
        return [*([] if problem is None else [problem]), *(f"driver: {sentence}" for sentence in driver)]

    def check(self, structure: Atoms) -> None:
        """Raise `InputError` where a sphere or a variable is made of atoms that do not exist, or PLUMED refuses."""
        options = self.options
        if options.confine is not None:
            options.confine.check("explorer: confine", len(structure))
        check_biases(options.bias, len(structure))
        for index, bound in enumerate(options.distances):
            bound.check(f"distances[{index}]", len(structure))
        if options.driver is not None:
            check_driver(options.driver, self.settings, structure, "driver")
        if options.ensemble.startswith("npt") and structure.cell.rank < 3:
            raise InputError(f"ensemble: found {options.ensemble} for a structure without a cell, expected a crystal")
        if options.plumed and options.bias:
            raise InputError("plumed: found it beside 'bias', expected one of them: each has units of its own")
        lines = self._first_lines()
        check_no_restart(lines)
        if lines:
            try_input(lines, structure, options.timestep_fs, options.temperature_K[0])

    def check_geometries(self, structure: Atoms, files: Files) -> None:
        """Raise `InputError` where the file of a window holds other atoms."""
        check_starts(self.options, structure, files)

    def bias_text(self, structure: Atoms) -> str:
        """PLUMED text."""
        return "\n".join(self._first_lines())

    def _first_lines(self) -> list[str]:
        return self._plumed_lines(0, max(1, round(self.options.frame_every_fs / self.options.timestep_fs)))

    def _plumed_lines(self, replica: int, every: int) -> list[str]:
        text = (
            plumed_text(self.options.biases(replica), self.options.timestep_fs, replica, every) or self.options.plumed
        )
        return input_lines(text)

    def explore(self, replica: Replica) -> list[Trajectory]:
        """Run one replica with the first model of the committee; a run of n steps computes forces n + 1 times."""
        started = time.perf_counter()
        run = plan(self.options, replica)
        rng = np.random.default_rng(replica.seed)
        atoms = replica.start.copy()
        confine = self.options.confine
        if confine is not None:
            atoms.set_constraint(SoftSphere(confine.around, confine.radius_A, confine.stiffness_eV_A2))
        calculator = self._calculator(replica)
        lines = self._plumed_lines(replica.number, run.every)
        if replica.learned:
            lay_down(replica.learned, replica.directory)
            lines = restarting(lines)
        with working_in(replica.directory):
            ended = self._prepare(atoms, calculator, run, replica.number, rng)
            atoms.calc = self._biased(calculator, lines, atoms, run)
            record, step, ended = self._run(atoms, calculator, run, rng, replica, ended)
            let_go(atoms)
        trajectory = self._trajectory(replica, record, step, ended, lines, started)
        return [until_out_of_bounds(trajectory, self.options.distances, self.options.energy_window_eV)]

    def _calculator(self, replica: Replica) -> Calculator:
        """What the dynamics run on; an explorer that adds to it overrides this."""
        driver = self.options.driver
        if driver is not None and replica.iteration < self.options.driver_iterations:
            return driving_calculator(driver, self.settings, replica.start)
        return replica.potential.calculator(replica.models[0])

    def _biased(self, calculator: Calculator, lines: list[str], atoms: Atoms, run: Plan) -> Calculator:
        if not lines:
            return calculator
        return biased(calculator, lines, atoms, self.options.timestep_fs, run.temperature)

    def _prepare(
        self, atoms: Atoms, calculator: Calculator, run: Plan, number: int, rng: np.random.Generator
    ) -> str | None:
        """Relax, draw velocities, equilibrate; tells why the run cannot go on, or None."""
        atoms.calc = calculator
        if self.options.relax:
            BFGS(atoms, logfile=None).run(fmax=RELAXED, steps=RELAX_STEPS)
        draw_velocities(atoms, run.temperature, rng)
        if not run.equilibrate:
            return None
        rest = plumed_text(
            held(self.options.biases(number)), self.options.timestep_fs, number, run.every, "EQUILIBRATION"
        )
        atoms.calc = self._biased(calculator, input_lines(rest), atoms, run)
        dynamics = self._dynamics(atoms, run, rng)
        ended = self._trouble(atoms, atoms.get_forces(md=True), closest=True)
        for step in range(1, run.equilibrate + 1):
            if ended is not None:
                return f"{ended}, while it equilibrated"
            dynamics.step()
            ended = self._trouble(atoms, _last_forces(atoms), closest=step % run.every == 0)
        return ended

    def _run(
        self,
        atoms: Atoms,
        calculator: Calculator,
        run: Plan,
        rng: np.random.Generator,
        replica: Replica,
        ended: str | None,
    ) -> tuple[_Record, int, str | None]:
        """The frames, the steps that were made, and why there were no more (None: all were)."""
        dynamics, record, step = self._dynamics(atoms, run, rng), _Record(), 0
        watch = self._watch(replica)
        ended = ended or self._trouble(atoms, atoms.get_forces(md=True), closest=True)
        while True:
            # A frame that ended the run is kept only where it can be judged: positions that are numbers.
            if step % run.every == 0 and np.isfinite(atoms.positions).all():
                record.keep(step, atoms, float(calculator.results["energy"]))
                replica.progress(step, run.steps)
                ended = ended or self._out_of_bounds(atoms, record)
            # Nobody is asked about a frame that ends the run anyway.
            disagreement = watch.disagrees(step, atoms) if ended is None else None
            if disagreement is not None:
                return record, step, disagreement
            if ended is not None or step == run.steps:
                return record, step, None if ended is None else f"{ended} at step {step}"
            step += 1
            try:
                dynamics.step()
            except (CalculatorError, RuntimeError) as error:
                # A driver's SCF that does not converge; the last frame is the last one that has an energy.
                return record, step, f"{type(error).__name__} at step {step}: {error}"
            ended = self._trouble(atoms, _last_forces(atoms), closest=step % run.every == 0)

    def _watch(self, replica: Replica) -> Watch:
        """Who may end the run; an explorer that watches for something else overrides this."""
        return CommitteeWatch(self.options.stop, self.options.timestep_fs, replica)

    def _out_of_bounds(self, atoms: Atoms, record: _Record) -> str | None:
        """Whether a bound is broken; the frame itself is taken off at the end."""
        window = self.options.energy_window_eV
        if window is not None and record.potential[-1] - record.potential[0] > window:
            return "the energy rose too far"
        problems = (bound.problem(atoms) for bound in self.options.distances)
        return next((problem for problem in problems if problem), None)

    def _dynamics(self, atoms: Atoms, run: Plan, rng: np.random.Generator) -> MolecularDynamics:
        options = self.options
        return integrator(
            options.ensemble,
            atoms,
            options.timestep_fs,
            run.temperature,
            options.friction_per_ps,
            run.pressure,
            options.pressure_relaxation_ps,
            rng,
        )

    def _trajectory(
        self, replica: Replica, record: _Record, step: int, ended: str | None, lines: list[str], started: float
    ) -> Trajectory:
        start = replica.start
        potentials, kinetics = np.array(record.potential), np.array(record.kinetic)
        times = np.array(record.steps) * self.options.timestep_fs
        return Trajectory(
            numbers=start.numbers.copy(),
            positions=np.array(record.positions),
            cells=np.array(record.cells),
            times=times,
            pbc=(bool(start.pbc[0]), bool(start.pbc[1]), bool(start.pbc[2])),
            info=frame_info(start),
            steps=step,
            ended="completed" if ended is None else ended,
            seconds=time.perf_counter() - started,
            series={
                "time_fs": times,
                "temperature_K": np.array(record.temperature),
                "potential_energy_eV": potentials,
                "total_energy_eV": potentials + kinetics,
                **plumed_series(lines, self.options.bias, replica.directory),
            },
            learned=plumed_learned(lines, replica.directory) if self.options.continue_bias else {},
        )

    def _trouble(self, atoms: Atoms, forces: np.ndarray, closest: bool) -> str | None:
        """Why the run cannot go on, or None."""
        if not np.isfinite(forces).all():
            return "a force is not finite"
        largest = float(np.abs(forces).max())
        if largest > self.options.max_force:
            return f"a force of {largest:.4g} eV/Å passed max_force, {self.options.max_force:g} eV/Å"
        if not closest:
            return None
        within = self.options.within_A
        return describe_overlap(atoms) or (None if within is None else describe_isolation(atoms, within))


def _last_forces(atoms: Atoms) -> np.ndarray:
    """Forces of the step just made, eV/Å: not all integrators return them, and ASE would compare all atoms first."""
    return np.asarray(atoms.calc.results["forces"])
