from __future__ import annotations

import numpy as np
import pytest

from sparc_fw.documents import Trajectory
from sparc_fw.explorers.md import until_apart
from sparc_fw.geometry.isolation import nearest_neighbours


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
