"""What a campaign must reach before it may be called converged, as its file states it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sparc_fw.explorers.bias import Variable
from sparc_fw.section import Positive, Section

Fraction = Annotated[float, Field(ge=0, le=1)]


class Reach(Section):
    """A range of a collective variable that the explored frames must cover."""

    cv: Variable
    """The variable."""
    system: str | None = None
    """Whose frames count; of the only system where unset."""
    first: float
    """Where the range begins, Å or degrees."""
    last: float
    """Where it ends."""
    parts: int = Field(10, ge=1)
    """Equal parts of the range; each must have been seen, in a frame that did not fail."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Reach:
        if self.first >= self.last:
            raise ValueError(f"first, last: found {self.first:g} and {self.last:g}, expected first < last")
        return self


class FromExplorer(Section):
    """What an observable that explorations give has."""

    explorer: str | None = None
    """Name (or kind) of the explorer that gives it; the only one that does where unset."""
    system: str | None = None
    """Whose runs; of the only system that has such runs where unset."""


class FreeEnergyProfile(FromExplorer):
    """Root-mean-square change of the free energy along a variable, from umbrella windows."""

    kind: Literal["free_energy"] = "free_energy"
    tolerance_eV: Positive = 0.03
    """Largest change from one iteration to the next."""


class ProfileBarrier(FromExplorer):
    """Height of the most prominent maximum of that free energy."""

    kind: Literal["barrier"] = "barrier"
    tolerance_eV: Positive = 0.03
    """Largest change from one iteration to the next."""


class PullingWork(FromExplorer):
    """Highest work of steered runs, velocity by velocity (G. S. Jung et al., 2024)."""

    kind: Literal["work"] = "work"
    tolerance_eV: Positive = 0.1
    """Largest change from one iteration to the next."""


class PairDistances(Section):
    """Distribution of the distances between two elements in the explored frames; g(r) where all directions repeat."""

    kind: Literal["rdf"] = "rdf"
    elements: tuple[str, str]
    """The two, which may be the same."""
    system: str | None = None
    """Whose frames; of the only system where unset."""
    r_max_A: Positive = 6.0
    """Longest distance looked at, Å."""
    width_A: Positive = 0.1
    """Width of the bins, Å."""
    tolerance: Positive = 0.1
    """Largest root-mean-square change of g(r), or for molecules of the density of distances per Å."""

    @model_validator(mode="after")
    def _has_bins(self) -> PairDistances:
        if self.width_A >= self.r_max_A:
            raise ValueError(f"width_A: found {self.width_A:g} Å, expected less than r_max_A, {self.r_max_A:g} Å")
        return self


class EnergyDifference(Section):
    """Energy of the second of two structures above the first one, by the committee; its spread is the error."""

    kind: Literal["energy_difference"] = "energy_difference"
    of: tuple[str, str]
    """Two structure files of the same atoms; their last frames are taken."""
    system: str | None = None
    """Whose charge and spin they have; those of the only system where unset."""
    tolerance_eV: Positive = 0.03
    """Largest change from one iteration to the next."""


Observable = Annotated[
    FreeEnergyProfile | ProfileBarrier | PullingWork | PairDistances | EnergyDifference, Field(discriminator="kind")
]


class Convergence(Section):
    """When an iteration concludes that it is enough, or that it got out of hand."""

    max_unsure_fraction: Fraction = 0.05
    """Candidate and failed frames together must stay below this fraction of the explored frames."""
    patience: int = Field(1, ge=1)
    """For so many iterations in a row."""
    min_frames: int = Field(100, ge=1)
    """Least number of explored frames on which convergence can be stated."""
    min_survived_fraction: Fraction = 0.9
    """Least fraction of the planned exploration time that the runs must have survived to call it converged."""
    reach: list[Reach] = []
    """Ranges of collective variables that the frames explored in an iteration must cover to call it converged."""
    observables: list[Observable] = []
    """What must have stopped moving: since the iteration before by less than its tolerance, or twice its own error."""
    max_failed_fraction: Fraction = 0.5
    """More failed frames than this and the iteration has exploded: of each run the frames where it began to fail are
    labelled, and the next exploration is shorter."""
    frames_before_failure: int = Field(5, ge=1)
    """Of each run of an exploded iteration at most so many of the last frames before the first failed one are labelled,
    and the first failed one whose atoms do not overlap."""
    shorten: float = Field(0.5, gt=0, le=1)
    """After each exploded iteration in a row the runs of the next one last this fraction of the time before; after any
    other they have their full length again. What ran shortened is never called converged."""
    max_exploded: int = Field(2, ge=1)
    """So many exploded iterations in a row end the campaign."""
    stall_patience: int = Field(3, ge=1)
    """After so many iterations without gain, in the error on fixed labels or in the unsure fraction, it has stalled."""
    min_gain: Fraction = 0.05
    """By what fraction one of the two must fall to count as a gain."""
    max_forgetting: float = Field(0.5, gt=0)
    """Growth of the force error on labels held out earlier, relative to what it was, that the verdict names."""
