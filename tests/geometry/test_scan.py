"""Scans give exactly the values asked for and move what hangs on the last atom."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from sparc_fw.errors import InputError
from sparc_fw.geometry.scan import moving_atoms, scan_frames
from sparc_fw.geometry.sources import ScanSource


def scan(**options: Any) -> ScanSource:
    return ScanSource(kind="scan", **options)


def ethane() -> Atoms:
    """Atoms 0 and 1 are C; 2, 3, 4 hang on 0 and 5, 6, 7 on 1."""
    return molecule("C2H6")


def test_distance_scan_moves_the_far_half_rigidly() -> None:
    frames = scan_frames(ethane(), scan(atoms=[0, 1], first=1.2, last=4.0, points=15))
    assert [frame.get_distance(0, 1) for frame in frames] == pytest.approx(np.linspace(1.2, 4.0, 15), abs=1e-12)
    for frame in frames:
        assert frame.positions[[0, 2, 3, 4]] == pytest.approx(ethane().positions[[0, 2, 3, 4]], abs=0)
        assert frame.get_distance(1, 5) == pytest.approx(ethane().get_distance(1, 5), abs=1e-12)
        assert frame.get_distance(5, 6) == pytest.approx(ethane().get_distance(5, 6), abs=1e-12)


def test_angle_scan() -> None:
    frames = scan_frames(ethane(), scan(atoms=[0, 1, 5], first=80, last=130, points=6))
    assert [frame.get_angle(0, 1, 5) for frame in frames] == pytest.approx(np.linspace(80, 130, 6), abs=1e-9)
    assert all(frame.get_distance(1, 5) == pytest.approx(ethane().get_distance(1, 5)) for frame in frames)


def test_straight_angle_opens() -> None:
    frames = scan_frames(molecule("CO2"), scan(atoms=[1, 0, 2], first=180, last=100, points=3))
    assert [frame.get_angle(1, 0, 2) for frame in frames] == pytest.approx([180, 140, 100], abs=1e-5)


def test_dihedral_scan_turns_the_whole_end() -> None:
    frames = scan_frames(ethane(), scan(atoms=[2, 0, 1, 5], first=-60, last=120, points=7))
    found = [(frame.get_dihedral(2, 0, 1, 5) + 180) % 360 - 180 for frame in frames]
    assert found == pytest.approx([-60, -30, 0, 30, 60, 90, 120], abs=1e-9)
    for frame in frames:
        assert frame.get_distance(5, 6) == pytest.approx(ethane().get_distance(5, 6), abs=1e-12)
        assert frame.get_angle(0, 1, 6) == pytest.approx(ethane().get_angle(0, 1, 6), abs=1e-9)


def test_moving_group_can_be_stated() -> None:
    frame = scan_frames(ethane(), scan(atoms=[0, 1], first=3, last=3, points=1, moving=[1]))[0]
    unmoved = [0, 2, 3, 4, 5, 6, 7]
    assert frame.positions[unmoved] == pytest.approx(ethane().positions[unmoved], abs=0)
    assert frame.get_distance(0, 1) == pytest.approx(3.0)


def test_separate_fragments_move_as_fragments() -> None:
    pair = molecule("H2O")
    pair += Atoms("N2", [[0, 0, 5], [0, 0, 6.1]])
    assert moving_atoms(pair, scan(atoms=[0, 3], first=3, last=4, points=2)) == [3, 4]


def test_scan_across_a_periodic_boundary() -> None:
    frame = molecule("N2", cell=[10, 10, 10], pbc=True)
    frame.positions = [[5, 5, 9.6], [5, 5, 0.7]]
    moved = scan_frames(frame, scan(atoms=[0, 1], first=1.5, last=1.5, points=1))[0]
    assert moved.get_distance(0, 1, mic=True) == pytest.approx(1.5)


def test_info_goes_along() -> None:
    frame = ethane()
    frame.info.update(system="ethane", charge=0, spin=0)
    assert scan_frames(frame, scan(atoms=[0, 1], first=2, last=2, points=1))[0].info == frame.info


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"atoms": [0, 12], "first": 1, "last": 2}, r"atoms: found atom 12, but the structure has 12 atoms"),
        ({"atoms": [0, 1], "first": 1, "last": 2}, "state 'moving'"),
        ({"atoms": [0, 2], "first": 1, "last": 2}, "state 'moving'"),
        ({"atoms": [0, 0], "first": 1, "last": 2}, "expected every atom once"),
        ({"atoms": [0, 6], "first": 0, "last": 2}, "expected distances above 0 Å"),
        ({"atoms": [1, 0, 6], "first": 90, "last": 190}, "expected angles from 0 to 180 degrees"),
        ({"atoms": [0, 6], "first": 1, "last": 2, "moving": [0, 6]}, "none of \\[0\\]"),
        ({"atoms": [0, 6], "first": 1, "last": 2, "moving": [77]}, "moving: found atom 77"),
    ],
)
def test_scan_that_does_not_fit_benzene(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        scan_frames(molecule("C6H6"), scan(points=3, **options))
