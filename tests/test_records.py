"""What is stored comes back to the bit."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from sparc_fw.records import exploration_from_record, exploration_to_record
from sparc_fw.trajectories import Exploration, Trajectory, Uncertainty


def part(atoms: Atoms, frames: int, name: str, ended: str) -> Trajectory:
    """Random frames of these atoms."""
    return Trajectory(
        numbers=atoms.numbers,
        positions=np.random.default_rng(frames).normal(size=(frames, len(atoms), 3)),
        cells=np.zeros((frames, 3, 3)),
        times=np.arange(frames) * 2.0,
        pbc=(True, False, True),
        info={"system": "mixed", "charge": 0, "spin": 0},
        steps=7 * frames,
        ended=ended,
        series={"temperature_K": np.arange(frames) + 0.5},
        name=name,
        lasted_fs=100.0,
        end=atoms,
    )


def test_an_exploration_of_several_parts_comes_back() -> None:
    parts = [part(Atoms("H2O"), 3, "melt", "completed"), part(Atoms("SiO2C"), 2, "weld", "overlap at step 14")]
    seen = Exploration("campaign", 1, 2, "phases", parts, np.array([0.1, 0.2, np.nan, 0.4, 0.5]), 0.3, 11)
    found = exploration_from_record(*exploration_to_record(seen))
    assert len(found) == 5
    assert [found.locate(index) for index in range(5)] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    np.testing.assert_array_equal(found.deviation, seen.deviation)
    for ours, theirs in zip(found.trajectories, parts, strict=True):
        np.testing.assert_array_equal(ours.positions, theirs.positions)
        np.testing.assert_array_equal(ours.series["temperature_K"], theirs.series["temperature_K"])
        assert (ours.name, ours.ended, ours.pbc, ours.steps) == (theirs.name, theirs.ended, theirs.pbc, theirs.steps)
        assert ours.end == theirs.end
    assert found.uncertainty == []
    assert found.ended == "weld: overlap at step 14"
    assert found.survived_ps == 0.2


def test_what_the_committee_said_comes_back_part_by_part() -> None:
    parts = [part(Atoms("H2O"), 3, "melt", "completed"), part(Atoms("SiO2C"), 2, "weld", "completed")]
    random = np.random.default_rng(1)
    said = [
        Uncertainty(
            random.random((len(each), len(each.numbers)), dtype=np.float32),
            random.random((len(each), len(each.numbers)), dtype=np.float32),
            random.random((4, len(each))),
        )
        for each in parts
    ]
    seen = Exploration("campaign", 1, 2, "phases", parts, np.zeros(5), 0.3, 11, uncertainty=said)
    found = exploration_from_record(*exploration_to_record(seen)).uncertainty
    for ours, theirs in zip(found, said, strict=True):
        for name in ("force_deviation", "mean_force", "energies"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
            assert getattr(ours, name).dtype == getattr(theirs, name).dtype
