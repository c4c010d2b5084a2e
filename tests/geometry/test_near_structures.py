"""Start frames near a structure: displaced, rattled, along normal modes, pulled apart and brought together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import CalculationFailed

from model_surfaces import Springs
from sparc_fw.campaign import Campaign
from sparc_fw.errors import InputError, StageFailed
from sparc_fw.geometry.build import build_frames
from sparc_fw.geometry.displacements import displaced_frames, mode_frames, rattled_frames
from sparc_fw.geometry.files import Files
from sparc_fw.geometry.fragments import approach_frames, dissociation_frames
from sparc_fw.geometry.overlap import shortest_allowed
from sparc_fw.geometry.source_checks import check_sources, count_frames
from sparc_fw.geometry.sources import (
    ApproachSource,
    DisplacementSource,
    DissociationSource,
    NormalModeSource,
    RattleSource,
    ScanSource,
)
from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions
from sparc_fw.settings import Settings
from trained_models import ammonia_borane

ENDS = {"first": 1.0, "last": 2.0, "points": 2}
RANDOM = np.random.default_rng(5)


def displacements(**options: Any) -> list[Atoms]:
    source = DisplacementSource(kind="displacements", frames=400, **options)
    return displaced_frames(ammonia_borane(), source, np.random.default_rng(5))


def moved(frames: list[Atoms]) -> np.ndarray:
    return np.array([frame.positions - ammonia_borane().positions for frame in frames])


def test_displacements_are_those_of_jung_unless_something_else_is_said() -> None:
    found = moved(displacements())
    assert np.abs(found).max() <= 0.05
    # Uniform in ±a: the variance of every axis of every atom is a^2 / 3, and none goes with another.
    assert (found**2).mean() == pytest.approx(0.05**2 / 3, rel=0.03)
    correlation = np.corrcoef(found.reshape(400, -1).T)
    assert np.abs(correlation - np.eye(24)).max() < 0.2


def test_normal_displacements_have_their_standard_deviation() -> None:
    found = moved(displacements(distribution="normal", amplitude_A=0.1))
    assert found.std() == pytest.approx(0.1, rel=0.03)
    assert np.abs(found).max() > 0.25


def test_frames_of_a_scan_are_displaced_in_turn() -> None:
    scan = ScanSource(kind="scan", atoms=[0, 1], first=1.6, last=2.6, points=3)
    lengths = [frame.get_distance(0, 1) for frame in displacements(around=scan, amplitude_A=0.01)[:6]]
    assert lengths == pytest.approx([1.6, 2.1, 2.6, 1.6, 2.1, 2.6], abs=0.04)


def test_rattled_atoms_keep_their_distance_in_a_strained_cell() -> None:
    copper = bulk("Cu", cubic=True) * (2, 1, 1)
    source = RattleSource(kind="rattle", stdev_A=0.6, min_fraction=0.8, strain=0.04, frames=20)
    frames = rattled_frames(copper, source, np.random.default_rng(5))
    least = shortest_allowed(copper.numbers, 0.8).min()
    for frame in frames:
        distances = frame.get_all_distances(mic=True)[np.triu_indices(len(frame), 1)]
        assert distances.min() >= 0.95 * least
        strain = np.linalg.solve(copper.cell.array, frame.cell.array) - np.eye(3)
        assert np.abs(strain).max() <= 0.04
        assert strain == pytest.approx(strain.T, abs=1e-12)
    spread = np.std([frame.get_scaled_positions()[0, 0] for frame in frames])
    assert spread > 0.02
    free = RattleSource(kind="rattle", stdev_A=0.6, min_fraction=0.0, frames=20)
    loose = [frame.get_all_distances(mic=True) for frame in rattled_frames(copper, free, np.random.default_rng(5))]
    assert min(distances[distances > 0].min() for distances in loose) < least


def test_modes_of_a_driver_are_drawn_around_what_it_relaxes_to() -> None:
    start = ammonia_borane()
    start.positions[2] += 0.05
    surface = Springs(ammonia_borane(), 10.0)
    source = NormalModeSource(kind="normal_modes", frames=500, temperature_K=300.0, fmax_eV_A=0.001)
    frames = mode_frames(start, source, surface, 3)
    energies = [surface.energy_and_forces(frame.positions)[0] for frame in frames]
    assert np.mean(energies) == pytest.approx(18 * 0.5 * 8.617333e-5 * 300.0, rel=0.06)
    assert frames[0].info == start.info
    assert np.array_equal(frames[7].positions, mode_frames(start, source, surface, 3)[7].positions)


def test_a_driver_that_fails_or_does_not_relax_says_so() -> None:
    class Broken(Springs):
        def energy_and_forces(self, positions: np.ndarray) -> tuple[float, np.ndarray]:
            raise CalculationFailed("no convergence in 250 cycles")

    start = ammonia_borane()
    start.positions[2] += 0.05
    with pytest.raises(StageFailed, match="the driver failed: CalculationFailed: no convergence in 250 cycles"):
        mode_frames(start, NormalModeSource(kind="normal_modes"), Broken(start), 3)
    with pytest.raises(StageFailed, match=r"not relaxed after max_steps = 2; the longest force is 0\.\d+ eV/Å"):
        mode_frames(start, NormalModeSource(kind="normal_modes", max_steps=2), Springs(ammonia_borane()), 3)


def test_bonds_are_broken_one_by_one_from_their_own_length() -> None:
    start = ammonia_borane()
    source = DissociationSource(kind="dissociation", bonds=[(0, 1), (0, 2)], last_A=4.0, points=5)
    frames = dissociation_frames(start, source)
    assert count_frames(source, Files({})) == len(frames) == 10
    assert [frame.get_distance(0, 1) for frame in frames[:5]] == pytest.approx(np.linspace(1.66, 4.0, 5))
    assert [frame.get_distance(0, 2) for frame in frames[5:]] == pytest.approx(np.linspace(1.216, 4.0, 5))
    assert frames[4].get_distance(1, 5) == pytest.approx(start.get_distance(1, 5))


def dimer() -> Atoms:
    pair = molecule("H2O") + molecule("NH3")
    pair.positions[3:] += [0, 3.0, 0]
    return pair


def test_fragments_approach_by_the_distance_of_their_nearest_atoms() -> None:
    source = ApproachSource(kind="approach", fragment=[3, 4, 5, 6], first_A=5.0, last_A=1.5, points=8, orientations=4)
    start = dimer()
    frames = approach_frames(start, source, np.random.default_rng(5))
    assert count_frames(source, Files({})) == len(frames) == 32
    for orientation in range(4):
        part = frames[8 * orientation : 8 * orientation + 8]
        nearest = [frame.get_all_distances()[:3, 3:].min() for frame in part]
        assert nearest == pytest.approx(np.linspace(5.0, 1.5, 8), abs=1e-9)
    for frame in frames:
        assert frame.positions[:3] == pytest.approx(start.positions[:3], abs=0)
        assert frame.get_all_distances()[3:, 3:] == pytest.approx(start.get_all_distances()[3:, 3:], abs=1e-9)
    # The first orientation is that of the structure.
    assert frames[0].positions[4] - frames[0].positions[3] == pytest.approx(start.positions[4] - start.positions[3])
    assert np.abs(frames[8].positions[4] - frames[8].positions[3] - start.positions[4] + start.positions[3]).max() > 0.1


def test_fragments_that_cannot_be_so_near_lie_side_by_side() -> None:
    # An atom that passes a wide ring through its middle is never at 1 Å from it.
    ring = Atoms("H6", [(3 * np.cos(a), 3 * np.sin(a), 0) for a in np.linspace(0, 2 * np.pi, 7)[:6]])
    source = ApproachSource(kind="approach", fragment=[6], first_A=1.0, last_A=1.0, points=1)
    frame = approach_frames(ring + Atoms("He", [(0, 0, 9)]), source, RANDOM)[0]
    assert frame.positions[6] == pytest.approx([0, 0, 0], abs=1e-9)


def campaign(**source: Any) -> tuple[Campaign, Files]:
    atoms = dimer()
    values = {
        "name": "test",
        "systems": [
            {
                "name": "pair",
                "structure": {"symbols": atoms.get_chemical_symbols(), "positions_A": atoms.positions.tolist()},
            }
        ],
        "start": [source],
        "labeler": {"kind": "xtb"},
        "potential": {"kind": "deepmd"},
        "explorer": {"kind": "lammps"},
    }
    return Campaign.model_validate(values), Files({})


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ({"kind": "rattle", "frames": 3}, 3),
        ({"kind": "dissociation", "bonds": [[0, 1]], "points": 4}, 4),
        ({"kind": "approach", "fragment": [3, 4, 5, 6], "points": 3, "orientations": 2}, 6),
        ({"kind": "normal_modes", "frames": 4, "relax": False}, 4),
        ({"kind": "normal_modes", "frames": 4, "relax": False, "driver": {"kind": "xtb", "method": "GFN1-xTB"}}, 4),
    ],
)
def test_campaigns_build_frames_of_these_sources(source: dict[str, Any], count: int) -> None:
    made, files = campaign(**source)
    labeler = XTBLabeler(XTBOptions(), Settings())
    check_sources(made, files, labeler)
    built = build_frames(made.start, made, files, labeler, Settings(), seed=1)
    assert (len(built.frames), built.dropped) == (count, {})
    assert {frame.info["origin"] for frame in built.frames} == {source["kind"]}
    assert {frame.info["system"] for frame in built.frames} == {"pair"}


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"kind": "rattle", "frames": 3, "strain": 0.1}, "strain: found 0.1 for a molecule, expected 0"),
        ({"kind": "dissociation", "bonds": [[0, 7]]}, r"bonds: found \[0, 7\], expected two different atoms of 0 to 6"),
        (
            {"kind": "dissociation", "bonds": [[0, 1]], "last_A": 0.9},
            "last_A: found 0.9 Å, expected more than",
        ),
        ({"kind": "dissociation", "bonds": [[0, 3], [1, 2]]}, "scan: atoms"),
        ({"kind": "approach", "fragment": [3, 7]}, "fragment: found 7, expected atoms of 0 to 6"),
        ({"kind": "approach", "fragment": [3, 3]}, "every one once"),
        ({"kind": "approach", "fragment": list(range(7))}, "found all atoms, expected some that it can approach"),
        ({"kind": "displacements", "frames": 1, "around": {"kind": "scan", "atoms": [0, 9]} | ENDS}, "found atom 9"),
        ({"kind": "normal_modes", "driver": {"kind": "pyscf"}}, "expected one that can, such as 'kind: xtb'"),
    ],
)
def test_sources_that_do_not_fit_are_refused_at_check(source: dict[str, Any], message: str) -> None:
    made, files = campaign(**source)
    with pytest.raises(InputError, match=message):
        check_sources(made, files, XTBLabeler(XTBOptions(), Settings()))
