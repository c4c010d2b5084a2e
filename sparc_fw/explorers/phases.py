"""Phases (SCS): geometries built, run and handed on, one after the other in one exploration.

A. Pacini, M. Ferrario and M. C. Righi, J. Chem. Theory Comput. 21 (2025) 7102.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import numpy as np
from ase import Atoms

from sparc_fw.encoding import frame_info
from sparc_fw.errors import InputError, MissingDependency, named
from sparc_fw.explorers.base import Explorer, Replica
from sparc_fw.explorers.bias import check_biases
from sparc_fw.explorers.colvars import try_colvars
from sparc_fw.explorers.grips import AXES, layers
from sparc_fw.explorers.lammps_command import lammps_packages
from sparc_fw.explorers.lammps_files import elements_in
from sparc_fw.explorers.phase_lammps import LAMMPSPhase, phase_colvars
from sparc_fw.explorers.phase_lammps_input import check_strained_cell
from sparc_fw.explorers.phase_options import Phase, PhasesOptions
from sparc_fw.explorers.phase_run import PhaseRun, phase_plumed
from sparc_fw.explorers.phase_runs import NPT, GripRun, Load, Relax, Shear, Strain, TimedRun
from sparc_fw.explorers.plumed import kernel_problem, try_input
from sparc_fw.explorers.timestep import timestep_warning
from sparc_fw.geometry.construct import Stock, construct
from sparc_fw.geometry.files import Files
from sparc_fw.geometry.overlap import describe_overlap
from sparc_fw.geometry.packing import missing_packmol
from sparc_fw.geometry.recipes import PackmolRecipe
from sparc_fw.geometry.simple_recipes import Recipe
from sparc_fw.labelers.driver import check_driver, driving_calculator, make_driver
from sparc_fw.seeds import derive_seed
from sparc_fw.trajectories import Trajectory


class PhasesExplorer(Explorer[PhasesOptions]):
    """Runs phases by ASE's integrators or by LAMMPS, with the first model of the committee or a driver."""

    Options: ClassVar[type[PhasesOptions]] = PhasesOptions

    def missing(self) -> list[str]:
        """What this machine lacks: Packmol, where a phase packs; LAMMPS, PLUMED or a driver's, where one needs them."""
        packs = any(isinstance(recipe, PackmolRecipe) for recipe in self.options.recipes())
        lacking = missing_packmol(self.settings.packmol_command) if packs else None
        found = [] if lacking is None else [lacking]
        for phase in self.options.phases:
            lacks = self._missing_lammps(phase) if phase.engine == "lammps" else self._missing_ase(phase)
            found += [f"phase {phase.name!r}: {sentence}" for sentence in lacks]
        return found

    def _missing_ase(self, phase: Phase) -> list[str]:
        problem = kernel_problem() if phase.bias else None
        driver = [] if phase.driver is None else make_driver(phase.driver, self.settings).missing()
        return [*([] if problem is None else [problem]), *(f"driver: {sentence}" for sentence in driver)]

    def _missing_lammps(self, phase: Phase) -> list[str]:
        try:
            packages = lammps_packages(self.settings.lmp_command)
        except MissingDependency as error:
            return [str(error)]
        if phase.bias and "COLVARS" not in packages:
            return [f"{self.settings.lmp_command}: found no package COLVARS, expected it for bias"]
        return []

    def bias_text(self, structure: Atoms) -> str:
        """PLUMED or COLVARS text of every phase with a bias."""
        texts = {phase.name: self._text(phase) for phase in self.options.phases if phase.bias}
        return "\n".join(f"# phase {name}\n{text.strip()}" for name, text in texts.items())

    def _text(self, phase: Phase) -> str:
        if phase.engine == "lammps":
            return phase_colvars(self.options, phase, 0)
        return "\n".join(phase_plumed(self.options, phase, 0))

    def check_geometries(self, structure: Atoms, files: Files) -> None:
        """Build the geometry of every phase, with that of an earlier phase in place of its end.

        Raises
        ------
        InputError
            Names the phase whose geometry cannot be built, has overlapping atoms, or does not fit its runs.
        """
        for number, (phase, atoms) in enumerate(zip(self.options.phases, self._built(structure, files), strict=True)):
            with named(f"phase {phase.name!r}"):
                overlap = describe_overlap(atoms)
                if overlap is not None:
                    raise InputError(f"geometry: {overlap}")
                self._check_runs(number, atoms)
                self._check_drives(phase, atoms, structure)

    def warnings(self, structure: Atoms, files: Files) -> list[str]:
        """Time steps that are too long for the lightest atom of the phase's geometry."""
        return [
            f"phase {phase.name!r}: run[{place}] ({run.kind}): timestep_fs: {sentence}"
            for phase, atoms in zip(self.options.phases, self._built(structure, files), strict=True)
            for place, run in enumerate(phase.run)
            if isinstance(run, TimedRun) and (sentence := timestep_warning(run.timestep_fs, atoms.numbers))
        ]

    def _built(self, structure: Atoms, files: Files) -> Iterator[Atoms]:
        """The geometry of every phase, with that of an earlier phase in place of its end."""
        ends: dict[str, Atoms] = {}
        stock = Stock(structure, files, self.settings.packmol_command, ends)
        for number, phase in enumerate(self.options.phases):
            with named(f"phase {phase.name!r}"):
                ends[phase.name] = self._build(number, stock, 1)
            yield ends[phase.name]

    def explore(self, replica: Replica) -> list[Trajectory]:
        """Run one replica; gives a trajectory for each phase, in their order.

        A phase that needs the end of one that ended early, or whose geometry cannot be built from what there is, is not
        begun, and says so; the others go on.
        """
        total = sum(phase.steps for phase in self.options.phases)
        ends: dict[str, Atoms] = {}
        stock = Stock(replica.start, replica.files, self.settings.packmol_command, ends, replica.earlier)
        found: list[Trajectory] = []
        before = 0
        for number, phase in enumerate(self.options.phases):
            seed = derive_seed(replica.seed, phase.name)
            begin = self._begin(number, stock, seed)
            if isinstance(begin, str):
                found.append(_not_begun(phase.name, begin, replica.start))
            else:
                begin.info = frame_info(replica.start)
                found.append(self._carried_out(phase, begin, replica, seed, _told(replica, before, total)))
                if found[-1].end is not None:
                    ends[phase.name] = found[-1].end
            before += phase.steps
        return found

    def _carried_out(
        self, phase: Phase, atoms: Atoms, replica: Replica, seed: int, told: Callable[[int], None]
    ) -> Trajectory:
        random = np.random.default_rng(seed)
        directory = replica.directory / phase.name
        if phase.engine == "lammps":
            pair = replica.potential.lammps_lines(replica.models[0], elements_in(atoms))
            directory.mkdir()
            return LAMMPSPhase(
                self.options, phase, atoms, pair, self.settings, replica.number, directory, random, told
            ).carry_out()
        if phase.bias:
            directory.mkdir()
        if phase.driver is not None and phase.driven(replica.iteration):
            calculator = driving_calculator(phase.driver, self.settings, atoms)
        else:
            calculator = replica.potential.calculator(replica.models[0])
        return PhaseRun(self.options, phase, atoms, calculator, replica.number, directory, random, told).carry_out()

    def _begin(self, number: int, stock: Stock, seed: int) -> Atoms | str:
        """Where a phase begins, or why it cannot."""
        lost = sorted(self.options.needs(number) - set(stock.ends))
        if lost:
            return f"it needs the end of phase {lost[0]!r}, which ended early"
        try:
            atoms = self._build(number, stock, seed)
            self._check_runs(number, atoms)
        except InputError as error:
            # That of `check` could be built, but not this one: another packing, or what an earlier phase left.
            return f"its geometry cannot be built: {error}"
        return atoms

    def _build(self, number: int, stock: Stock, seed: int) -> Atoms:
        recipe: Recipe = self.options.geometry(number)
        return construct(recipe, stock, derive_seed(seed, "geometry"))

    def _check_runs(self, number: int, atoms: Atoms) -> None:
        """Raise `InputError` where a run cannot fit the structure that it begins from."""
        phase = self.options.phases[number]
        for place, run in enumerate(phase.run):
            where = f"run[{place}] ({run.kind})"
            cell = isinstance(run, NPT | Strain) or (isinstance(run, Relax) and run.cell)
            if cell and not atoms.pbc.all():
                raise InputError(f"{where}: found pbc {atoms.pbc.tolist()}, expected a structure periodic in all")
            if isinstance(run, GripRun):
                plane = [along for along in range(3) if along != AXES[run.axis]]
                if isinstance(run, Load | Shear) and run.pressure_GPa is not None and not atoms.pbc[plane].all():
                    raise InputError(f"{where}: pressure_GPa: expected a structure periodic in the plane")
                with named(where):
                    layers(atoms, AXES[run.axis], run.grip_A)
            if isinstance(run, Strain) and phase.engine == "lammps":
                with named(where):
                    check_strained_cell(atoms)

    def _check_drives(self, phase: Phase, atoms: Atoms, structure: Atoms) -> None:
        """Raise `InputError` where an engine, a bias or a driver does not fit the structure."""
        if phase.engine == "lammps" and atoms.pbc.any() and atoms.cell.rank < 3:
            raise InputError("geometry: found a periodic structure without three cell vectors, expected them all")
        check_biases(phase.bias, len(atoms))
        if phase.driver is not None:
            frame = atoms.copy()
            frame.info = frame_info(structure)
            check_driver(phase.driver, self.settings, frame, "driver")
        if phase.bias and phase.engine == "lammps":
            try_colvars(self._text(phase), atoms, self.settings.lmp_command, "bias")
        elif phase.bias:
            first = phase.timed[0]
            try_input(phase_plumed(self.options, phase, 0), atoms, first.timestep_fs, first.kelvin(0))


def _told(replica: Replica, before: int, total: int) -> Callable[[int], None]:
    """What a phase tells its steps to, after those of the phases before it."""
    return lambda done: replica.progress(before + done, total)


def _not_begun(name: str, why: str, start: Atoms) -> Trajectory:
    """A trajectory without frames."""
    return Trajectory(
        numbers=start.numbers.copy(),
        positions=np.zeros((0, len(start), 3)),
        cells=np.zeros((0, 3, 3)),
        times=np.zeros(0),
        pbc=(bool(start.pbc[0]), bool(start.pbc[1]), bool(start.pbc[2])),
        info=frame_info(start),
        steps=0,
        ended=f"not begun: {why}",
        name=name,
        lasted_fs=0.0,
    )
