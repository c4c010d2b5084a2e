"""One row out of each cluster."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from sparc_fw.selectors import clusters
from sparc_fw.selectors.clusters import k_means, k_medoids


def blobs(sizes: list[int]) -> np.ndarray:
    """Clusters 10 apart on a line, each symmetric about a row in its middle, which comes first."""
    random = np.random.default_rng(0)
    parts = []
    for number, size in enumerate(sizes):
        side = random.uniform(0.1, 1, (size // 2, 2))
        around = np.vstack([np.zeros((1, 2)), side, -side])
        parts.append(around + np.array([10.0 * number, 0.0]))
    return np.vstack(parts)


def test_k_means_takes_the_middle_of_each_cluster() -> None:
    pytest.importorskip("sklearn")
    # 5, 11 and 21 rows: the largest cluster first.
    assert k_means(blobs([5, 11, 21]), 3, seed=1) == [16, 5, 0]


def test_k_means_weighs_centres() -> None:
    pytest.importorskip("sklearn")
    line = np.array([[0.0], [1.0], [3.0]])
    assert k_means(line, 1, seed=0) == [1]
    assert k_means(line, 1, seed=0, weights=np.array([1.0, 1.0, 20.0])) == [2]


def test_k_means_of_copies_is_filled_up() -> None:
    pytest.importorskip("sklearn")
    features = np.repeat([[0.0], [5.0]], 4, axis=0)
    chosen = k_means(features, 4, seed=0)
    assert {row // 4 for row in chosen[:2]} == {0, 1}
    assert len(set(chosen)) == 4


def weighted_sum(features: np.ndarray, medoids: list[int], weights: np.ndarray, known: np.ndarray) -> float:
    places = np.vstack([features[medoids], known])
    return float(weights @ np.linalg.norm(features[:, None] - places, axis=2).min(axis=1))


def test_k_medoids_find_the_best_of_all_sets() -> None:
    random = np.random.default_rng(3)
    features, weights, known = random.normal(size=(14, 2)), random.uniform(0.1, 1, 14), random.normal(size=(1, 2))
    for used in (np.zeros((0, 2)), known):
        least = min(weighted_sum(features, list(trial), weights, used) for trial in combinations(range(14), 3))
        found = [k_medoids(features, 3, seed, used, weights) for seed in range(5)]
        sums = [weighted_sum(features, medoids, weights, used) for medoids in found]
        # Swaps end in a local minimum, which mostly is the best.
        assert min(sums) == pytest.approx(least)
        assert max(sums) < 1.1 * least


def test_k_medoids_of_samples_serve_all_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "SAMPLE", 40)
    features = blobs([101, 151, 201])
    chosen = k_medoids(features, 3, seed=0)
    # One of each cluster, the largest first, near its middle.
    assert [round(features[row, 0] / 10) for row in chosen] == [2, 1, 0]
    whole = weighted_sum(features, [0, 101, 252], np.ones(len(features)), np.zeros((0, 2)))
    assert weighted_sum(features, chosen, np.ones(len(features)), np.zeros((0, 2))) < 1.1 * whole


def test_k_medoids_leave_known_clusters_alone() -> None:
    features = blobs([5, 11, 21])
    assert k_medoids(features, 1, seed=0, known=np.array([[20.0, 0.0], [0.0, 0.0]])) == [5]
