"""How structures are made of other ones, and all recipes in one type, told apart by ``kind``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sparc_fw.geometry.simple_recipes import (
    BulkRecipe,
    Count,
    CrystalRecipe,
    FileRecipe,
    MoleculeRecipe,
    NanoparticleRecipe,
    Recipe,
    StartRecipe,
)
from sparc_fw.section import Positive, Section


class EndRecipe(Recipe):
    """Where a phase ended."""

    kind: Literal["end"] = "end"
    phase: str
    """Name of the phase."""
    iteration: Literal["this", "last"] = "this"
    """A phase that ran before in this exploration, or any phase of this replica in the iteration before."""
    otherwise: Geometry | None = None
    """With 'last': what to take where no such end is known, as in iteration 0; needed there."""

    @model_validator(mode="after")
    def _check(self) -> EndRecipe:
        if (self.iteration == "last") != (self.otherwise is not None):
            raise ValueError(
                f"otherwise: found {'it' if self.otherwise else 'none'} beside iteration: {self.iteration}, expected "
                "it with 'last' (iteration 0 has no iteration before it) and only there"
            )
        return self

    def ingredients(self) -> list[Recipe]:
        """What is taken where there is no end."""
        return [] if self.otherwise is None else [self.otherwise]


class PoolRecipe(Recipe):
    """One of several structures, chosen at random in each iteration and replica."""

    kind: Literal["pool"] = "pool"
    of: list[Geometry] = Field(min_length=1)
    """What to choose from."""

    def ingredients(self) -> list[Recipe]:
        """All structures that may be chosen."""
        return list(self.of)


class SurfaceRecipe(Recipe):
    """A slab cut out of a crystal, normal to z, by ASE's ``surface``."""

    kind: Literal["surface"] = "surface"
    of: Geometry
    """The crystal, in its conventional cell."""
    miller: tuple[int, int, int]
    """Miller indices of the surface."""
    layers: int = Field(ge=1)
    """Number of repeated layers, as ASE counts them."""
    vacuum_A: float = Field(0.0, ge=0)
    """Vacuum above the slab, Å; 0 for a bulk in this orientation."""
    repeat: tuple[Count, Count] = (1, 1)
    """Copies in the plane."""

    @model_validator(mode="after")
    def _check(self) -> SurfaceRecipe:
        if not any(self.miller):
            raise ValueError(f"miller: found {self.miller}, expected an index that is not zero")
        return self

    def ingredients(self) -> list[Recipe]:
        """The crystal."""
        return [self.of]


class Compound(Section):
    """One ingredient of a mixture."""

    of: Geometry
    """The molecule."""
    count: int = Field(ge=1)
    """How many of it."""


class PackmolRecipe(Recipe):
    """Molecules at random in a box, or in a box above a slab, by Packmol."""

    kind: Literal["packmol"] = "packmol"
    compounds: list[Compound] = Field(min_length=1)
    """What is packed."""
    shuffle: bool = False
    """Draw how many of each compound at random, at least one each; the sum of the counts stays."""
    density_g_cm3: Positive | None = None
    """Target density, g/cm^3, which gives the size of a cubic box, or the height of one above a slab."""
    box_A: tuple[Positive, Positive, Positive] | None = None
    """Edges of the periodic box instead, Å."""
    above: Geometry | None = None
    """A slab with a right-angled cell, above which the box stands; its cell grows along z."""
    height_A: Positive | None = None
    """Height of the box above a slab, Å, instead of a density."""
    vacuum_A: float = Field(0.0, ge=0)
    """Vacuum above the box above a slab, Å."""
    tolerance_A: Positive = 2.0
    """Least distance between atoms of different molecules, Å."""
    loops: int = Field(200, ge=1)
    """Packmol's attempts (its nloop) before it gives up."""

    @model_validator(mode="after")
    def _check(self) -> PackmolRecipe:
        size = "height_A" if self.above is not None else "box_A"
        other = "box_A" if self.above is not None else "height_A"
        if getattr(self, other) is not None or (getattr(self, size) is None) == (self.density_g_cm3 is None):
            given = [key for key in ("density_g_cm3", "box_A", "height_A") if getattr(self, key) is not None]
            where = "above a slab" if self.above is not None else "without a slab"
            raise ValueError(f"found {given or 'no size'}, expected density_g_cm3 or {size} (one of them) {where}")
        if self.vacuum_A > 0 and self.above is None:
            raise ValueError(f"vacuum_A: found {self.vacuum_A:g} without a slab, expected it with 'above' only")
        return self

    def ingredients(self) -> list[Recipe]:
        """The molecules and the slab."""
        slab = [] if self.above is None else [self.above]
        return [*(compound.of for compound in self.compounds), *slab]


class Piece(Section):
    """One structure of a collage, or a slice of it."""

    of: Geometry
    """The structure, periodic in the plane."""
    from_A: float = Field(0.0, ge=0)
    """Where the slice begins, Å above the lowest atom; molecules that lie within belong to it whole."""
    to_A: Positive | None = None
    """Where it ends, Å above the lowest atom; where unset, at the top."""

    @model_validator(mode="after")
    def _check(self) -> Piece:
        if self.to_A is not None and self.to_A <= self.from_A:
            raise ValueError(f"from_A, to_A: found {self.from_A:g} and {self.to_A:g} Å, expected from_A < to_A")
        return self


class CollageRecipe(Recipe):
    """Slices of structures stitched together along an axis, in one cell; the first keeps its lateral size."""

    kind: Literal["collage"] = "collage"
    pieces: list[Piece] = Field(min_length=1)
    """From the bottom to the top."""
    axis: Literal["x", "y", "z"] = "z"
    """Along which they are stitched: the normal of the plane of the other two cell vectors."""
    gap_A: Positive = 2.0
    """Distance of neighbouring pieces, from atom to atom along the axis, Å; also between the top and the bottom's
    image."""
    vacuum_A: float = Field(0.0, ge=0)
    """Vacuum above the last piece, beyond the gap, Å."""
    max_strain: Positive = 0.05
    """Most that a piece may be stretched or compressed in the plane to fit the first one."""
    max_area_A2: Positive = 300.0
    """Largest common cell in the plane that is looked for, Å^2."""
    random_shift: bool = False
    """Shift each piece in the plane at random."""

    def ingredients(self) -> list[Recipe]:
        """The structures of all pieces."""
        return [piece.of for piece in self.pieces]


Geometry = Annotated[
    StartRecipe
    | EndRecipe
    | FileRecipe
    | PoolRecipe
    | BulkRecipe
    | CrystalRecipe
    | SurfaceRecipe
    | MoleculeRecipe
    | NanoparticleRecipe
    | PackmolRecipe
    | CollageRecipe,
    Field(discriminator="kind"),
]

for _model in (EndRecipe, PoolRecipe, SurfaceRecipe, Compound, PackmolRecipe, Piece, CollageRecipe):
    _model.model_rebuild()
