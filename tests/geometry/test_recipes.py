"""Structures from recipes: counts, densities, strains, no overlap, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from pydantic import TypeAdapter, ValidationError

from sparc_fw.backend import find_command
from sparc_fw.errors import InputError, MissingDependency
from sparc_fw.geometry.collage import cut, molecules, turned_back, upright
from sparc_fw.geometry.construct import Stock, construct
from sparc_fw.geometry.files import Files
from sparc_fw.geometry.matching import common_cell
from sparc_fw.geometry.overlap import closest_contact, describe_overlap
from sparc_fw.geometry.packing import density, shuffled_counts
from sparc_fw.geometry.recipes import Geometry
from sparc_fw.geometry.simple_recipes import Recipe

RECIPES: TypeAdapter[Recipe] = TypeAdapter(Geometry)
DIAMOND = {"kind": "bulk", "name": "C"}
SLAB = {"kind": "surface", "of": DIAMOND, "miller": (1, 1, 0), "layers": 4, "repeat": (2, 3)}
GRAPHITE = {
    "kind": "crystal",
    "space_group": "P6_3/mmc",
    "lengths_A": (2.461, 2.461, 6.708),
    "angles_deg": (90, 90, 120),
    "symbols": ["C", "C"],
    "fractional": [(0, 0, 0.25), (1 / 3, 2 / 3, 0.25)],
}
WATER = {"of": {"kind": "molecule", "name": "H2O"}, "count": 12}
METHANE = {"of": {"kind": "molecule", "name": "CH4"}, "count": 6}

needs_packmol = pytest.mark.skipif(
    find_command("packmol") is None, reason="packmol is not installed (Debian: apt-get install packmol)"
)


def make(recipe: dict[str, Any], seed: int = 1, files: Files | None = None, packmol: str = "packmol") -> Atoms:
    stock = Stock(Atoms("H"), files or Files({}), packmol)
    return construct(RECIPES.validate_python(recipe), stock, seed)


def test_bulk_and_repeat() -> None:
    found = make(DIAMOND | {"repeat": (2, 1, 1)})
    assert len(found) == 16
    assert found.cell.lengths() == pytest.approx([7.14, 3.57, 3.57])


def test_a_crystal_that_ase_does_not_know_is_bad_input() -> None:
    with pytest.raises(InputError, match="bulk: C hexagonal"):
        make(DIAMOND | {"structure": "hexagonal"})


def test_graphite_from_its_space_group() -> None:
    found = make(GRAPHITE)
    assert len(found) == 4
    assert density(found) == pytest.approx(2.267, abs=0.005)


def test_a_cell_that_contradicts_the_space_group_is_bad_input() -> None:
    with pytest.raises(InputError, match="crystal: space_group P6_3/mmc"):
        make(GRAPHITE | {"angles_deg": (90, 90, 90)})


def test_surface_has_its_vacuum() -> None:
    bare, slab = make(SLAB), make(SLAB | {"vacuum_A": 8.0})
    thickness = np.ptp(bare.positions[:, 2])
    assert slab.cell[2, 2] == pytest.approx(thickness + 8.0)
    assert bare.cell[2, 2] == pytest.approx(thickness + 3.57 / np.sqrt(8))
    assert density(bare) == pytest.approx(density(make(DIAMOND)))


def test_nanoparticle() -> None:
    energies = {"110": 1.0, "100": 1.1}
    recipe = {"kind": "nanoparticle", "element": "Fe", "structure": "bcc", "surface_energies": energies, "atoms": 60}
    found = make(recipe | {"box_A": 25.0})
    assert 50 <= len(found) <= 70
    assert found.pbc.all()
    with pytest.raises(InputError, match="box_A: found 5 Å"):
        make(recipe | {"box_A": 5.0})


def test_unknown_molecule_is_bad_input() -> None:
    with pytest.raises(InputError, match="found 'glycerol'"):
        make({"kind": "molecule", "name": "glycerol"})


def test_one_of_a_pool_by_seed() -> None:
    pool = {"kind": "pool", "of": [DIAMOND, GRAPHITE, WATER["of"]]}
    sizes = Counter(len(make(pool, seed)) for seed in range(60))
    assert set(sizes) == {8, 4, 3}
    assert min(sizes.values()) > 8
    assert len({len(make(pool, 3)) for _ in range(5)}) == 1


def test_one_frame_of_a_file_by_seed() -> None:
    files = Files({"pool.xyz": [Atoms("H"), Atoms("He"), Atoms("Li")]})
    found = {make({"kind": "file", "path": "pool.xyz", "index": ":"}, seed, files)[0].symbol for seed in range(20)}
    assert found == {"H", "He", "Li"}
    assert make({"kind": "file", "path": "pool.xyz"}, 5, files)[0].symbol == "Li"


def test_shuffled_counts_keep_their_sum() -> None:
    random = np.random.default_rng(0)
    drawn = np.array([shuffled_counts([10, 5, 1], random) for _ in range(500)])
    assert (drawn.sum(axis=1) == 16).all()
    assert drawn.min() == 1
    # Every composition as likely: all compounds have the same mean.
    assert drawn.mean(axis=0) == pytest.approx(16 / 3, rel=0.1)


@needs_packmol
def test_mixture_of_a_density() -> None:
    recipe = {"kind": "packmol", "compounds": [WATER, METHANE], "density_g_cm3": 0.6}
    found = make(recipe, 1)
    assert density(found) == pytest.approx(0.6, rel=0.01)
    assert Counter(found.get_chemical_symbols()) == {"O": 12, "C": 6, "H": 48}
    assert describe_overlap(found) is None
    groups, _ = molecules(found)
    assert int(groups.max()) + 1 == 18
    # The tolerance holds between molecules, across the box's faces, too.
    distances = found.get_all_distances(mic=True)[groups[:, None] != groups[None]]
    assert distances.min() > 1.99
    np.testing.assert_array_equal(found.positions, make(recipe, 1).positions)
    assert np.abs(found.positions - make(recipe, 2).positions).max() > 1.0


@needs_packmol
def test_shuffled_mixture_has_its_density_whatever_it_drew() -> None:
    recipe = {"kind": "packmol", "compounds": [WATER, METHANE], "density_g_cm3": 0.5, "shuffle": True}
    found = [make(recipe, seed) for seed in (1, 2)]
    assert found[0].get_chemical_formula() != found[1].get_chemical_formula()
    for mixture in found:
        assert density(mixture) == pytest.approx(0.5, rel=0.01)


@needs_packmol
def test_water_above_a_slab() -> None:
    slab = make(SLAB)
    found = make({"kind": "packmol", "compounds": [WATER], "density_g_cm3": 0.8, "above": SLAB, "vacuum_A": 5.0})
    water = found[len(slab) :]
    top = found.positions[: len(slab), 2].max()
    # Packmol lets atoms out of their box by some hundredths of an Å.
    assert water.positions[:, 2].min() >= top + 1.9
    assert found.cell[2, 2] - water.positions[:, 2].max() >= 6.9
    area = np.linalg.norm(np.cross(found.cell[0], found.cell[1]))
    height = found.cell[2, 2] - top - 2.0 - 5.0
    assert water.get_masses().sum() / 0.602214 / (area * height) == pytest.approx(0.8, rel=0.01)
    assert describe_overlap(found) is None


@needs_packmol
def test_what_cannot_be_packed_says_so_in_packmols_words() -> None:
    recipe = {"kind": "packmol", "compounds": [WATER | {"count": 60}], "box_A": (8, 8, 8), "loops": 3}
    with pytest.raises(InputError, match=r"60 H2O cannot be packed into 6\.00 x .* ENDED WITHOUT PERFECT PACKING"):
        make(recipe)


@needs_packmol
def test_a_slab_without_right_angles_is_bad_input() -> None:
    with pytest.raises(InputError, match=r"above: found a slab whose cell has an angle of 120\.00 degrees"):
        make({"kind": "packmol", "compounds": [WATER], "density_g_cm3": 0.8, "above": GRAPHITE})


def test_packmol_that_is_missing_says_how_to_get_it() -> None:
    with pytest.raises(MissingDependency, match="SPARC_FW_PACKMOL_COMMAND"):
        make({"kind": "packmol", "compounds": [WATER], "density_g_cm3": 0.8}, packmol="no-such-packmol")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "found no size"),
        ({"density_g_cm3": 1.0, "box_A": (9, 9, 9)}, "density_g_cm3.*box_A"),
        ({"box_A": (9, 9, 9), "above": DIAMOND}, "density_g_cm3 or height_A"),
        ({"density_g_cm3": 1.0, "vacuum_A": 4.0}, "vacuum_A: found 4"),
    ],
)
def test_sizes_that_contradict_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RECIPES.validate_python({"kind": "packmol", "compounds": [WATER]} | change)


def test_collage_of_graphite_on_diamond() -> None:
    pieces = [{"of": SLAB}, {"of": GRAPHITE}]
    recipe = {"kind": "collage", "pieces": pieces, "max_strain": 0.04, "gap_A": 2.5, "vacuum_A": 6.0}
    found = make(recipe)
    slab = make(SLAB)
    # The first piece keeps its size: bonds in it are those of diamond.
    assert found.get_distances(0, range(1, 48), mic=True).min() == pytest.approx(3.57 * np.sqrt(3) / 4, abs=1e-6)
    per_area = len(make(GRAPHITE)) / (2.461**2 * np.sin(np.pi / 3))
    area = np.linalg.norm(np.cross(found.cell[0], found.cell[1]))
    diamond = round(area / np.linalg.norm(np.cross(slab.cell[0], slab.cell[1])) * len(slab))
    # The area of the other piece changed by no more than two strains.
    assert (len(found) - diamond) / area == pytest.approx(per_area, rel=0.08)
    thickness = np.ptp(slab.positions[:, 2]) + 6.708 / 2
    assert found.cell[2, 2] == pytest.approx(thickness + 2 * 2.5 + 6.0, abs=1e-6)
    assert describe_overlap(found) is None


def test_cells_that_cannot_be_matched_say_the_strain_found_and_the_limit() -> None:
    pieces = [{"of": DIAMOND}, {"of": {"kind": "bulk", "name": "Cu"}}]
    with pytest.raises(InputError, match=r"smallest strain found is 1\.\d %, the limit is 0\.1 %"):
        make({"kind": "collage", "pieces": pieces, "max_strain": 0.001, "max_area_A2": 60.0})


def test_atoms_that_a_gap_lets_overlap_are_refused() -> None:
    with pytest.raises(InputError, match=r"collage: atoms .* apart.*widen gap_A, which is 0\.1 Å"):
        make({"kind": "collage", "pieces": [{"of": DIAMOND, "to_A": 0.1}] * 2, "gap_A": 0.1})


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_collage_along_every_axis(axis: str) -> None:
    pieces = [{"of": DIAMOND, "to_A": 1.0}, {"of": {"kind": "bulk", "name": "Si"}}]
    found = make({"kind": "collage", "pieces": pieces, "axis": axis, "max_strain": 0.05, "vacuum_A": 10.0})
    along = "xyz".index(axis)
    gaps = np.diff(np.sort(found.positions[:, along]))
    assert found.cell.array[along, along] - np.ptp(found.positions[:, along]) == pytest.approx(12.0)
    assert gaps.max() == pytest.approx(2.0)
    assert np.linalg.det(found.cell.array) > 0


def test_a_slice_keeps_molecules_whole_and_cuts_networks() -> None:
    # A molecule that the cell's face cuts, beside a chain of carbon through the cell.
    water = Atoms("OH2", [(5, 5, 9.8), (5, 5.76, 10.4), (5, 4.24, 10.4)])
    chain = Atoms("C8", [(1, 1, 1.25 * k) for k in range(8)])
    both = Atoms(water + chain, cell=[10, 10, 10], pbc=True)
    both.wrap()
    groups, whole = molecules(both)
    assert len(set(groups[:3])) == 1
    assert len(set(groups)) == 9
    assert np.linalg.norm(whole[1] - whole[0]) == pytest.approx(np.hypot(0.76, 0.6))
    part = cut(upright(both, 2), 0.0, 3.0)
    assert len(part) < 11
    assert Counter(part.get_chemical_symbols())["O"] * 2 == Counter(part.get_chemical_symbols())["H"]


def test_an_empty_slice_is_refused() -> None:
    with pytest.raises(InputError, match=r"pieces\[1\]: nothing lies from 50 to inf Å"):
        make({"kind": "collage", "pieces": [{"of": DIAMOND}, {"of": DIAMOND, "from_A": 50.0}]})


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_turning_upright_and_back(axis: int) -> None:
    start = bulk("C", cubic=True).repeat((1, 2, 3))
    back = turned_back(upright(start, axis), axis)
    np.testing.assert_allclose(back.cell, start.cell, atol=1e-9)
    np.testing.assert_allclose(back.get_all_distances(mic=True), start.get_all_distances(mic=True), atol=1e-9)


def test_lattices_that_only_fit_turned_are_found() -> None:
    square = np.eye(2) * 4.0
    turned = np.array([[4.0, 4.0], [-4.0, 4.0]]) / 2
    (base, other), strain = common_cell([square, turned], 0.01, 100.0)
    assert strain == pytest.approx(0.0, abs=1e-9)
    assert base.area == pytest.approx(other.area) == pytest.approx(16.0)
    root5 = np.eye(2) * 4.0 * np.sqrt(5)
    (base, _), strain = common_cell([square, root5], 0.01, 100.0)
    assert base.area == pytest.approx(80.0)
    assert strain == pytest.approx(0.0, abs=1e-9)


def test_closest_contact_is_the_same_by_pairs_and_by_neighbours() -> None:
    crowd = Atoms("C100", np.random.default_rng(0).uniform(0, 10, (100, 3)), cell=[10, 10, 10], pbc=True)
    distances = crowd.get_all_distances(mic=True) + 99 * np.eye(100)
    found = closest_contact(crowd)
    assert found is not None
    assert found[2] == pytest.approx(distances.min())
    assert distances[found[0], found[1]] == found[2]
