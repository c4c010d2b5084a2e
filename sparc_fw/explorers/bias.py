"""The frequent biases in one form, which `bias_colvars` and `bias_plumed` translate for an engine."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from sparc_fw.errors import InputError
from sparc_fw.geometry.confinement import AtomIndex
from sparc_fw.section import Positive, Section


class Distance(Section):
    """Distance of two atoms, Å."""

    kind: Literal["distance"]
    atoms: tuple[AtomIndex, AtomIndex]
    """Counted from 0."""


class Difference(Section):
    """One distance minus another, Å: how far an atom has gone from one neighbour to the next."""

    kind: Literal["difference"]
    atoms: tuple[AtomIndex, AtomIndex]
    """Of the first distance, counted from 0."""
    minus: tuple[AtomIndex, AtomIndex]
    """Of the second one."""


class Angle(Section):
    """Angle of three atoms, the corner in the middle, degrees."""

    kind: Literal["angle"]
    atoms: tuple[AtomIndex, AtomIndex, AtomIndex]
    """Counted from 0."""


class Dihedral(Section):
    """Dihedral angle of four atoms, degrees from -180 to 180."""

    kind: Literal["dihedral"]
    atoms: tuple[AtomIndex, AtomIndex, AtomIndex, AtomIndex]
    """Counted from 0."""


class Coordination(Section):
    """How many atoms of one group are near those of another: the sum of (1 - x^6) / (1 - x^12), x = r / radius."""

    kind: Literal["coordination"]
    atoms: list[AtomIndex] = Field(min_length=1)
    """One group, counted from 0."""
    around: list[AtomIndex] = Field(min_length=1)
    """The other group."""
    radius_A: Positive
    """Where a neighbour counts one half, Å."""

    @model_validator(mode="after")
    def _groups_differ(self) -> Self:
        both = sorted(set(self.atoms) & set(self.around))
        if both:
            raise ValueError(f"around: found atom {both[0]} in both groups, expected two groups without common atoms")
        return self


Variable = Annotated[Distance | Difference | Angle | Dihedral | Coordination, Field(discriminator="kind")]


def atoms_of(variable: Variable) -> list[int]:
    """All atoms that a variable depends on, counted from 0."""
    others = {"difference": "minus", "coordination": "around"}
    more = getattr(variable, others[variable.kind]) if variable.kind in others else ()
    return [*variable.atoms, *more]


class _Biased(Section):
    cv: Variable
    """The collective variable."""


class Metadynamics(_Biased):
    """Hills on what was visited (Laio, Parrinello, PNAS 99, 12562, 2002), smaller ones where many lie.

    Well-tempered: Barducci, Bussi, Parrinello, Phys. Rev. Lett. 100, 020603, 2008.
    """

    kind: Literal["metadynamics"]
    height_eV: Positive = 0.02
    """Height of the first hill, eV."""
    width: Positive = 0.1
    """Standard deviation of a hill, in the variable's unit."""
    every_fs: Positive = 25.0
    """Time between hills, fs."""
    bias_factor: float | None = Field(10.0, gt=1)
    """(T + ΔT) / T of the well-tempered form; null for hills of one height."""


class Umbrella(_Biased):
    """A harmonic restraint, 1/2 k (cv - centre)^2."""

    kind: Literal["umbrella"]
    centre: float | None = None
    """Where it holds the variable, in the variable's unit; where unset, each of the explorer's windows says it."""
    stiffness: Positive
    """k, eV per the variable's unit squared."""


class Steered(_Biased):
    """A harmonic restraint whose centre moves at constant velocity (Jung et al., Digit. Discov. 3, 514, 2024).

    The work that it does is recorded. While the run equilibrates, it holds its first centre.
    """

    kind: Literal["steered"]
    first: float
    """Where the centre begins, in the variable's unit."""
    last: float
    """Where it ends; there it stays for the rest of the run."""
    per_ps: list[Positive] = Field(min_length=1)
    """Velocity, the variable's unit per ps (Å/ps for a distance), by replica; the last one repeats."""
    stiffness: Positive
    """k, eV per the variable's unit squared."""

    @model_validator(mode="after")
    def _moves(self) -> Self:
        if self.first == self.last:
            raise ValueError(f"last: found {self.last}, where it begins; expected another place")
        return self

    def velocity(self, replica: int) -> float:
        """How fast the centre moves in a replica, the variable's unit per ps."""
        return self.per_ps[min(replica, len(self.per_ps) - 1)]


class Walls(_Biased):
    """Harmonic walls, 1/2 k (cv - wall)^2 beyond them."""

    kind: Literal["walls"]
    lower: float | None = None
    """In the variable's unit; where unset, there is none."""
    upper: float | None = None
    """In the variable's unit; where unset, there is none."""
    stiffness: Positive
    """k, eV per the variable's unit squared."""

    @model_validator(mode="after")
    def _stand(self) -> Self:
        if self.lower is None and self.upper is None:
            raise ValueError("found neither 'lower' nor 'upper', expected one of them or both")
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            raise ValueError(f"lower, upper: found {self.lower} and {self.upper}, expected lower < upper")
        return self


class AdaptiveForce(_Biased):
    """The mean force is learned on a grid and taken away (ABF: Darve, Pohorille, J. Chem. Phys. 115, 9169, 2001)."""

    kind: Literal["abf"]
    lower: float
    """Where the grid begins, in the variable's unit; a wall stands there."""
    upper: float
    """Where it ends."""
    spacing: Positive = 0.1
    """Of the grid, in the variable's unit."""
    samples: int = Field(200, ge=1)
    """Samples of a bin before its full mean force is taken away."""
    stiffness: Positive = 1.0
    """Of the walls at both ends, eV per the variable's unit squared."""

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.upper - self.lower < self.spacing:
            raise ValueError(f"lower, upper: found {self.lower} and {self.upper}, expected at least one bin between")
        return self


Bias = Annotated[Metadynamics | Umbrella | Steered | Walls | AdaptiveForce, Field(discriminator="kind")]


def check_biases(biases: list[Bias], atoms: int) -> None:
    """Raise `InputError` where a variable is made of atoms that do not exist, or of one atom twice."""
    for index, bias in enumerate(biases):
        where = f"bias[{index}].cv"
        named = atoms_of(bias.cv)
        wrong = [atom for atom in named if atom >= atoms]
        if wrong:
            raise InputError(
                f"{where}: found atom {wrong[0]}, but the structure has {atoms} atoms (expected 0 to {atoms - 1})"
            )
        if len(set(bias.cv.atoms)) < len(bias.cv.atoms):
            raise InputError(f"{where}: atoms: found {list(bias.cv.atoms)}, expected every atom once")


def held(biases: list[Bias]) -> list[Bias]:
    """What acts while a run equilibrates: walls and restraints, the moving ones at rest, but nothing that builds up."""
    result: list[Bias] = []
    for bias in biases:
        if isinstance(bias, Steered):
            result.append(Umbrella(kind="umbrella", cv=bias.cv, centre=bias.first, stiffness=bias.stiffness))
        elif isinstance(bias, Umbrella | Walls):
            result.append(bias)
    return result


def pulling_ps(bias: Steered, replica: int) -> float:
    """Time that the centre of a moving restraint takes, ps."""
    return abs(bias.last - bias.first) / bias.velocity(replica)
