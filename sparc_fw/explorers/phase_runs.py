"""What a phase can do: relax, and runs in time."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

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
