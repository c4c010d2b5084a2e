"""Observables of known frames, and when they stand still."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from sparc_fw.selectors.goals import PairDistances, Reach
from sparc_fw.selectors.observables import Observed, change, pair_distances_of, reached
from sparc_fw.trajectories import Trajectory


def run(positions: np.ndarray, numbers: list[int], cell: np.ndarray | None = None) -> Trajectory:
    frames = len(positions)
    cells = np.broadcast_to(np.zeros((3, 3)) if cell is None else cell, (frames, 3, 3))
    pbc = (cell is not None,) * 3
    return Trajectory(np.array(numbers), positions, cells, np.arange(float(frames)), pbc, {"system": "one"}, frames)


def stretched(lengths: list[float]) -> Trajectory:
    positions = np.zeros((len(lengths), 2, 3))
    positions[:, 1, 0] = lengths
    return run(positions, [7, 5])


def all_of(trajectory: Trajectory) -> list[tuple[Trajectory, np.ndarray]]:
    return [(trajectory, np.ones(len(trajectory), dtype=bool))]


def test_a_crystal_has_its_shells() -> None:
    copper = bulk("Cu", cubic=True, a=3.65) * (3, 3, 3)
    trajectory = run(np.array([copper.positions] * 3), copper.numbers.tolist(), copper.cell.array)
    found = pair_distances_of(PairDistances(elements=("Cu", "Cu"), r_max_A=5.0, width_A=0.1), all_of(trajectory))
    assert found is not None
    assert found.unit == ""
    filled = np.flatnonzero(found.values)
    # Twelve neighbours at a / sqrt(2), six at a, 24 at a sqrt(3/2).
    assert [found.at[place] for place in filled] == pytest.approx([2.55, 3.65, 4.45])
    density = len(copper) / copper.get_volume()
    shells = 4 / 3 * np.pi * (np.arange(0.1, 5.05, 0.1) ** 3 - np.arange(0.0, 4.95, 0.1) ** 3)
    neighbours = np.array(found.values) * density * shells
    # Every one of N - 1 others is seen among N that an ideal gas would have.
    assert neighbours[filled] == pytest.approx([12, 6, 24], rel=2 / len(copper))
    assert found.errors == [0.0] * len(found.at)


def test_distances_in_a_molecule_are_a_density_with_an_error() -> None:
    trajectory = stretched([1.55] * 30 + [2.55] * 10)
    found = pair_distances_of(PairDistances(elements=("B", "N"), r_max_A=3.0), all_of(trajectory))
    assert found is not None
    values = dict(zip(np.round(found.at, 2), found.values, strict=True))
    assert (values[1.55], values[2.55]) == (pytest.approx(7.5), pytest.approx(2.5))
    # Six blocks of one kind and two of the other: sqrt(8 * 3/4 * 1/4 / 7) / sqrt(8) of 1 / width.
    assert found.errors[15] == pytest.approx(10 * np.sqrt(1.5 / 7 / 8))
    assert pair_distances_of(PairDistances(elements=("H", "H")), all_of(trajectory)) is None


def test_only_frames_that_did_not_fail_reach_anywhere() -> None:
    goal = Reach.model_validate({"cv": {"kind": "distance", "atoms": [0, 1]}, "first": 1.0, "last": 3.0, "parts": 4})
    trajectory = stretched([1.2, 1.7, 2.2, 2.7])
    assert reached(goal, all_of(trajectory)) == ""
    failed_last = [(trajectory, np.array([True, True, True, False]))]
    assert reached(goal, failed_last) == "distance 0-1 was explored in only 3 of 4 parts of 1 to 3 Å"
    assert "only 0 of 4 parts" in reached(goal, [])


def number(value: float, error: float = 0.0) -> Observed:
    return Observed("barrier", "eV", [0.0], [value], [error])


@pytest.mark.parametrize(
    ("before", "now", "settled"),
    [
        (number(1.00), number(1.02), True),
        (number(1.00), number(1.04), False),
        # Nobody can tell whether what lies within twice its error moved.
        (number(1.00, 0.02), number(1.04, 0.01), True),
        (None, number(1.0), False),
    ],
)
def test_what_moves_less_than_its_tolerance_or_error_stands_still(
    before: Observed | None, now: Observed, settled: bool
) -> None:
    assert change(before, now, 0.03).settled == settled


def test_profiles_are_compared_where_both_are_and_without_their_level() -> None:
    before = Observed("profile", "eV", [1.0, 2.0, 3.0], [0.0, 0.5, 1.0], [0.0] * 3, level=True)
    now = Observed("profile", "eV", [1.0, 1.5, 2.5, 3.2], [1.0, 1.25, 1.75, 9.0], [0.0] * 4, level=True)
    told = change(before, now, 0.03)
    assert told.settled
    assert told.clause == "profile moved by 0 ± 0 eV (limit 0.03)"
    for at in ([4.0, 5.0, 6.0], [1.8, 2.0, 2.2], [2.0, 3.0, 4.0], [2.9, 6.0, 7.0]):
        elsewhere = Observed("profile", "eV", at, [0.0] * 3, [0.0] * 3, level=True)
        assert not change(before, elsewhere, 10.0).settled
