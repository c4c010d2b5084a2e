"""How structures are made: the options that a campaign file can state, told apart by ``kind``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from ase.data import atomic_numbers
from pydantic import AfterValidator, Field, model_validator

from sparc_fw.section import Positive, Section

Count = Annotated[int, Field(ge=1)]
Repeat = tuple[Count, Count, Count]


def _element(symbol: str) -> str:
    if symbol not in atomic_numbers or symbol == "X":
        raise ValueError(f"found {symbol!r}, expected a chemical symbol")
    return symbol


Element = Annotated[str, AfterValidator(_element)]


class Recipe(Section):
    """Common to all ways to make a structure."""

    kind: str

    def ingredients(self) -> list[Recipe]:
        """The recipes that this one directly needs."""
        return []

    def walk(self) -> Iterator[Recipe]:
        """The recipe itself and all that it needs, at any depth."""
        yield self
        for recipe in self.ingredients():
            yield from recipe.walk()


class StartRecipe(Recipe):
    """What the replica begins from: the system's structure or a start frame."""

    kind: Literal["start"] = "start"


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


class FileRecipe(Recipe):
    """A structure from a file that ASE reads; where `index` chooses several, one of them at random."""

    kind: Literal["file"] = "file"
    path: str
    """File, relative to the campaign file."""
    index: str = "-1"
    """Which frame, as ASE writes it: '-1' for the last; ':' for any."""
    repeat: Repeat = (1, 1, 1)
    """Copies along each cell vector."""


class PoolRecipe(Recipe):
    """One of several structures, chosen at random in each iteration and replica."""

    kind: Literal["pool"] = "pool"
    of: list[Geometry] = Field(min_length=1)
    """What to choose from."""

    def ingredients(self) -> list[Recipe]:
        """All structures that may be chosen."""
        return list(self.of)


class BulkRecipe(Recipe):
    """A bulk crystal by ASE's ``bulk``."""

    kind: Literal["bulk"] = "bulk"
    name: str
    """Chemical symbol or formula: C, Fe, NaCl."""
    structure: str | None = None
    """Crystal structure as ASE calls it (fcc, bcc, hcp, diamond, zincblende, rocksalt, …); where unset, that of the
    element's reference state."""
    a_A: Positive | None = None
    """Lattice constant a, Å; where unset, the element's."""
    c_A: Positive | None = None
    """Lattice constant c, Å; where unset, the element's."""
    cubic: bool = True
    """The conventional cubic cell instead of the primitive one; only for cubic crystals."""
    repeat: Repeat = (1, 1, 1)
    """Copies along each cell vector."""


class CrystalRecipe(Recipe):
    """A crystal from its space group and asymmetric unit, by pymatgen: graphite, quartz, ice, …"""

    kind: Literal["crystal"] = "crystal"
    space_group: str | int
    """Symbol or number of the space group: P6_3/mmc, 194."""
    lengths_A: tuple[Positive, Positive, Positive]
    """Lengths of the conventional cell's vectors, Å."""
    angles_deg: tuple[Positive, Positive, Positive] = (90.0, 90.0, 90.0)
    """Its angles alpha, beta, gamma, degrees."""
    symbols: list[Element] = Field(min_length=1)
    """Elements of the asymmetric unit."""
    fractional: list[tuple[float, float, float]] = Field(min_length=1)
    """Their fractional coordinates."""
    repeat: Repeat = (1, 1, 1)
    """Copies along each cell vector."""

    @model_validator(mode="after")
    def _check(self) -> CrystalRecipe:
        if len(self.symbols) != len(self.fractional):
            raise ValueError(
                f"found {len(self.symbols)} symbols and {len(self.fractional)} positions, expected as many"
            )
        return self


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


class MoleculeRecipe(Recipe):
    """A molecule of ASE's G2 collection."""

    kind: Literal["molecule"] = "molecule"
    name: str
    """Name as in ``ase.build.molecule``: H2O, CH4, C6H6."""
    box_A: Positive | None = None
    """Edge of a periodic cubic box around it, Å; where unset, no box."""


class NanoparticleRecipe(Recipe):
    """A nanoparticle of about the asked size in its equilibrium shape (Wulff construction), by ASE."""

    kind: Literal["nanoparticle"] = "nanoparticle"
    element: Element
    """Chemical symbol."""
    structure: Literal["fcc", "bcc", "sc"]
    """Crystal structure."""
    a_A: Positive | None = None
    """Lattice constant, Å; where unset, the element's."""
    surface_energies: dict[Annotated[str, Field(pattern=r"^\d{3}$")], Positive] = Field(min_length=1)
    """Energies of the facets, any unit, only their ratios count: {'111': 1.0, '100': 1.1}."""
    atoms: int = Field(ge=1)
    """Number of atoms; the nearest whole particle is made."""
    box_A: Positive | None = None
    """Edge of a periodic cubic box around it, Å; where unset, no box."""


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
