"""What is told of one frame: its nearest neighbour, and what the engine wrote when it was there."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from sparc_fw.explained_frame import Near, nearest, series_at
from sparc_fw.trajectories import Trajectory


def test_the_nearest_frame_is_one_of_the_same_atoms() -> None:
    def water(stretched: float) -> Atoms:
        return Atoms("OH2", [[0, 0, 0], [0.96 + stretched, 0, 0], [0, 0.96, 0]])

    others = {"far": water(0.4), "near": water(-0.05), "like": Atoms("OHF", water(0.0).positions)}
    found = nearest(water(0.0), others)
    assert found is not None
    assert found.name == "near"
    assert found.distance_A == pytest.approx(0.05)
    assert nearest(water(0.0), {"turned": Atoms("H2O", water(0.0).positions[[2, 1, 0]])}) == Near("turned", 0.0)
    assert nearest(Atoms("He"), others) is None
    broken = water(0.0)
    broken.positions[0, 0] = np.nan
    assert nearest(broken, others) is None


def test_series_are_read_at_the_time_of_the_frame() -> None:
    run = Trajectory(
        numbers=np.array([1]),
        positions=np.zeros((3, 1, 3)),
        cells=np.zeros((3, 3, 3)),
        times=np.array([0.0, 10.0, 20.0]),
        pbc=(False, False, False),
        info={},
        steps=20,
        series={
            "time_fs": np.array([0.0, 10.0, 20.0]),
            "temperature_K": np.array([300.0, 310.0, np.nan]),
            "bias_time_fs": np.array([0.0, 4.0, 8.0, 12.0, 16.0, 20.0]),
            "cv0": np.array([1.0, 1.1, 1.2, 1.3, 1.4, 1.5]),
            "wavenumber_per_cm": np.array([100.0]),
        },
    )
    assert series_at(run, 1) == {"temperature_K": 310.0, "cv0": 1.2}
    assert series_at(run, 2) == {"cv0": 1.5}
