"""Structures that are made of no other ones: the options that a campaign file can state, told apart by ``kind``."""

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


class FileRecipe(Recipe):
    """A structure from a file that ASE reads; where `index` chooses several, one of them at random."""

    kind: Literal["file"] = "file"
    path: str
    """File, relative to the campaign file."""
    index: str = "-1"
    """Which frame, as ASE writes it: '-1' for the last; ':' for any."""
    repeat: Repeat = (1, 1, 1)
    """Copies along each cell vector."""


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
