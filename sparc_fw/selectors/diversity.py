"""Rows that are far from each other, and from those known already: farthest points and k-means++.

Chosen rows come in the order of choice, so that the first n are a good choice of n. Memory grows with the number of
rows only. Distances are Euclidean: give columns of comparable size (`rows.principal_components`, `geometry.features`).
"""

from __future__ import annotations

import numpy as np

from sparc_fw.selectors.rows import filled, nearest_distances, row_weights, squared_distances


def farthest_points(
    features: np.ndarray, count: int, known: np.ndarray | None = None, weights: np.ndarray | None = None
) -> list[int]:
    """Choose rows that cover the space: each is the farthest from those chosen before it.

    Where nothing is known it starts from the row of the largest weight, of several from that nearest to the mean; ties
    go to the lowest index. Source: T. F. Gonzalez, Theor. Comput. Sci. 38 (1985) 293.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features)
    count : int
        How many to choose; all rows where there are fewer.
    known : ndarray of shape (n_known, n_features), optional
        Rows that count as chosen before.
    weights : ndarray of shape (n_rows,), optional
        What the distance of a row is multiplied with; see `rows.mixing_weights`.

    Returns
    -------
    list of int
        In the order of choice; no row twice, even among identical ones.
    """
    scale = row_weights(features, weights) ** 2
    count = min(count, len(features))
    if count < 1:
        return []
    nearest = _to_known(features, known)
    chosen: list[int] = []
    if nearest is None:
        from_mean = squared_distances(features, features.mean(axis=0, dtype=float))
        chosen = [int(np.argmin(np.where(scale == scale.max(), from_mean, np.inf)))]
        nearest = squared_distances(features, features[chosen[0]])
    while len(chosen) < count:
        scores = nearest * scale
        scores[chosen] = -1.0
        chosen.append(int(np.argmax(scores)))
        np.minimum(nearest, squared_distances(features, features[chosen[-1]]), out=nearest)
    return chosen


def kmeans_plus_plus(
    features: np.ndarray, count: int, seed: int, known: np.ndarray | None = None, weights: np.ndarray | None = None
) -> list[int]:
    """Draw rows, each with a chance that grows as the square of its distance from those drawn before it.

    Farthest points by chance: dense regions get their share as well, and a lone outlier is not bound to come first.
    Source: D. Arthur and S. Vassilvitskii, Proc. SODA (2007) 1027; as a way to choose what to label: J. T. Ash et al.,
    ICLR (2020), arXiv:1906.03671.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features)
    count : int
        How many to choose; all rows where there are fewer.
    seed : int
        The same seed draws the same rows from the same array.
    known : ndarray of shape (n_known, n_features), optional
        Rows that count as drawn before.
    weights : ndarray of shape (n_rows,), optional
        What the distance of a row is multiplied with; see `rows.mixing_weights`.

    Returns
    -------
    list of int
        In the order of the draws; rows identical to drawn or known ones only where no other is left.
    """
    row_weight = row_weights(features, weights)
    scale = row_weight**2
    count = min(count, len(features))
    random = np.random.default_rng(seed)
    nearest = _to_known(features, known)
    chosen: list[int] = []
    while len(chosen) < count:
        chances = scale.copy() if nearest is None else nearest * scale
        chances[chosen] = 0.0
        total = chances.sum()
        if total == 0:
            return filled(chosen, row_weight, count)
        chosen.append(int(random.choice(len(features), p=chances / total)))
        distances = squared_distances(features, features[chosen[-1]])
        nearest = distances if nearest is None else np.minimum(nearest, distances)
    return chosen


def _to_known(features: np.ndarray, known: np.ndarray | None) -> np.ndarray | None:
    """Squared distance of each row to the nearest known one, None where nothing is known."""
    return None if known is None or len(known) == 0 else nearest_distances(features, known) ** 2
