"""What a campaign file can state about phases: geometry, runs and sampling of each."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from sparc_fw.explorers.base import ExplorerOptions
from sparc_fw.geometry.recipes import EndRecipe, Geometry
from sparc_fw.geometry.simple_recipes import FileRecipe, Recipe, StartRecipe
from sparc_fw.section import Positive, Section

Axis = Literal["x", "y", "z"]


class Run(Section):
    """Common to everything that a phase can do."""

    kind: str

    @property
    def steps(self) -> int:
        """Steps in time; none for what has no time."""
        return 0

    @property
    def planned_fs(self) -> float:
        """Time that it is to last, fs."""
        return 0.0

    def scaled(self, factor: float) -> Self:
        """The same, so many times as long."""
        return self


class Relax(Run):
    """Relaxation by FIRE (E. Bitzek et al., Phys. Rev. Lett. 97 (2006) 170201)."""

    kind: Literal["relax"] = "relax"
    max_force: Positive = 0.05
    """Ends when no force is larger, eV/Å."""
    max_steps: int = Field(500, ge=1)
    """Ends after so many steps, relaxed or not."""
    cell: bool = False
    """Relax the cell, too, to no stress."""


class TimedRun(Run):
    """Common to runs in time, in a Langevin heat bath."""

    duration_ps: Positive
    """Length, ps."""
    timestep_fs: Positive = 1.0
    """MD time step, fs."""
    friction_per_ps: Positive = 10.0
    """Langevin friction, 1/ps."""

    @model_validator(mode="after")
    def _check_steps(self) -> Self:
        if self.steps < 1:
            raise ValueError(f"duration_ps: found {self.duration_ps:g}, expected at least {self.timestep_fs:g} fs")
        return self

    @property
    def steps(self) -> int:
        """Steps in time."""
        return round(self.duration_ps * 1000 / self.timestep_fs)

    @property
    def planned_fs(self) -> float:
        """Time that it is to last, fs."""
        return self.steps * self.timestep_fs

    def scaled(self, factor: float) -> Self:
        """The same, so many times as long, but a step at least."""
        return self.model_copy(update={"duration_ps": max(self.duration_ps * factor, self.timestep_fs / 1000)})

    def kelvin(self, step: int) -> float:
        """Temperature of the bath at a step, K."""
        raise NotImplementedError


class SteadyRun(TimedRun):
    """Common to runs at one temperature."""

    temperature_K: Positive = 300.0
    """Temperature of the bath, K."""

    def kelvin(self, step: int) -> float:
        """Temperature of the bath, K."""
        return self.temperature_K


class NVT(SteadyRun):
    """Constant volume and temperature."""

    kind: Literal["nvt"] = "nvt"


class Ramp(TimedRun):
    """Constant volume, temperature changing evenly in time."""

    kind: Literal["ramp"] = "ramp"
    from_K: Positive
    """Temperature at the begin, K."""
    to_K: Positive
    """Temperature at the end, K."""

    def kelvin(self, step: int) -> float:
        """Temperature of the bath at a step, K."""
        return self.from_K + (self.to_K - self.from_K) * step / self.steps


class NPT(SteadyRun):
    """Constant pressure and temperature; the cell keeps its shape.

    Langevin-Hoover of D. Quigley and M. I. J. Probert, J. Chem. Phys. 120 (2004) 11432.
    """

    kind: Literal["npt"] = "npt"
    pressure_GPa: float = 0.0
    """Pressure, GPa."""
    barostat_ps: Positive = 1.0
    """Time in which the volume responds, ps."""


class Strain(SteadyRun):
    """The cell is strained evenly in time, and the atoms with it."""

    kind: Literal["strain"] = "strain"
    along: Literal["x", "y", "z", "xy", "xz", "yz"]
    """The axis that is stretched; 'xy' shears: what is higher in y is moved along x."""
    rate_per_ps: float
    """Strain of the first cell per time, 1/ps; negative compresses."""


class GripRun(SteadyRun):
    """Common to runs in which the lowest atoms are held and the uppermost are moved as one rigid body."""

    axis: Axis = "z"
    """What is up."""
    grip_A: Positive = 3.0
    """Thickness of the held and of the moved layer, Å."""


class Load(GripRun):
    """The upper layer is pressed down."""

    kind: Literal["load"] = "load"
    pressure_GPa: float
    """Pressure on it, GPa; negative lifts."""


class Pull(GripRun):
    """The upper layer is pulled up at constant speed."""

    kind: Literal["pull"] = "pull"
    speed_A_per_ps: float
    """Speed, Å/ps; negative pushes down."""


class Shear(GripRun):
    """The upper layer slides at constant speed."""

    kind: Literal["shear"] = "shear"
    along: Axis = "x"
    """Direction of sliding."""
    speed_A_per_ps: float
    """Speed, Å/ps."""
    pressure_GPa: float | None = None
    """Pressure that presses it down, GPa; where unset, it keeps its height."""

    @model_validator(mode="after")
    def _check_axes(self) -> Shear:
        if self.along == self.axis:
            raise ValueError(f"along: found {self.along!r}, which is up, expected a direction in the plane")
        return self


AnyRun = Annotated[Relax | NVT | Ramp | NPT | Strain | Load | Pull | Shear, Field(discriminator="kind")]


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

    @model_validator(mode="after")
    def _check_sampling(self) -> Phase:
        if self.sampling.frames > self.steps:
            raise ValueError(
                f"sampling: frames: found {self.sampling.frames}, expected at most {self.steps}, the steps in time of "
                "this phase; 0 keeps none"
            )
        return self

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
