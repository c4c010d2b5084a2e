"""Sorted interatomic distances and overlap."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from sparc_fw.geometry import descriptor
from sparc_fw.geometry.descriptor import frame_distances, pair_distances, pair_kinds, sorted_distances
from sparc_fw.geometry.overlap import describe_overlap, overlapping


def test_distances_are_sorted_within_element_pairs() -> None:
    # H at 1 and 3 Å from O on a line, 2 Å from each other.
    frame = Atoms("OHH", [[0, 0, 0], [3, 0, 0], [1, 0, 0]])
    assert pair_kinds(frame.numbers)[1] == ["H-H", "H-O"]
    assert frame_distances(frame).tolist() == [2.0, 1.0, 3.0]


def test_same_for_any_order_turn_and_mirror() -> None:
    frame = molecule("CH3CH2OH")
    turned = frame.copy()[np.random.default_rng(3).permutation(len(frame))]
    turned.rotate(37, (1, 2, 3))
    turned.positions *= (1, 1, -1)
    turned.translate((5, 0, -2))
    assert frame_distances(turned) == pytest.approx(frame_distances(frame), abs=1e-12)


def test_minimum_image_counts_in_periodic_frames() -> None:
    frame = Atoms("H2", [[0.5, 0, 0], [9.5, 0, 0]], cell=[10, 10, 10], pbc=True)
    assert frame_distances(frame) == pytest.approx([1.0])
    frame.pbc = False
    assert frame_distances(frame) == pytest.approx([9.0])


def test_blocks_and_changing_cells_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    crystal = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    rng = np.random.default_rng(0)
    positions = crystal.positions + rng.normal(0, 0.1, (7, 8, 3))
    cells = crystal.cell.array * np.array([1, 1, 1.1, 1.1, 1, 1.2, 1])[:, None, None]
    one_by_one = [
        frame_distances(Atoms(crystal.numbers, place, cell=cell, pbc=True))
        for place, cell in zip(positions, cells, strict=True)
    ]
    monkeypatch.setattr(descriptor, "BLOCK", 60)
    together = sorted_distances(crystal.numbers, positions, cells, (True, True, True))
    assert together == pytest.approx(np.array(one_by_one), abs=1e-12)


def test_one_atom_has_no_distances() -> None:
    assert sorted_distances(np.array([2]), np.zeros((3, 1, 3))).shape == (3, 0)


def test_overlap_is_half_the_covalent_radii() -> None:
    # H 0.31 + O 0.66 Å: the limit is 0.485 Å.
    positions = np.array([[[0, 0, 0], [0, 0, height]] for height in (0.48, 0.49, 1.0)])
    numbers = np.array([8, 1])
    assert overlapping(numbers, positions).tolist() == [True, False, False]
    assert overlapping(numbers, positions, fraction=0.6).tolist() == [True, True, False]


def test_overlap_with_a_periodic_image() -> None:
    positions = np.array([[[0.1, 0, 0], [9.9, 0, 0]], [[0.1, 0, 0], [9.0, 0, 0]]])
    cells = np.broadcast_to(10 * np.eye(3), (2, 3, 3))
    numbers = np.array([8, 1])
    assert overlapping(numbers, positions, cells, (True, False, False)).tolist() == [True, False]
    assert overlapping(numbers, positions, cells, (False, True, True)).tolist() == [False, False]


def test_overlap_names_the_worst_pair() -> None:
    frame = Atoms("OHH", [[0, 0, 0], [0, 0, 0.4], [0, 0, -0.1]])
    assert describe_overlap(frame) == (
        "atoms 0 (O) and 2 (H) are 0.100 Å apart, expected at least 0.485 Å (0.5 of their covalent radii)"
    )
    assert describe_overlap(molecule("H2O")) is None


def test_one_atom_in_a_box_has_no_distances() -> None:
    found = pair_distances(np.zeros((2, 1, 3)), np.array([np.eye(3), 2 * np.eye(3)]), (True, True, True))
    assert found.shape == (2, 0)
