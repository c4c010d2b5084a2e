"""Farthest points, k-means++, and what all choices among rows share."""

from __future__ import annotations

import numpy as np
import pytest

from sparc_fw.selectors import rows
from sparc_fw.selectors.diversity import farthest_points, kmeans_plus_plus
from sparc_fw.selectors.rows import mixing_weights, nearest_distances, principal_components

LINE = np.array([0.0, 2.0, 5.0, 8.0, 10.0])[:, None]


def test_farthest_points_on_a_line() -> None:
    # The mean is 5: begin there, then the ends (the lower index first), then the middles of the gaps.
    assert farthest_points(LINE, 5) == [2, 0, 4, 1, 3]
    assert farthest_points(LINE, 2) == [2, 0]
    assert farthest_points(LINE, 99) == [2, 0, 4, 1, 3]


def test_farthest_points_takes_no_row_twice() -> None:
    assert sorted(farthest_points(np.ones((4, 2)), 4)) == [0, 1, 2, 3]
    assert farthest_points(np.zeros((0, 2)), 3) == []


def test_farthest_points_keep_away_from_known_rows() -> None:
    # Known: 9. Farthest: 0; then 5 (4 from 9, 5 from 0), then 2, then 8 and 10 at 1 Å each.
    assert farthest_points(LINE, 5, known=np.array([[9.0]])) == [0, 2, 1, 3, 4]


def test_weights_pull_farthest_points_to_uncertain_rows() -> None:
    # 10 at half the weight: 8 comes before it, 8 - 0 against (10 - 0) / 2; then 5.
    weights = np.array([1.0, 1.0, 1.0, 1.0, 0.5])
    assert farthest_points(LINE, 2, known=LINE[:1], weights=weights) == [3, 2]
    # Nothing known: the largest weight begins.
    assert farthest_points(LINE, 2, weights=np.array([1.0, 2.0, 1.0, 1.0, 1.0])) == [1, 4]


def test_farthest_points_do_not_depend_on_the_order() -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(300, 7)).astype(np.float32)
    order = random.permutation(300)
    assert [order[row] for row in farthest_points(features[order], 20)] == farthest_points(features, 20)


def test_mixing_weights_have_no_unit() -> None:
    sigma = np.array([0.1, 0.4, 0.0])
    assert mixing_weights(sigma, 0.5) == pytest.approx([0.25, 1, 0])
    assert mixing_weights(1000 * sigma, 0.75) == pytest.approx([0.25**3, 1, 0])
    assert mixing_weights(sigma, 0.0).tolist() == [1, 1, 1]


def test_kmeans_plus_plus_draws_by_the_squared_distance() -> None:
    # 1, 2 and 3 away from what is known: chances 1/14, 4/14 and 9/14; with half the weight 9/4 instead of 9.
    features = np.array([[1.0], [2.0], [3.0]])
    known = np.zeros((1, 1))
    draws = np.array([kmeans_plus_plus(features, 1, seed, known)[0] for seed in range(1500)])
    assert np.bincount(draws) / 1500 == pytest.approx(np.array([1, 4, 9]) / 14, abs=0.04)
    halved = np.array([1.0, 1.0, 0.5])
    draws = np.array([kmeans_plus_plus(features, 1, seed, known, halved)[0] for seed in range(1500)])
    assert np.bincount(draws) / 1500 == pytest.approx(np.array([1, 4, 2.25]) / 7.25, abs=0.04)


def test_kmeans_plus_plus_takes_copies_last() -> None:
    features = np.repeat([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]], 5, axis=0)
    drawn = kmeans_plus_plus(features, 15, seed=4)
    assert {row // 5 for row in drawn[:3]} == {0, 1, 2}
    assert sorted(drawn) == list(range(15))


def test_nearest_distances_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    features, known = random.normal(5, 1, (50, 4)), random.normal(5, 1, (9, 4))
    expected = np.linalg.norm(features[:, None] - known, axis=2).min(axis=1)
    monkeypatch.setattr(rows, "KNOWN_BLOCK", 64)
    assert nearest_distances(features, known) == pytest.approx(expected, abs=1e-12)


def test_principal_components_keep_distances() -> None:
    # 40 columns, but only three that vary by themselves.
    random = np.random.default_rng(2)
    plane = random.normal(size=(3, 40))
    features, known = random.normal(size=(100, 3)) @ plane + 7, random.normal(size=(5, 3)) @ plane + 7
    few, few_known = principal_components(features, known, kept=1 - 1e-9)
    assert few.shape == (100, 3)
    assert few.dtype == np.float32
    assert few.mean(axis=0) == pytest.approx(0, abs=1e-5)
    assert nearest_distances(few, few_known) == pytest.approx(nearest_distances(features, known), rel=1e-4)
    assert principal_components(np.ones((4, 2)))[0].tolist() == [[0.0]] * 4


@pytest.mark.parametrize(
    ("features", "weights", "message"),
    [
        (np.array([[np.nan]]), None, "found NaN or infinity"),
        (np.zeros(3), None, r"shape \(3,\), expected one of \(n_rows, n_features\)"),
        (np.zeros((2, 1)), np.array([1.0, -1.0]), "below zero"),
        (np.zeros((2, 1)), np.zeros(2), "found zeros only"),
        (np.zeros((2, 1)), np.ones(3), r"shape \(3,\), expected one of \(2,\)"),
    ],
)
def test_unusable_rows_are_named(features: np.ndarray, weights: np.ndarray | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        farthest_points(features, 1, weights=weights)
