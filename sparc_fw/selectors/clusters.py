"""One row out of each cluster: k-means and k-medoids.

Clusters follow the density of the rows, so that common geometries are chosen, too; `diversity` looks for what is far.
"""

from __future__ import annotations

import numpy as np

from sparc_fw.errors import MissingDependency
from sparc_fw.selectors.diversity import kmeans_plus_plus
from sparc_fw.selectors.rows import filled, nearest_distances, row_blocks, row_weights, squared_distances

ROUNDS = 100
"""Lloyd iterations of k-means, and passes of k-medoids, at most; both mostly settle within 30."""
SAMPLES = 5
"""Samples of CLARA."""
SAMPLE = 2000
"""Rows of a sample of CLARA at least."""


def k_means(features: np.ndarray, count: int, seed: int, weights: np.ndarray | None = None) -> list[int]:
    """Cut the rows into clusters and choose of each the row nearest to its centre, the heaviest cluster first.

    Source: F. Zhdanov, arXiv:1901.05954 (2019), who weights rows by uncertainty.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features)
    count : int
        How many to choose; all rows where there are fewer.
    seed : int
        Of the first centres, which `kmeans_plus_plus` draws.
    weights : ndarray of shape (n_rows,), optional
        How much a row counts in its cluster's centre; see `rows.mixing_weights`.

    Returns
    -------
    list of int
        Where there are fewer clusters than `count`, rows identical to chosen ones follow.

    Raises
    ------
    MissingDependency
        If scikit-learn is not installed.
    """
    try:
        from sklearn.cluster import KMeans
    except ImportError as error:
        raise MissingDependency(
            "k-means: needs the Python package 'scikit-learn': pip install 'sparc_fw[descriptors]'"
        ) from error
    row_weight = row_weights(features, weights)
    if min(count, len(features)) < 1:
        return []
    starts = np.unique(features[kmeans_plus_plus(features, count, seed, weights=weights)], axis=0)
    clusters = KMeans(len(starts), init=starts, n_init=1, max_iter=ROUNDS, random_state=seed)
    labels = clusters.fit(features, sample_weight=row_weight).labels_
    distances = np.empty(len(features))
    for part in row_blocks(*features.shape):
        difference = features[part] - clusters.cluster_centers_[labels[part]]
        distances[part] = np.einsum("ij,ij->i", difference, difference)
    # The first row of each cluster, by distance and then by index.
    order = np.lexsort((distances, labels))
    numbers, first = np.unique(labels[order], return_index=True)
    mass = np.bincount(labels, weights=row_weight)[numbers]
    chosen = order[first][np.argsort(-mass, kind="stable")]
    return filled(chosen.tolist(), row_weight, count)


def k_medoids(
    features: np.ndarray,
    count: int,
    seed: int,
    known: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> list[int]:
    """Choose the rows to which all rows are as near as can be, the sum of distances being what is made small.

    CLARA over FasterPAM: medoids of some samples of the rows are sought by swaps, and those that serve all rows best
    are kept, so that memory grows with the rows and with the square of a sample only. Sources: L. Kaufman and P. J.
    Rousseeuw, Finding Groups in Data (Wiley, 1990), chapter 3; E. Schubert and P. J. Rousseeuw, Inf. Syst. 101 (2021)
    101804.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features)
    count : int
        How many to choose; all rows where there are fewer.
    seed : int
        Of the samples and of the first medoids; without a sample (up to 2,000 rows) of the latter only.
    known : ndarray of shape (n_known, n_features), optional
        Rows that are medoids already and stay so.
    weights : ndarray of shape (n_rows,), optional
        How much the distance of a row counts; see `rows.mixing_weights`.

    Returns
    -------
    list of int
        Those that serve most rows first.
    """
    row_weight = row_weights(features, weights)
    count = min(count, len(features))
    if count < 1:
        return []
    random = np.random.default_rng(seed)
    fixed = np.full(len(features), np.inf)
    if known is not None and len(known):
        fixed = nearest_distances(features, known)
    # 80 + 4 k rows, as Schubert and Rousseeuw advise for samples; small pools are taken whole.
    size = min(len(features), max(SAMPLE, 80 + 4 * count))
    best: np.ndarray = np.array([], dtype=int)
    least = np.inf
    for _ in range(SAMPLES if size < len(features) else 1):
        sample = np.union1d(random.choice(len(features), size, replace=False), best)
        start = best
        if len(best) == 0:
            drawn = kmeans_plus_plus(features[sample], count, int(random.integers(2**31)), known, row_weight[sample])
            start = sample[drawn]
        medoids = sample[_swapped(features[sample], np.searchsorted(sample, start), fixed[sample], row_weight[sample])]
        total = float(row_weight @ np.minimum(nearest_distances(features, features[medoids]), fixed))
        if total < least:
            best, least = medoids, total
    return _by_rows_served(features, best, fixed, row_weight)


def _swapped(rows: np.ndarray, medoids: np.ndarray, fixed: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Swap medoids for other rows while that makes the weighted sum of distances less (FasterPAM)."""
    from scipy.spatial.distance import cdist

    distances = cdist(rows, rows)
    medoids = medoids.copy()
    # The last column is the nearest of the medoids that stay.
    to_medoids = np.column_stack([distances[:, medoids], fixed])
    nearest, first, second = _two_nearest(to_medoids)
    tolerance = 1e-12 * float(weights @ first)
    for _ in range(ROUNDS):
        swaps = 0
        for candidate in np.setdiff1d(np.arange(len(rows)), medoids):
            reach = distances[candidate]
            gain = np.where(reach < first, reach - first, 0.0)
            # Whose medoid goes falls back on the second nearest, or on the candidate.
            fallback = np.minimum(second, reach) - np.minimum(first, reach)
            change = np.bincount(nearest, weights * fallback, minlength=len(medoids) + 1)[:-1]
            worst = int(np.argmin(change))
            if change[worst] + float(weights @ gain) >= -tolerance:
                continue
            medoids[worst] = candidate
            # Only the rows whose two nearest change: those of the medoid that went, and those near the new one.
            stale = np.minimum(to_medoids[:, worst], reach) <= second
            to_medoids[:, worst] = reach
            nearest[stale], first[stale], second[stale] = _two_nearest(to_medoids[stale])
            swaps += 1
        if swaps == 0:
            break
    return medoids


def _two_nearest(to_medoids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number of each row's nearest medoid, and the distances to it and to the second nearest."""
    nearest = np.argmin(to_medoids, axis=1)
    rows = np.arange(len(to_medoids))
    first = to_medoids[rows, nearest]
    rest = to_medoids.copy()
    rest[rows, nearest] = np.inf
    return nearest, first, rest.min(axis=1)


def _by_rows_served(features: np.ndarray, medoids: np.ndarray, fixed: np.ndarray, weights: np.ndarray) -> list[int]:
    nearest, served = fixed.copy(), np.full(len(features), -1)
    for number, medoid in enumerate(medoids):
        distances = np.sqrt(squared_distances(features, features[medoid]))
        served[distances < nearest] = number
        np.minimum(nearest, distances, out=nearest)
    mass = np.bincount(served + 1, weights, minlength=len(medoids) + 1)[1:]
    return [int(row) for row in medoids[np.lexsort((medoids, -mass))]]
