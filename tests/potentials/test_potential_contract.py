"""What every potential promises of a model that it trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from sparc_fw.errors import StageFailed
from sparc_fw.potentials.base import Evaluator
from trained_models import ammonia_borane, displaced, small_potential

pytestmark = pytest.mark.slow


@pytest.fixture
def evaluator(models: list[Path]) -> Evaluator:
    return small_potential().load(models[0])


def positions_of(frames: list[Atoms]) -> np.ndarray:
    return np.array([frame.positions for frame in frames])


def test_a_batch_equals_its_frames_one_by_one(evaluator: Evaluator) -> None:
    positions = positions_of(displaced(300, seed=5))
    numbers = ammonia_borane().numbers
    energies, forces = evaluator.evaluate(numbers, positions, None)
    for index in (0, 150, 299):
        energy, force = evaluator.evaluate(numbers, positions[index : index + 1], None)
        assert energy[0] == pytest.approx(energies[index], abs=1e-5)
        np.testing.assert_allclose(force[0], forces[index], atol=1e-5)


def test_forces_are_minus_the_slope_of_the_energy(evaluator: Evaluator) -> None:
    frame, step = displaced(1, seed=6)[0], 5e-3
    moved = np.repeat(frame.positions[None], 48, axis=0)
    for k in range(24):
        moved[2 * k, k // 3, k % 3] += step
        moved[2 * k + 1, k // 3, k % 3] -= step
    energies, _ = evaluator.evaluate(frame.numbers, moved, None)
    _, forces = evaluator.evaluate(frame.numbers, frame.positions[None], None)
    slope = (energies[0::2] - energies[1::2]).reshape(8, 3) / (2 * step)
    # Single-precision nets: the sum of energies near -200 eV carries some 1e-5 eV.
    np.testing.assert_allclose(forces[0], -slope, atol=1e-2)


def test_turning_moving_and_renumbering_change_nothing(evaluator: Evaluator) -> None:
    frame = displaced(1, seed=7)[0]
    energy, forces = evaluator.evaluate(frame.numbers, frame.positions[None], None)
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))
    order = np.array([1, 0, 7, 6, 5, 4, 3, 2])
    turned = (frame.positions @ rotation.T + 3.0)[order]
    energy_turned, forces_turned = evaluator.evaluate(frame.numbers[order], turned[None], None)
    assert energy_turned[0] == pytest.approx(energy[0], abs=1e-4)
    np.testing.assert_allclose(forces_turned[0], (forces[0] @ rotation.T)[order], atol=1e-4)


def test_the_calculator_agrees_with_the_evaluator(evaluator: Evaluator, models: list[Path]) -> None:
    frame = displaced(1, seed=8)[0]
    energy, forces = evaluator.evaluate(frame.numbers, frame.positions[None], None)
    frame.calc = small_potential().calculator(models[0])
    assert frame.get_potential_energy() == pytest.approx(energy[0], abs=1e-5)
    np.testing.assert_allclose(frame.get_forces(), forces[0], atol=1e-5)


def test_an_element_that_was_not_trained_is_refused(evaluator: Evaluator, models: list[Path]) -> None:
    with pytest.raises(StageFailed, match="'O'"):
        evaluator.evaluate(np.array([8]), np.zeros((1, 1, 3)), None)
    with pytest.raises(StageFailed, match="'O'"):
        small_potential().lammps_lines(models[0], ["H", "O"])


def test_no_frames_give_no_numbers(evaluator: Evaluator) -> None:
    energies, forces = evaluator.evaluate(ammonia_borane().numbers, np.zeros((0, 8, 3)), None)
    assert energies.shape == (0,)
    assert forces.shape == (0, 8, 3)
