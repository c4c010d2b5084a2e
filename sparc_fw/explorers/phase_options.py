"""What a campaign file can state about phases: geometry, engine, runs and sampling of each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import dropwhile
from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from sparc_fw.explorers.base import ExplorerOptions
from sparc_fw.explorers.bias import AdaptiveForce, Bias, Steered, pulling_ps
from sparc_fw.explorers.phase_runs import NPT, AnyRun, GripRun, Relax, Strain, TimedRun
from sparc_fw.explorers.windows import window_problem
from sparc_fw.geometry.recipes import EndRecipe, Geometry
from sparc_fw.geometry.simple_recipes import FileRecipe, Recipe, StartRecipe
from sparc_fw.labelers.base import LabelerOptions
from sparc_fw.registry import ByKind
from sparc_fw.section import Positive, Section


class Sampling(Section):
    """Which frames of a phase are kept and judged: one from each of several windows of equal time."""

    frames: int = Field(20, ge=0)
    """Number of windows; a frame is drawn at random in each."""


class Phase(Section):
    """A geometry, what is done with it, and what is kept."""

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")
    """Name, by which later phases and iterations refer to it."""
    geometry: Geometry | None = None
    """Where it begins; where unset, where the phase before ended, or, for the first, the replica's start."""
    run: list[AnyRun] = Field(min_length=1)
    """What is done, one after the other; velocities are handed on, and drawn where atoms are at rest."""
    sampling: Sampling = Sampling()
    """Which frames are kept."""
    engine: Literal["ase", "lammps"] = "ase"
    """What runs it; LAMMPS is faster, but neither loads, pulls and shears layers nor runs on a driver."""
    driver: Annotated[LabelerOptions, ByKind("labeler")] | None = None
    """What drives it in the first iterations instead of the committee, which still judges the frames: a labeler that
    offers a calculator (xtb, or potential for a pretrained model or any ASE calculator by its import path)."""
    driver_iterations: int = Field(1, ge=1)
    """So many iterations are driven by the driver."""
    bias: list[Bias] = []
    """What drives collective variables of its atoms in its runs in time, by PLUMED where ASE runs it and by COLVARS
    where LAMMPS does."""

    @model_validator(mode="after")
    def _check_sampling(self) -> Phase:
        if self.sampling.frames > self.steps:
            raise ValueError(
                f"sampling: frames: found {self.sampling.frames}, expected at most {self.steps}, the steps in time of "
                "this phase; 0 keeps none"
            )
        return self

    @model_validator(mode="after")
    def _check_engine(self) -> Phase:
        problem = next(self._problems(), None)
        if problem is not None:
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        """What its engine cannot do, and which one can."""
        if self.engine == "lammps" and self.driver is not None:
            yield "driver: found one beside engine: lammps, expected engine: ase, which runs on any calculator"
        for place, run in enumerate(self.run):
            where = f"run[{place}]: found {run.kind}"
            if self.engine == "lammps" and isinstance(run, GripRun):
                yield f"{where} beside engine: lammps, expected engine: ase, which moves layers"
            if self.engine == "ase" and self.bias and isinstance(run, NPT | Strain):
                yield (
                    f"{where} beside a bias and engine: ase, expected engine: lammps: PLUMED in ASE goes with no cell "
                    "that changes"
                )
        for place, bias in enumerate(self.bias):
            if self.engine == "ase" and isinstance(bias, AdaptiveForce):
                yield f"bias[{place}]: found abf beside engine: ase, expected engine: lammps: PLUMED does not have it"
        if self.bias:
            yield from self._bias_problems()

    def _bias_problems(self) -> Iterator[str]:
        """What keeps a bias from acting on one run in time after the other as if they were one."""
        timed = self.timed
        if not timed:
            yield "bias: found one in a phase without a run in time, expected one with such a run"
        elif any(isinstance(run, Relax) for run in dropwhile(lambda run: isinstance(run, Relax), self.run)):
            yield "bias: found relax after a run in time, expected it before, or in a phase of its own"
        if len({run.timestep_fs for run in timed}) > 1:
            steps = [run.timestep_fs for run in timed]
            yield f"bias: found the time steps {steps} fs, expected one for all runs: a bias counts time in steps"
        lasts = self.planned_fs / 1000
        for place, bias in enumerate(self.bias):
            if isinstance(bias, Steered) and (
                max(pulling_ps(bias, replica) for replica in range(len(bias.per_ps))) > lasts * (1 + 1e-9)
            ):
                yield f"bias[{place}]: it pulls for longer than the phase lasts, which is {lasts:g} ps"
        problem = window_problem(self.bias, None)
        if problem is not None:
            yield problem

    @property
    def timed(self) -> list[TimedRun]:
        """Its runs in time."""
        return [run for run in self.run if isinstance(run, TimedRun)]

    def driven(self, iteration: int) -> bool:
        """Whether the driver, and not the committee, drives it in an iteration."""
        return self.driver is not None and iteration < self.driver_iterations

    @property
    def steps(self) -> int:
        """Steps in time of all its runs."""
        return sum(run.steps for run in self.run)

    @property
    def planned_fs(self) -> float:
        """Time that it is to last, fs."""
        return sum(run.planned_fs for run in self.run)

    def scaled(self, factor: float) -> Phase:
        """The same, so many times as long."""
        runs = [run.scaled(factor) for run in self.run]
        frames = min(self.sampling.frames, sum(run.steps for run in runs))
        return self.model_copy(update={"run": runs, "sampling": Sampling(frames=frames)})


class PhasesOptions(ExplorerOptions):
    """Options of exploration in phases."""

    kind: Literal["phases"] = "phases"
    phases: list[Phase] = Field(min_length=1)
    """The phases, run in this order."""
    max_force: Positive = 100.0
    """A force component beyond this in a run in time ends its phase, eV/Å."""
    within_A: Positive | None = None
    """An atom farther than this from its nearest neighbour ends its phase, Å; where unset, none does."""
    check_every_fs: Positive = 10.0
    """Time between looks for atoms that overlap or left, and between entries of the series, fs."""

    @model_validator(mode="after")
    def _check_references(self) -> PhasesOptions:
        names = [phase.name for phase in self.phases]
        if len(set(names)) < len(names):
            raise ValueError(f"phases: found the names {names}, expected every name once")
        for number, phase in enumerate(self.phases):
            for recipe in self.geometry(number).walk():
                if not isinstance(recipe, EndRecipe):
                    continue
                known = names[:number] if recipe.iteration == "this" else names
                if recipe.phase in known:
                    continue
                where = f"phase {phase.name!r}: geometry: end of phase {recipe.phase!r}"
                expected = f"one of {known}" if known else "another geometry: no phase runs before this one"
                fault = "does not run before it" if recipe.phase in names else "does not exist"
                raise ValueError(f"{where}, which {fault}; expected {expected}")
        return self

    def geometry(self, number: int) -> Recipe:
        """The geometry of a phase, its default spelled out."""
        stated: Recipe | None = self.phases[number].geometry
        if stated is not None:
            return stated
        return EndRecipe(phase=self.phases[number - 1].name) if number else StartRecipe()

    def stride(self, run: TimedRun) -> int:
        """Steps of a run between two looks."""
        return max(1, round(self.check_every_fs / run.timestep_fs))

    def needs(self, number: int) -> set[str]:
        """Names of the phases of this exploration whose ends a phase needs."""
        ends = [recipe for recipe in self.geometry(number).walk() if isinstance(recipe, EndRecipe)]
        return {recipe.phase for recipe in ends if recipe.iteration == "this"}

    def recipes(self) -> list[Recipe]:
        """All recipes of all phases."""
        return [recipe for number in range(len(self.phases)) for recipe in self.geometry(number).walk()]

    @property
    def paths(self) -> list[str]:
        """The files of structures that the phases name."""
        return [recipe.path for recipe in self.recipes() if isinstance(recipe, FileRecipe)]

    @property
    def looks_back(self) -> bool:
        """Whether a phase begins from an end of the iteration before."""
        return any(isinstance(recipe, EndRecipe) and recipe.iteration == "last" for recipe in self.recipes())

    def planned_ps(self, iteration: int) -> float:
        """Time that a replica simulates in all phases, ps."""
        return sum(phase.planned_fs for phase in self.phases) / 1000

    def lasting(self, ps: float) -> Self:
        """The same with all phases shortened or lengthened."""
        planned = self.planned_ps(0)
        if planned == 0:
            return self
        return self.model_copy(update={"phases": [phase.scaled(ps / planned) for phase in self.phases]})
