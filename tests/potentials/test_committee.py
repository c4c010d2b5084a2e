"""Force deviation and errors, against forces that are known."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from ase import Atoms

from sparc_fw.documents import Errors, Label
from sparc_fw.errors import InputError
from sparc_fw.potentials import committee
from sparc_fw.potentials.base import Evaluator
from sparc_fw.trajectories import Trajectory


class Spring(Evaluator):
    """Every atom on a spring to the origin: E = k/2 sum x^2 + shift."""

    def __init__(self, stiffness: float, shift: float = 0.0) -> None:
        self.stiffness = stiffness
        self.shift = shift
        self.calls: list[int] = []

    def evaluate(
        self, numbers: np.ndarray, positions: np.ndarray, cells: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        self.calls.append(len(positions))
        with np.errstate(over="ignore"):
            energies = self.stiffness / 2 * (positions**2).sum(axis=(1, 2)) + self.shift
            return energies, -self.stiffness * positions


def trajectory(positions: np.ndarray) -> Trajectory:
    count, atoms = positions.shape[:2]
    return Trajectory(
        numbers=np.ones(atoms, dtype=int),
        positions=positions,
        cells=np.zeros((count, 3, 3)),
        times=np.arange(count, dtype=float),
        pbc=(False, False, False),
        info={},
        steps=count,
    )


def test_deviation_is_the_largest_atoms_standard_deviation_over_all_members() -> None:
    positions = np.zeros((2, 3, 3))
    positions[0, 1] = (3.0, 4.0, 0.0)  # 5 Å from the origin
    positions[0, 2] = (1.0, 0.0, 0.0)
    positions[1, 0] = (0.0, 0.0, 2.0)
    members = [Spring(k) for k in (1.0, 2.0, 4.0)]
    # Standard deviation of (1, 2, 4) over three members, times the distance.
    expected = np.std([1.0, 2.0, 4.0]) * np.array([5.0, 2.0])
    np.testing.assert_allclose(committee.force_deviation(members, trajectory(positions)), expected, rtol=1e-12)


def test_what_every_measure_is_taken_from() -> None:
    positions = np.zeros((2, 3, 3))
    positions[0, 1] = (3.0, 4.0, 0.0)  # 5 Å from the origin
    positions[1, 0] = (0.0, 0.0, 2.0)
    members = [Spring(1.0), Spring(2.0, shift=0.5), Spring(6.0)]
    deviation, found = committee.opinion(members, trajectory(positions))
    spread = np.std([1.0, 2.0, 6.0])
    np.testing.assert_allclose(found.force_deviation, spread * np.array([[0, 5, 0], [2, 0, 0]]), rtol=1e-6)
    np.testing.assert_allclose(found.mean_force, 3.0 * np.array([[0, 5, 0], [2, 0, 0]]), rtol=1e-6)
    np.testing.assert_allclose(found.energies, [[12.5, 2.0], [25.5, 4.5], [75.0, 12.0]])
    np.testing.assert_array_equal(deviation, committee.force_deviation(members, trajectory(positions)))


def test_small_disagreement_about_a_large_force_is_not_cancelled_away() -> None:
    positions = np.full((1, 1, 3), 1e6 / np.sqrt(3))
    members = [Spring(1.0), Spring(1.0 + 1e-9)]
    deviation = committee.force_deviation(members, trajectory(positions))
    assert deviation[0] == pytest.approx(0.5e-3, rel=1e-4)


def test_a_frame_without_finite_forces_is_nan_and_the_others_are_not() -> None:
    positions = np.random.default_rng(0).normal(size=(5, 2, 3))
    positions[1, 0, 0] = np.nan
    positions[2, 0, 0] = 1e308  # the stiff member's force overflows
    positions[3, 1, 1] = np.inf
    deviation, found = committee.opinion([Spring(1.0), Spring(10.0)], trajectory(positions))
    assert np.isnan(deviation).tolist() == [False, True, True, True, False]
    assert np.isfinite(found.force_deviation).all(axis=1).tolist() == [True, False, False, False, True]


def test_chunks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    positions = np.random.default_rng(1).normal(size=(100, 4, 3))
    members = [Spring(1.0), Spring(2.0)]
    whole = committee.force_deviation(members, trajectory(positions))
    assert members[0].calls == [100]
    monkeypatch.setattr(committee, "CHUNK_ATOMS", 28)
    np.testing.assert_array_equal(committee.force_deviation(members, trajectory(positions)), whole)
    assert members[0].calls[1:] == [7] * 14 + [2]


def test_one_member_has_no_deviation() -> None:
    with pytest.raises(InputError, match="at least 2"):
        committee.force_deviation([Spring(1.0)], trajectory(np.zeros((1, 1, 3))))


def test_errors_over_compositions() -> None:
    frames = [Atoms("H2", [(0, 0, 0), (0, 0, 1)]), Atoms("H", [(0, 0, 2)]), Atoms("H2", [(0, 0, 0), (0, 3, 0)])]
    labels = [Label(frame, "ok", 0.5 * (frame.positions**2).sum(), -frame.positions) for frame in frames]
    model = Spring(2.0, shift=0.6)
    found = committee.errors(model, labels)
    assert sorted(model.calls) == [1, 2]
    assert found.frames == 3
    # Forces are off by the position, energies by half its square plus the shift.
    assert found.force_rmse == pytest.approx(np.sqrt((1 + 4 + 9) / 15))
    assert found.force_mae == pytest.approx((1 + 2 + 3) / 15)
    assert found.energy_rmse == pytest.approx(np.sqrt(np.mean([(1.1 / 2) ** 2, 2.6**2, (5.1 / 2) ** 2])))


def test_errors_of_sets_pool_to_those_of_all() -> None:
    frames = [Atoms("H2", [(0, 0, 0), (0, 0, 1)]), Atoms("H", [(0, 0, 2)]), Atoms("H2", [(0, 0, 0), (0, 3, 0)])]
    labels = [Label(frame, "ok", 0.0, -0.5 * frame.positions) for frame in frames]
    model = Spring(1.0)
    parts = [committee.errors(model, labels[:2]), committee.errors(model, labels[2:])]
    assert asdict(Errors.pooled(parts)) == pytest.approx(asdict(committee.errors(model, labels)))


def test_energies_keep_the_order_of_frames() -> None:
    frames = [Atoms("H", [(0, 0, 1)]), Atoms("H2", [(0, 0, 0), (0, 0, 2)]), Atoms("H", [(0, 0, 3)])]
    np.testing.assert_allclose(committee.energies(Spring(2.0), frames), [1.0, 4.0, 9.0])
