from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sparc_fw.explorers.endings import Disagreement, DistanceBound, Patience, until_apart, until_out_of_bounds
from sparc_fw.explorers.lammps_deviation import DeviationLog
from sparc_fw.geometry.isolation import nearest_neighbours
from sparc_fw.trajectories import Trajectory


def leaving(distances: list[float]) -> Trajectory:
    """H2 and an H atom that moves away from it, a frame every 5 fs."""
    positions = np.zeros((len(distances), 3, 3))
    positions[:, 1, 0] = 0.75
    positions[:, 2, 1] = distances
    count = len(distances)
    times = 5.0 * np.arange(count)
    return Trajectory(np.array([1, 1, 1]), positions, np.zeros((count, 3, 3)), times, (False, False, False), {}, count)


def test_a_trajectory_ends_before_an_atom_left() -> None:
    found = until_apart(leaving([1.0, 2.5, 2.7, 2.0]), 2.6)
    assert found.positions[:, 2, 1].tolist() == [1.0, 2.5]
    assert found.times.tolist() == [0.0, 5.0]
    assert found.ended == "atom 2 (H) left: 2.70 Å from its nearest neighbour, more than 2.6 Å, after 10 fs"


@pytest.mark.parametrize("within", [None, 3.0])
def test_a_trajectory_that_stays_together_is_left_alone(within: float | None) -> None:
    trajectory = leaving([1.0, 2.5, 2.7, 2.0])
    assert until_apart(trajectory, within) is trajectory


def test_the_first_frame_stays() -> None:
    found = until_apart(leaving([4.0, 4.1]), 2.6)
    assert len(found) == 1
    assert "after 0 fs" in found.ended


def test_nearest_neighbours_by_the_minimum_image() -> None:
    positions = np.array([[[0.5, 0.0, 0.0], [9.5, 0.0, 0.0], [5.0, 0.0, 0.0]]])
    cells = 10.0 * np.eye(3)[None]
    np.testing.assert_allclose(nearest_neighbours(positions, cells, (True, True, True)), [[1.0, 1.0, 4.5]])
    np.testing.assert_allclose(nearest_neighbours(positions), [[4.5, 4.5, 4.5]])
    assert nearest_neighbours(positions[:, :1]).tolist() == [[0.0]]


def test_bounds_on_distances_and_energy() -> None:
    trajectory = leaving([1.0, 2.5, 2.7, 2.0])
    trajectory.series["potential_energy_eV"] = np.array([-3.0, -2.0, -1.0, -2.9])
    within = DistanceBound(atoms=(0, 2), min_A=0.5, max_A=2.6)
    found = until_out_of_bounds(trajectory, [within], None)
    assert (len(found), found.ended) == (2, "H0 and H2 went farther than 2.6 Å (2.700 Å), after 10 fs")
    near = until_out_of_bounds(trajectory, [DistanceBound(atoms=(1, 0), min_A=0.8)], None)
    assert (len(near), near.ended) == (1, "H1 and H0 came nearer than 0.8 Å (0.750 Å), after 0 fs")
    high = until_out_of_bounds(trajectory, [], 1.5)
    assert (len(high), high.ended) == (2, "the energy rose by 2.00 eV (limit 1.5 eV), after 10 fs")
    assert until_out_of_bounds(trajectory, [DistanceBound(atoms=(0, 2), max_A=3.0)], 5.0) is trajectory


def test_disagreement_counts_only_where_it_lasts() -> None:
    stop = Disagreement(deviation_eV_A=1.0, for_fs=10.0, every_fs=5.0)

    def first(limit: Disagreement, deviations: list[float]) -> int | None:
        patience = Patience(limit)
        ends = [patience.ends(5.0 * look, deviation) for look, deviation in enumerate(deviations)]
        return ends.index(True) if any(ends) else None

    assert first(stop, [0, 2, 2, 0, 2, 2, 0.5, 2.0]) is None
    assert first(stop, [0, 2, 2, 0, 2, 2, 2, 0]) == 6
    assert first(stop, [0, np.nan, np.nan, np.nan, 0, 0, 0, 0]) == 3
    assert first(Disagreement(deviation_eV_A=1.0, for_fs=0.0), [0, 0, 3, 0, 0, 0, 0, 0]) == 2


def test_deviations_are_followed_while_lammps_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "deviation.out"
    log = DeviationLog(path, Disagreement(deviation_eV_A=1.0, for_fs=10.0), timestep_fs=0.5)
    log.read()

    def write(text: str) -> float | None:
        with path.open("a") as stream:
            stream.write(text)
        log.read()
        return log.moment

    # Steps of an equilibration count for themselves.
    assert write("#  step  max_devi_v  min  avg  max_devi_f\n 0 0 0 0 2.0\n 10 0 0 0 2.0\n 0 0 0 0 2.0\n") is None
    assert write("10 0 0 0 2.0\n20 0 0 0 2") is None
    assert write(".5 0 0\n") == 10.0
    assert write("30 0 0 0 0.0\n") == 10.0
    # The next run begins.
    assert write("0 0 0 0 2.0\n") is None
