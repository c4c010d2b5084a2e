"""Bands, dimers and normal modes find what is known of model surfaces."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import add_adsorbate, fcc100, molecule
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.io import write

from model_surfaces import Counted, MuellerBrown, Springs, at, replica
from sparc_fw.errors import InputError
from sparc_fw.explorers.neb import NEBExplorer, NEBOptions
from sparc_fw.explorers.normal_modes import NormalModesExplorer, NormalModesOptions
from sparc_fw.explorers.saddle import SaddleExplorer, SaddleOptions
from sparc_fw.geometry.inline import InlineStructure
from sparc_fw.loading import parse_campaign
from sparc_fw.settings import Settings
from sparc_fw.trajectories import Trajectory
from trained_models import ammonia_borane

MINIMA = [(-0.558, 1.442, 0.0), (0.623, 0.028, 0.0), (-0.050, 0.467, 0.0)]
needs_sella = pytest.mark.skipif(
    importlib.util.find_spec("sella") is None, reason="Sella is not installed: pip install 'sparc_fw[sella]'"
)
METHODS = ["dimer", pytest.param("sella", marks=needs_sella)]
SADDLES = [(-0.822, 0.624, 0.0), (0.212, 0.293, 0.0)]


def neb(start: Atoms, final: Atoms, *members: Calculator, **options: Any) -> Trajectory:
    values = {"final": InlineStructure.from_atoms(final), "interpolation": "linear"} | options
    explorer = NEBExplorer(NEBOptions.model_validate(values), Settings())
    explorer.check(start)
    [found] = explorer.explore(replica(start, *members))
    return found


def saddle(start: Atoms, *members: Calculator, seed: int = 5, **options: Any) -> Trajectory:
    explorer = SaddleExplorer(SaddleOptions.model_validate(options), Settings())
    [found] = explorer.explore(replica(start, *members, seed=seed))
    return found


def modes(start: Atoms, calculator: Calculator, seed: int = 5, **options: Any) -> Trajectory:
    explorer = NormalModesExplorer(NormalModesOptions.model_validate(options), Settings())
    [found] = explorer.explore(replica(start, calculator, seed=seed))
    return found


def test_a_band_climbs_to_the_published_saddle_and_tells_the_spread_of_its_barrier() -> None:
    first, second = MuellerBrown(), MuellerBrown(0.011)
    found = neb(at(*MINIMA[0]), at(*MINIMA[1]), first, second, images=9, fmax_eV_A=0.01, spring_eV_A2=1.0)
    assert found.ended == "completed"
    band = found.positions[-11:, 0]
    highest = int(found.series["band_energy_eV"].argmax())
    assert band[highest] == pytest.approx(SADDLES[0], abs=1e-3)
    # -40.66 - (-146.70) and -40.66 - (-108.17), times the scale of each member.
    assert found.series["barrier_eV"] == pytest.approx([1.0604, 1.1664], abs=2e-4)
    assert found.series["reverse_barrier_eV"] == pytest.approx([0.6751, 0.7426], abs=2e-4)
    assert found.series["band_energy_spread_eV"][highest] == pytest.approx(0.0530, abs=1e-4)
    coordinate = found.series["path_coordinate_A"]
    assert coordinate[-1] == pytest.approx(np.linalg.norm(np.diff(band, axis=0), axis=1).sum())
    assert np.isnan(found.times).all()
    assert found.frame(0).info == {"system": "h", "charge": 0, "spin": 0}


def test_a_band_asks_for_every_image_once_per_step() -> None:
    surface = MuellerBrown()
    found = neb(at(*MINIMA[0]), at(*MINIMA[1]), surface, images=5, relax_ends=False, max_steps=20, climb=False)
    assert found.ended.startswith("band: no convergence in 20 steps: a force of ")
    # 20 steps and the first band, two ends once, and the whole band once more for the members' opinion.
    assert surface.calls == 21 * 5 + 2 + 7
    # Inner images of steps 0, 10 and 20, and the final band.
    assert len(found) == 3 * 5 + 7


def test_ends_are_relaxed_first() -> None:
    ends = [at(-0.6, 1.35, 0.05), at(0.55, 0.1, -0.05)]
    found = neb(*ends, MuellerBrown(), images=3, fmax_eV_A=0.005, max_steps=400)
    assert found.positions[-5, 0] == pytest.approx(MINIMA[0], abs=2e-3)
    assert found.positions[-1, 0] == pytest.approx(MINIMA[1], abs=2e-3)


def test_ends_that_relax_into_one_make_no_band() -> None:
    found = neb(at(-0.6, 1.4, 0.0), at(-0.5, 1.5, 0.0), MuellerBrown(), fmax_eV_A=0.005)
    assert found.ended == "both ends are the same structure"
    assert found.series == {}
    assert len(found) >= 2


def test_an_adatom_hops_over_the_barrier_of_a_fine_scan() -> None:
    slab = fcc100("Cu", (2, 2, 2), vacuum=6.0, periodic=False)
    slab.pbc = (True, True, False)
    slab.info.update(system="cu", charge=0, spin=0)
    hollow, side = slab.copy(), slab.cell[0, 0] / 2
    add_adsorbate(hollow, "Cu", 1.7, "hollow")
    final = hollow.copy()
    # Beyond the edge of the cell: the minimum image is the neighbouring hollow site.
    final.positions[8, 0] += side - slab.cell[0, 0]
    fixed = list(range(8))
    found = neb(hollow, final, EMT(), images=3, fixed_atoms=fixed, fmax_eV_A=0.01, max_steps=100)
    assert found.ended == "completed"

    def lowest(x: float) -> float:
        atoms = hollow.copy()
        atoms.calc = EMT()
        energies = []
        for height in np.arange(1.4, 2.1, 0.02):
            atoms.positions[8] = (
                hollow.positions[8, 0] + x,
                hollow.positions[8, 1],
                slab.positions[:, 2].max() + height,
            )
            energies.append(atoms.get_potential_energy())
        return float(min(energies))

    assert found.series["barrier_eV"][0] == pytest.approx(lowest(side / 2) - lowest(0.0), abs=3e-3)
    assert found.positions[:, :8] == pytest.approx(np.repeat(hollow.positions[None, :8], len(found), axis=0), abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_searches_climb_to_published_saddles(method: str) -> None:
    for seed in range(4):
        found = saddle(at(*MINIMA[2]), MuellerBrown(), MuellerBrown(0.011), seed=seed, fmax_eV_A=0.005, method=method)
        assert found.ended == "completed"
        distances = [np.abs(found.positions[-1, 0] - place).max() for place in SADDLES]
        assert min(distances) < 2e-3
        height = (-40.66, -72.25)[int(np.argmin(distances))] + 80.77
        assert found.series["saddle_energy_eV"] == pytest.approx([0.01 * height, 0.011 * height], abs=2e-4)
        assert found.series["curvature_eV_A2"][-1] < 0


def test_a_dimer_that_climbs_too_high_ends() -> None:
    # No saddle at all: a harmonic surface rises for ever.
    chain = Atoms("H3", [(0, 0, 0), (0.9, 0.1, 0), (1.9, 0, 0.1)], info={"system": "h3", "charge": 0, "spin": 0})
    found = saddle(chain, Springs(chain), max_energy_eV=2.0)
    assert re.match(r"the search climbed 2\.\d+ eV, more than max_energy_eV, 2 eV, at step \d+", found.ended)
    assert found.steps < 30


def test_a_dimer_of_a_molecule_leaves_its_minimum_by_its_softest_bond() -> None:
    """Neither moving nor turning costs anything: a dimer that does either never climbs."""
    chain = Atoms("H3", [(0, 0, 0), (0.9, 0.1, 0), (1.9, 0, 0.1)], info={"system": "h3", "charge": 0, "spin": 0})
    surface = Springs(chain)
    found = saddle(chain, surface, max_steps=1, max_rotations=30, displacement_A=0.01)
    assert found.series["curvature_eV_A2"][-1] == pytest.approx(surface.softest, rel=0.02)


def test_normal_modes_hold_half_k_t_each() -> None:
    molecule = ammonia_borane()
    surface = Springs(molecule)
    found = modes(molecule, surface, frames=2000, temperature_K=300.0, mode_limit_A=10.0, relax=False)
    assert len(found) == 2001
    assert found.steps == 0
    energies = np.array([surface.energy_and_forces(positions)[0] for positions in found.positions[1:]])
    expected = 18 * 0.5 * 8.617333e-5 * 300.0
    # k T^2 c of 18 modes scatters by k T sqrt(18 / 2) in one frame.
    error = 8.617333e-5 * 300.0 * 3.0 / np.sqrt(2000)
    assert energies.mean() == pytest.approx(expected, abs=4 * error)
    # Both sides of every coordinate, and once to see whether forces are numbers there.
    assert surface.calls == 6 * 8 + 1
    assert (found.series["wavenumber_per_cm"] > 0).all()


def test_normal_modes_are_drawn_around_the_relaxed_structure() -> None:
    molecule = ammonia_borane()
    moved = molecule.copy()
    moved.positions[2] += 0.1
    found = modes(moved, Springs(molecule), frames=3, keep_every=1000, fmax_eV_A=0.001, max_steps=500)
    assert found.ended == "completed"
    assert len(found) == 1 + 1 + 3
    assert found.frame(1).get_all_distances() == pytest.approx(molecule.get_all_distances(), abs=1e-2)
    again = modes(moved, Springs(molecule), frames=3, keep_every=1000, fmax_eV_A=0.001, max_steps=500)
    assert np.array_equal(found.positions, again.positions)


def test_imaginary_modes_are_displaced_or_left_alone() -> None:
    start = at(*SADDLES[1])
    options: dict[str, Any] = {"relax": False, "fixed_atoms": [1], "frames": 400, "temperature_K": 100.0}
    pair = start + at(50.0, 50.0, 50.0)
    pair.info = start.info
    stable, skipped = (modes(pair, MuellerBrown(), imaginary=choice, **options) for choice in ("stable", "skip"))
    waves = stable.series["wavenumber_per_cm"]
    assert [wave < 0 for wave in waves] == [True, False, False]
    variances = [found.positions[1:, 0, :2].var(axis=0).sum() for found in (stable, skipped)]
    # The same draws but for the saddle's curvature of -7.54 eV/Å^2, as if it were positive.
    assert variances[0] - variances[1] == pytest.approx(8.617333e-5 * 100.0 / 7.54, rel=0.15)
    assert np.linalg.eigvalsh(np.cov(skipped.positions[1:, 0, :2].T))[0] == pytest.approx(0.0, abs=1e-6)


def test_soft_modes_move_no_atom_farther_than_the_limit() -> None:
    molecule = ammonia_borane()
    found = modes(molecule, Springs(molecule, 1e-6), frames=400, mode_limit_A=0.05, relax=False)
    moved = np.linalg.norm(found.positions[1:] - molecule.positions, axis=2)
    assert 0.05 < np.sqrt((moved**2).mean()) < 0.05 * np.sqrt(18)


def test_saddles_and_bands_sample_the_modes_of_what_they_found() -> None:
    pair, partner = at(*MINIMA[2]) + at(50, 50, 50), at(*MINIMA[1]) + at(50, 50, 50)
    pair.info = at(0, 0, 0).info
    options: dict[str, Any] = {"fixed_atoms": [1], "fmax_eV_A": 0.005, "max_steps": 300}
    found = saddle(pair, MuellerBrown(), around={"frames": 4}, **options)
    assert found.series["wavenumber_per_cm"][0] < 0 < found.series["wavenumber_per_cm"][1]
    band = neb(pair, partner, MuellerBrown(), around_saddle={"frames": 4}, spring_eV_A2=1.0, **options)
    assert band.positions[-4:, 0].mean(axis=0) == pytest.approx(SADDLES[1], abs=0.2)
    assert band.series["wavenumber_per_cm"][0] < 0 < band.series["wavenumber_per_cm"][1]


@needs_sella
def test_sella_turns_ammonia_inside_out_with_fewer_forces_than_a_dimer() -> None:
    calculator = pytest.importorskip("tblite.ase", reason="tblite is not installed: pip install 'sparc_fw[xtb]'").TBLite
    asked, energies = [], []
    start = molecule("NH3")
    start.info = {"system": "nh3", "charge": 0, "spin": 0}
    for method in ("dimer", "sella"):
        counted = Counted(calculator(method="GFN2-xTB", verbosity=0))
        found = saddle(start, counted, seed=2, method=method, fmax_eV_A=0.01, displacement_A=0.02)
        assert found.ended == "completed"
        # Planar: the angles at nitrogen are a whole turn.
        angles = [found.frame(-1).get_angle(1 + k, 0, 1 + (k + 1) % 3) for k in range(3)]
        assert sum(angles) == pytest.approx(360.0, abs=0.1)
        asked.append(counted.calls)
        energies.append(float(found.series["saddle_energy_eV"][0]))
    assert energies[0] == pytest.approx(energies[1], abs=1e-3)
    assert asked[1] < 0.5 * asked[0]


def test_keys_of_the_dimer_are_refused_beside_sella() -> None:
    with pytest.raises(ValueError, match="max_rotations: found it beside method: sella"):
        SaddleOptions(method="sella", max_rotations=9)


def test_sella_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    [problem] = SaddleExplorer(SaddleOptions(method="sella"), Settings()).missing()
    assert "pip install 'sparc_fw[sella]'" in problem
    assert SaddleExplorer(SaddleOptions(), Settings()).missing() == []


@pytest.mark.parametrize("explore", [saddle, modes])
def test_a_surface_without_finite_forces_ends_the_search(explore: Any) -> None:
    found = explore(at(*MINIMA[0]), MuellerBrown(np.nan))
    assert found.ended == "a force is not finite at step 0"
    assert len(found) >= 1


def test_a_band_on_a_surface_without_finite_forces_says_so() -> None:
    found = neb(at(*MINIMA[0]), at(*MINIMA[1]), MuellerBrown(np.nan))
    assert found.ended.count("a force is not finite at step 0") == 3
    assert np.isfinite(found.positions).all()


def water(**changes: Any) -> Atoms:
    atoms = Atoms("OH2", [(0, 0, 0), (0.96, 0, 0), (-0.24, 0.93, 0)])
    return Atoms(**{"numbers": atoms.numbers, "positions": atoms.positions} | changes)


@pytest.mark.parametrize(
    ("final", "message"),
    [
        (Atoms("H2"), "final: found H2, expected the atoms of the initial end, H2O"),
        (Atoms("HOH", 1.5 * water().positions), "found H as atom 0, expected O"),
        (water(cell=[9, 9, 9], pbc=True), "final: found periodicity"),
        (water(), "final: found the initial end again"),
    ],
)
def test_ends_that_do_not_fit_are_bad_input(final: Atoms, message: str) -> None:
    with pytest.raises(InputError, match=message):
        neb(water(), final, EMT())


def test_ends_with_like_atoms_exchanged_are_bad_input_unless_just_that_is_meant() -> None:
    start = ammonia_borane()
    final = start.copy()
    final.positions = final.positions[[0, 1, 3, 2, 4, 5, 6, 7]]
    final.positions[[1, 5, 6, 7], 2] += 0.5
    with pytest.raises(InputError, match=r"2 \(H\) -> 3, 3 \(H\) -> 2\): renumber one end, or state 'mapping"):
        neb(start, final, EMT())
    options = NEBOptions.model_validate({"final": InlineStructure.from_atoms(final), "mapping": "as_given"})
    NEBExplorer(options, Settings()).check(start)
    final.positions[[2, 3]] = final.positions[[3, 2]]
    NEBExplorer(NEBOptions(final=InlineStructure.from_atoms(final)), Settings()).check(start)


def test_cells_that_differ_and_atoms_that_do_not_exist_are_bad_input() -> None:
    cells = [water(cell=[side, 9, 9], pbc=True) for side in (9, 9.5)]
    with pytest.raises(InputError, match=r"final: found cell \[\[9.5.*the cell does not change along a path"):
        neb(*cells, EMT())
    with pytest.raises(InputError, match="fixed_atoms: found atom 3, but the structure has 3 atoms"):
        neb(water(), water(), EMT(), fixed_atoms=[3])
    with pytest.raises(InputError, match="fixed_atoms: found all 3 atoms"):
        SaddleExplorer(SaddleOptions(fixed_atoms=[0, 1, 2]), Settings()).check(water())


def test_bands_that_would_be_the_same_are_bad_input() -> None:
    end = InlineStructure.from_atoms(water())
    with pytest.raises(ValueError, match="replicas: found 2, expected 1: bands between the same ends are the same"):
        NEBOptions(final=end, replicas=2)
    assert NEBOptions(final=end, replicas=2, starts=["start_frames"]).replicas == 2


def test_end_states_travel_inside_the_campaign(tmp_path: Path) -> None:
    final = water(positions=water().positions * 1.2, cell=[9, 8, 7], pbc=(True, True, False))
    write(tmp_path / "final.extxyz", [water(), final])
    values = {
        "name": "test",
        "systems": [
            {"name": "water", "structure": {"symbols": ["O", "H", "H"], "positions_A": water().positions.tolist()}}
        ],
        "start": [{"kind": "displacements", "frames": 2}],
        "labeler": {"kind": "xtb"},
        "potential": {"kind": "deepmd"},
        "explorer": {"kind": "neb", "final": "final.extxyz"},
    }
    options = parse_campaign(values, tmp_path).campaign.explorer[0]
    assert isinstance(options, NEBOptions)
    assert isinstance(options.final, InlineStructure)
    assert options.final.atoms() == final
    assert options.planned_ps(0) == 0.0
    values["explorer"] = {"kind": "neb", "final": "none.xyz"}
    with pytest.raises(InputError, match=r"explorer.final: none.xyz: no such file"):
        parse_campaign(values, tmp_path)
