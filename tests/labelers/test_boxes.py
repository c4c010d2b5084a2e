"""Boxes around molecules."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule

from sparc_fw.labelers.box import boxed, without_drift


def test_place_and_cell_of_a_molecule_do_not_matter() -> None:
    frame = molecule("NH3")
    moved = Atoms(frame.numbers, frame.positions + np.array([7.1, -3.0, 0.2]), cell=[30, 30, 30])
    first, second = boxed(frame, 4.0), boxed(moved, 4.0)
    assert first.positions == pytest.approx(second.positions, abs=1e-12)
    assert first.cell.array.tolist() == second.cell.array.tolist()
    assert first.positions.mean(axis=0) == pytest.approx(first.cell.lengths() / 2)


@pytest.mark.parametrize(
    ("doubled", "cubic", "edges"), [(False, False, [4, 4, 6]), (True, False, [4, 4, 8]), (False, True, [6, 6, 6])]
)
def test_edges_are_whole_angstrom(doubled: bool, cubic: bool, edges: list[int]) -> None:
    frame = Atoms("H2", [(0, 0, 0), (0, 0, 1.9)])
    assert boxed(frame, 2.0, doubled, cubic).cell.lengths().tolist() == edges


def test_charge_and_spin_stay_with_the_molecule() -> None:
    frame = molecule("O2")
    frame.info.update(charge=1, spin=3)
    assert boxed(frame, 4.0).info == {"charge": 1, "spin": 3}


def test_forces_without_drift_are_the_slope_of_the_centred_energy() -> None:
    """An energy that depends on the place on a grid, as plane-wave codes have it, of the centred frame."""

    def wave(frame: Atoms) -> tuple[float, np.ndarray]:
        phases, weights = 3.0 * frame.positions, np.array([1.0, 2.0, -0.5])[:, None]
        return float((weights * np.cos(phases)).sum()), 3.0 * weights * np.sin(phases)

    frame, step = molecule("H2O"), 1e-5
    energies = []
    for sign in (1, -1):
        moved = frame.copy()
        moved.positions[1, 1] += sign * step
        energies.append(wave(boxed(moved, 4.0))[0])
    forces = wave(boxed(frame, 4.0))[1]
    slope = (energies[1] - energies[0]) / (2 * step)
    assert without_drift(forces)[1, 1] == pytest.approx(slope, abs=1e-6)
    assert abs(forces[1, 1] - slope) > 0.1
