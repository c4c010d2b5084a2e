"""From the sources of a campaign to its first frames."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import covalent_radii
from ase.io import write

from sparc_fw.campaign import Campaign
from sparc_fw.documents import FROM_FILE
from sparc_fw.errors import InputError, StageFailed
from sparc_fw.formats.ase_files import write_extxyz
from sparc_fw.geometry.build import Built, build_frames, structure_of
from sparc_fw.geometry.confinement import SoftSphere
from sparc_fw.geometry.descriptor import frame_distances
from sparc_fw.geometry.dynamics import dynamics_frames
from sparc_fw.geometry.files import Files
from sparc_fw.geometry.random_structures import random_structures
from sparc_fw.geometry.source_checks import check_sources
from sparc_fw.geometry.sources import DynamicsSource, RandomStarts
from sparc_fw.labelers.xtb import XTBLabeler, XTBOptions
from sparc_fw.settings import Settings

DYNAMICS = {"kind": "dynamics", "driver": {"kind": "xtb", "method": "GFN1-xTB"}, "duration_ps": 0.05, "frames": 6}
SCAN = {"kind": "scan", "atoms": [0, 1], "first": 1.3, "last": 2.5, "points": 4}


def labelled(count: int) -> list[Atoms]:
    frames = []
    for number in range(count):
        frame = molecule("CH3OH")
        frame.positions[0, 0] += 0.01 * (number + 1)
        frame.calc = SinglePointCalculator(frame, energy=-number, forces=np.full((6, 3), number / 10))
        frames.append(frame)
    return frames


def campaign(folder: Path, start: list[dict[str, Any]], **sections: Any) -> tuple[Campaign, Files]:
    write(folder / "methanol.xyz", molecule("CH3OH"))
    values: dict[str, Any] = {
        "name": "test",
        "systems": [{"name": "methanol", "structure": "methanol.xyz"}],
        "start": start,
        "labeler": {"kind": "xtb"},
        "potential": {"kind": "deepmd"},
        "explorer": {"kind": "lammps"},
    }
    made = Campaign.model_validate(values | sections)
    return made, Files.read(made.paths(), folder, made.labelled_paths())


KNOWN = {"kind": "labelled", "path": "known.extxyz", "trust_settings": True}


def labeler() -> XTBLabeler:
    return XTBLabeler(XTBOptions(), Settings())


def build(folder: Path, start: list[dict[str, Any]], seed: int = 1) -> Built:
    made, files = campaign(folder, start)
    return build_frames(made.start, made, files, labeler(), Settings(), seed)


def bits(built: Built) -> list[bytes]:
    return [frame.positions.tobytes() for frame in built.frames]


def test_entries_keep_the_order_of_the_sources(tmp_path: Path) -> None:
    write(tmp_path / "known.extxyz", labelled(2))
    displaced = {"kind": "displacements", "frames": 3}
    built = build(tmp_path, [SCAN, KNOWN, displaced])
    assert [isinstance(entry, Atoms) for entry in built.entries] == [True] * 4 + [False] * 2 + [True] * 3
    assert (len(built.frames), len(built.labels), built.dropped) == (7, 2, {})
    origins = [frame.info.pop("origin") for frame in built.frames]
    assert origins == ["scan"] * 4 + ["displacements"] * 3
    assert all(frame.info == {"system": "methanol", "charge": 0, "spin": 0} for frame in built.frames)


def test_labels_of_a_file_never_pass_for_what_a_labeler_computed(tmp_path: Path) -> None:
    write(tmp_path / "known.extxyz", labelled(3))
    label = build(tmp_path, [KNOWN]).labels[2]
    assert (label.status, label.code, label.energy) == ("ok", "file", -2.0)
    assert label.forces == pytest.approx(np.full((6, 3), 0.2))
    assert label.key != labeler().key(label.frame)
    assert label.code == FROM_FILE


def test_labels_prove_their_settings_or_are_trusted(tmp_path: Path) -> None:
    frames = labelled(2)
    for frame in frames:
        frame.calc = None
        frame.info = {"system": "methanol", "charge": 0, "spin": 0}
    own = [replace(label, key=labeler().key(label.frame)) for label in map(labeler().label, frames)]
    untrusted = {**KNOWN, "trust_settings": False}
    write_extxyz([replace(label, settings_hash=labeler().settings_hash) for label in own], tmp_path / "known.extxyz")
    assert len(build(tmp_path, [untrusted]).labels) == 2
    write_extxyz([replace(label, settings_hash="0123456789abcdef") for label in own], tmp_path / "known.extxyz")
    with pytest.raises(InputError, match=r"frame 0: found settings of hash 0123456789ab…, .*trust_settings: true"):
        build(tmp_path, [untrusted])
    assert len(build(tmp_path, [KNOWN]).labels) == 2
    write(tmp_path / "known.extxyz", labelled(2))
    with pytest.raises(InputError, match="found no record of how it was computed"):
        build(tmp_path, [untrusted])


def test_labels_of_another_charge_are_refused_and_large_forces_left_out(tmp_path: Path) -> None:
    frames = labelled(3)
    frames[1].calc.results["forces"][2] = (0.0, 31.0, 0.0)
    write(tmp_path / "known.extxyz", frames)
    built = build(tmp_path, [KNOWN])
    assert (len(built.labels), built.dropped) == (2, {"force_cap": 1})
    frames[2].info["charge"] = 1
    write(tmp_path / "known.extxyz", frames)
    with pytest.raises(InputError, match="frame 2: found charge 1, expected that of system 'methanol', 0"):
        build(tmp_path, [KNOWN])


def test_a_frame_that_came_before_is_counted(tmp_path: Path) -> None:
    built = build(tmp_path, [{"kind": "file", "path": "methanol.xyz"}, SCAN, SCAN])
    assert (len(built.frames), built.dropped) == (5, {"duplicate": 4})


def test_overlapping_frames_are_counted(tmp_path: Path) -> None:
    built = build(tmp_path, [{**SCAN, "first": 0.2, "last": 1.4, "points": 3}])
    assert (len(built.frames), built.dropped) == (2, {"overlap": 1})


def test_displacements_stay_within_the_amplitude_and_derive_from_the_seed(tmp_path: Path) -> None:
    source = {"kind": "displacements", "frames": 40, "amplitude_A": 0.1}
    built = build(tmp_path, [source])
    moved = np.array([frame.positions for frame in built.frames]) - molecule("CH3OH").positions
    assert 0.09 < np.abs(moved).max() <= 0.1 + 1e-7
    assert bits(built) == bits(build(tmp_path, [source]))
    assert not set(bits(built)) & set(bits(build(tmp_path, [source], seed=2)))


def test_dynamics_repeats_to_the_bit_and_depends_on_the_seed(tmp_path: Path) -> None:
    source = {**DYNAMICS, "starts": {**SCAN, "points": 2}, "temperature_K": [300, 900]}
    built = build(tmp_path, [source])
    assert len(built.frames) == 6
    assert bits(built) == bits(build(tmp_path, [source]))
    assert bits(built) != bits(build(tmp_path, [source], seed=2))


def test_diverse_frames_differ_more_than_even_ones(tmp_path: Path) -> None:
    def nearest(choose: str) -> float:
        source = {**DYNAMICS, "starts": SCAN, "temperature_K": [900], "choose": choose}
        rows = np.array([frame_distances(frame) for frame in build(tmp_path, [source]).frames])
        gaps = np.linalg.norm(rows[:, None] - rows, axis=2) + np.diag(np.full(len(rows), np.inf))
        return float(gaps.min())

    assert nearest("diverse") > 1.5 * nearest("even")


class Failing(Calculator):
    """Free atoms, until the driver gives up at its `limit`-th calculation."""

    implemented_properties = ["energy", "forces"]

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit
        self.calls = 0

    def calculate(self, atoms: Atoms = None, properties: Any = None, system_changes: Any = all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        if self.calls == self.limit:
            raise CalculationFailed("charges diverged")
        self.results = {"energy": 0.0, "forces": np.zeros((len(atoms), 3))}


def source(**options: Any) -> DynamicsSource:
    return DynamicsSource.model_validate(DYNAMICS | {"frames": 99} | options)


def test_a_driver_failure_ends_its_run_only_and_is_counted() -> None:
    # 10 samples of 10 steps and the first force: the 31st calculation ends the first run with 2 samples.
    frames, dropped = dynamics_frames([molecule("N2"), molecule("N2")], source(temperature_K=[5]), Failing(31), 1)
    assert (len(frames), dropped["driver_failed"]) == (12, 8)


def test_a_driver_that_never_works_fails_the_stage_with_its_words() -> None:
    with pytest.raises(StageFailed, match="from start 0 at 700 K: CalculationFailed: charges diverged"):
        dynamics_frames([molecule("N2")], source(), Failing(1), 1)


def test_frames_that_overlap_or_fall_apart_are_counted_apart() -> None:
    near, far = Atoms("N2", [[0, 0, 0], [0, 0, 0.5]]), Atoms("N2", [[0, 0, 0], [0, 0, 5]])
    starts = [near, far, molecule("N2")]
    frames, dropped = dynamics_frames(starts, source(temperature_K=[1e-3], within_A=3), Failing(0), 1)
    assert (len(frames), dropped) == (10, Counter(overlap=10, apart=10))


def test_soft_sphere_is_the_slope_of_its_energy_and_conserves_momentum() -> None:
    frame = molecule("CH3CH2OH")
    sphere = SoftSphere([0, 1], 1.2, 3.0)
    forces, slopes = np.zeros((len(frame), 3)), np.zeros((len(frame), 3))
    sphere.adjust_forces(frame, forces)
    for atom, axis in np.ndindex(slopes.shape):
        for sign in (1, -1):
            moved = frame.copy()
            moved.positions[atom, axis] += sign * 1e-5
            slopes[atom, axis] += sign * sphere.adjust_potential_energy(moved) / 2e-5
    assert np.abs(forces).max() > 1
    assert forces == pytest.approx(-slopes, abs=1e-6)
    assert forces.sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-12)


def test_confinement_holds_fragments_together() -> None:
    def farthest(**options: Any) -> float:
        free = source(temperature_K=[3000], duration_ps=0.5, **options)
        frames, _ = dynamics_frames([molecule("C2H6")], free, Failing(0), 1)
        return float(max(np.abs(frame.positions - frame.positions[:2].mean(axis=0)).max() for frame in frames))

    assert farthest() > 10
    assert farthest(confine={"around": [0, 1], "radius_A": 2.0}) < 4


def test_quench_heats_and_cools_in_turn() -> None:
    # Free atoms under strong friction move as far per sample as their temperature tells.
    quench = {"hot_fs": 100, "cold_fs": 100, "cold_K": 10}
    cycled = source(
        temperature_K=[3000], duration_ps=0.4, sample_every_fs=20, friction_per_ps=200, choose="even", quench=quench
    )
    frames, _ = dynamics_frames([Atoms("H50", 9.0 * np.arange(150).reshape(50, 3))], cycled, Failing(0), 1)
    moved = np.linalg.norm(np.diff([frame.positions for frame in frames], axis=0), axis=2).mean(axis=1)
    hot, cold = moved[[1, 2, 3, 11, 12, 13]], moved[[6, 7, 8, 16, 17, 18]]
    assert hot.min() > 5 * cold.max()


def test_frames_with_great_forces_are_counted() -> None:
    capped = source(temperature_K=[300], starts=None, max_force=1e-4)
    calculator = XTBLabeler(XTBOptions(), Settings()).calculator()
    with pytest.raises(StageFailed, match="'force_cap': 10"):
        dynamics_frames([molecule("N2")], capped, calculator, 1)


def test_structure_carries_the_system(tmp_path: Path) -> None:
    made, files = campaign(tmp_path, [SCAN])
    assert structure_of(made, files).info == {"system": "methanol", "charge": 0, "spin": 0}


def test_sources_that_fit_pass_the_check(tmp_path: Path) -> None:
    write(tmp_path / "known.extxyz", labelled(2))
    dynamics = {**DYNAMICS, "starts": SCAN}
    made, files = campaign(tmp_path, [SCAN, dynamics, KNOWN])
    check_sources(made, files, labeler())


@pytest.mark.parametrize(
    ("start", "message"),
    [
        ({**SCAN, "atoms": [0, 6]}, "atoms: found atom 6, but the structure has 6 atoms"),
        ({**DYNAMICS, "starts": {**SCAN, "atoms": [0, 9]}}, "atoms: found atom 9"),
        ({**DYNAMICS, "confine": {"around": [0, 8], "radius_A": 2}}, "around: found atom 8, but the structure has 6"),
        ({**DYNAMICS, "frames": 11}, r"frames: found 11, expected at most 10: 1 run\(s\) of 0.05 ps"),
        ({**DYNAMICS, "driver": {"kind": "pyscf"}}, "'pyscf' cannot drive dynamics; expected one that can"),
        ({"kind": "labelled", "path": "methanol.xyz"}, "methanol.xyz: frame 0: found no finite energy"),
        ({"kind": "displacements", "frames": 301}, "found 301 frames to label, expected at most budget.labels = 300"),
        ({"kind": "file", "path": "radical.xyz"}, "radical.xyz ':', frame 0: spin: found 0 unpaired electrons"),
        ({"kind": "file", "path": "methanol.xyz", "index": "3"}, "methanol.xyz: index"),
    ],
)
def test_sources_that_cannot_work_are_refused(tmp_path: Path, start: dict[str, Any], message: str) -> None:
    write(tmp_path / "radical.xyz", molecule("CH3"))
    made, files = campaign(tmp_path, [start])
    with pytest.raises(InputError, match=message):
        check_sources(made, files, labeler())


def test_structure_with_overlapping_atoms_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "clash.xyz", Atoms("N2", [[0, 0, 0], [0, 0, 0.1]]))
    made, files = campaign(tmp_path, [SCAN], systems=[{"name": "clash", "structure": "clash.xyz"}])
    with pytest.raises(InputError, match=r"clash\.xyz: atoms 0 \(N\) and 1 \(N\) are 0\.100 Å apart"):
        check_sources(made, files, labeler())


def test_runs_side_by_side_give_the_same_frames() -> None:
    starts = [molecule("NH3"), molecule("NH3"), molecule("NH3")]
    short = source(temperature_K=[1500], duration_ps=0.05, frames=9)
    calculator = XTBLabeler(XTBOptions(), Settings()).calculator()
    alone, _ = dynamics_frames(starts, short, calculator, 1)
    other, told = XTBLabeler(XTBOptions(), Settings()).calculator(), list[int]()
    together, _ = dynamics_frames(starts, short, other, 1, processes=2, progress=told.append)
    # 100 steps of each run, and its start.
    assert told == [101, 101, 101]
    assert [frame.positions.tobytes() for frame in alone] == [frame.positions.tobytes() for frame in together]


def test_random_starts_keep_the_atoms_apart_and_inside(tmp_path: Path) -> None:
    starts = RandomStarts(kind="random", count=20, radius_A=2.5, min_fraction=0.9)
    frames = random_structures(molecule("C2H6"), starts, np.random.default_rng(3))
    radii = covalent_radii[frames[0].numbers]
    allowed = 0.9 * (radii[:, None] + radii) - 10 * np.eye(8)
    assert len(frames) == 20
    for frame in frames:
        assert (frame.get_all_distances() > allowed).all()
        assert np.linalg.norm(frame.positions, axis=1).max() <= 2.5
    assert len({frame.positions.tobytes() for frame in frames}) == 20
    again = random_structures(molecule("C2H6"), starts, np.random.default_rng(3))
    assert [frame.positions.tobytes() for frame in again] == [frame.positions.tobytes() for frame in frames]


def test_random_starts_that_do_not_fit_say_so() -> None:
    starts = RandomStarts(kind="random", count=1, radius_A=0.5)
    with pytest.raises(InputError, match=r"8 atoms do not fit into a sphere of radius_A = 0.5"):
        random_structures(molecule("C2H6"), starts, np.random.default_rng(3))


def test_random_starts_fill_a_periodic_cell() -> None:
    starts = RandomStarts(kind="random", count=3)
    frames = random_structures(bulk("Si", cubic=True), starts, np.random.default_rng(3))
    for frame in frames:
        distances = frame.get_all_distances(mic=True) + 10 * np.eye(8)
        assert distances.min() > 0.8 * 2 * covalent_radii[14]


def test_frames_of_high_energy_are_counted() -> None:
    starts = {"kind": "random", "count": 4, "radius_A": 1.5}
    wide = source(starts=starts, temperature_K=[300], frames=40)
    calculator = XTBLabeler(XTBOptions(), Settings()).calculator()
    begin = random_structures(molecule("NH3"), RandomStarts.model_validate(starts), np.random.default_rng(1))
    every, _ = dynamics_frames(begin, wide, calculator, 1)
    narrow = wide.model_copy(update={"energy_window_eV": 0.5})
    kept, dropped = dynamics_frames(begin, narrow, calculator, 1)
    assert dropped["energy_cap"] > 0
    assert len(kept) + dropped["energy_cap"] == len(every) == 40
    energies = []
    for frame in kept:
        frame.calc = calculator
        energies.append(frame.get_potential_energy())
    assert max(energies) - min(energies) <= 0.5
