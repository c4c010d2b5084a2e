"""Phases (SCS): geometries built, run and handed on, one after the other in one exploration.

A. Pacini, M. Ferrario and M. C. Righi, J. Chem. Theory Comput. 21 (2025) 7102.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import numpy as np
from ase import Atoms

from sparc_fw.encoding import frame_info
from sparc_fw.errors import InputError
from sparc_fw.explorers.base import Explorer, Replica
from sparc_fw.explorers.grips import AXES, layers
from sparc_fw.explorers.phase_options import NPT, GripRun, Load, PhasesOptions, Relax, Shear, Strain, TimedRun
from sparc_fw.explorers.phase_run import PhaseRun
from sparc_fw.explorers.timestep import timestep_warning
from sparc_fw.geometry.construct import Stock, construct
from sparc_fw.geometry.files import Files
from sparc_fw.geometry.overlap import describe_overlap
from sparc_fw.geometry.packing import missing_packmol
from sparc_fw.geometry.recipes import PackmolRecipe
from sparc_fw.geometry.simple_recipes import Recipe
from sparc_fw.seeds import derive_seed
from sparc_fw.trajectories import Trajectory


class PhasesExplorer(Explorer[PhasesOptions]):
    """Runs phases by ASE's integrators, with the first model of the committee."""

    Options: ClassVar[type[PhasesOptions]] = PhasesOptions

    def missing(self) -> list[str]:
        """What this machine lacks: Packmol, where a phase packs."""
        packs = any(isinstance(recipe, PackmolRecipe) for recipe in self.options.recipes())
        lacking = missing_packmol(self.settings.packmol_command) if packs else None
        return [] if lacking is None else [lacking]

    def check_geometries(self, structure: Atoms, files: Files) -> None:
        """Build the geometry of every phase, with that of an earlier phase in place of its end.

        Raises
        ------
        InputError
            Names the phase whose geometry cannot be built, has overlapping atoms, or does not fit its runs.
        """
        for number, atoms in enumerate(self._built(structure, files)):
            with self._named(number):
                self._check_runs(number, atoms)

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
            with self._named(number):
                ends[phase.name] = self._build(number, stock, 1)
            yield ends[phase.name]

    @contextmanager
    def _named(self, number: int) -> Iterator[None]:
        """Put the phase in front of what is wrong with it."""
        try:
            yield
        except InputError as error:
            raise type(error)(f"phase {self.options.phases[number].name!r}: {error}") from error

    def explore(self, replica: Replica) -> list[Trajectory]:
        """Run one replica; gives a trajectory for each phase, in their order.

        A phase that needs the end of one that ended early is not begun, and says so; the others go on.
        """
        calculator = replica.potential.calculator(replica.models[0])
        total = sum(phase.steps for phase in self.options.phases)
        ends: dict[str, Atoms] = {}
        stock = Stock(replica.start, replica.files, self.settings.packmol_command, ends, replica.earlier)
        found: list[Trajectory] = []
        before = 0
        for number, phase in enumerate(self.options.phases):
            lost = sorted(self.options.needs(number) - set(ends))
            if lost:
                found.append(_not_begun(phase.name, lost[0], replica.start))
            else:
                seed = derive_seed(replica.seed, phase.name)
                atoms = self._build(number, stock, seed)
                atoms.info = frame_info(replica.start)
                atoms.calc = calculator
                told = _told(replica, before, total)
                run = PhaseRun(self.options, phase, atoms, np.random.default_rng(seed), told)
                found.append(run.carry_out())
                if found[-1].end is not None:
                    ends[phase.name] = found[-1].end
            before += phase.steps
        return found

    def _build(self, number: int, stock: Stock, seed: int) -> Atoms:
        recipe: Recipe = self.options.geometry(number)
        return construct(recipe, stock, derive_seed(seed, "geometry"))

    def _check_runs(self, number: int, atoms: Atoms) -> None:
        """Raise `InputError` where a run cannot fit the structure that it begins from."""
        overlap = describe_overlap(atoms)
        if overlap is not None:
            raise InputError(f"geometry: {overlap}")
        for place, run in enumerate(self.options.phases[number].run):
            where = f"run[{place}] ({run.kind})"
            cell = isinstance(run, NPT | Strain) or (isinstance(run, Relax) and run.cell)
            if cell and not atoms.pbc.all():
                raise InputError(f"{where}: found pbc {atoms.pbc.tolist()}, expected a structure periodic in all")
            if isinstance(run, GripRun):
                plane = [along for along in range(3) if along != AXES[run.axis]]
                if isinstance(run, Load | Shear) and run.pressure_GPa is not None and not atoms.pbc[plane].all():
                    raise InputError(f"{where}: pressure_GPa: expected a structure periodic in the plane")
                try:
                    layers(atoms, AXES[run.axis], run.grip_A)
                except InputError as error:
                    raise InputError(f"{where}: {error}") from error


def _told(replica: Replica, before: int, total: int) -> Callable[[int], None]:
    """What a phase tells its steps to, after those of the phases before it."""
    return lambda done: replica.progress(before + done, total)


def _not_begun(name: str, needed: str, start: Atoms) -> Trajectory:
    """A trajectory without frames."""
    return Trajectory(
        numbers=start.numbers.copy(),
        positions=np.zeros((0, len(start), 3)),
        cells=np.zeros((0, 3, 3)),
        times=np.zeros(0),
        pbc=(bool(start.pbc[0]), bool(start.pbc[1]), bool(start.pbc[2])),
        info=frame_info(start),
        steps=0,
        ended=f"not begun: it needs the end of phase {needed!r}, which ended early",
        name=name,
        lasted_fs=0.0,
    )
