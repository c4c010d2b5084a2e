"""Rows of numbers, one for each frame: what all ways to choose among them share.

Rows stay in the precision that they come in (float32 halves the memory); sums and products are taken in float64, a
block of rows at a time, so that memory never grows with the square of the number of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

BLOCK = 2**18
"""Numbers held at a time beside the rows: as many as stay in a processor's cache."""
KNOWN_BLOCK = 2**22
"""Distances to known rows held at a time."""


def row_blocks(n_rows: int, width: int, block: int = BLOCK) -> Iterator[slice]:
    """Slices of rows that hold about `block` numbers each."""
    size = max(1, block // max(1, width))
    for begin in range(0, n_rows, size):
        yield slice(begin, begin + size)


def row_weights(features: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """The weight of each row, 1 where none are given.

    Raises
    ------
    ValueError
        If rows or weights are not what every method needs: finite, a weight for each row, none below zero, one above.
    """
    if features.ndim != 2:
        raise ValueError(f"features: found an array of shape {features.shape}, expected one of (n_rows, n_features)")
    for part in row_blocks(*features.shape):
        if not np.isfinite(features[part]).all():
            raise ValueError("features: found NaN or infinity, expected finite numbers: drop such frames before")
    if weights is None:
        return np.ones(len(features))
    if weights.shape != (len(features),):
        raise ValueError(f"weights: found an array of shape {weights.shape}, expected one of ({len(features)},)")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("weights: found NaN, infinity or a number below zero, expected finite ones from zero on")
    if len(weights) and not weights.any():
        raise ValueError("weights: found zeros only, expected at least one above: leave them out for equal ones")
    return np.asarray(weights, dtype=float)


def mixing_weights(uncertainty: np.ndarray, share: float) -> np.ndarray:
    """Weights by which a choice among different rows looks for uncertain ones as well.

    A weight multiplies how far a row is from those chosen, d, so that the best row has the largest
    d^(1 - share) u^share of all: whatever the units of d and u, the choice is the same. Compare the information density
    of B. Settles and M. Craven, Proc. EMNLP (2008) 1070.

    Parameters
    ----------
    uncertainty : ndarray of shape (n_rows,)
        In any unit, none below zero.
    share : float
        From 0, where uncertainty does not count, towards 1, where nothing else would; at 0.5 it counts as much as
        distance.

    Returns
    -------
    ndarray of shape (n_rows,)
        Largest: 1.
    """
    if not 0 <= share < 1:
        raise ValueError(f"share: found {share}, expected a number from 0 on and below 1")
    largest = uncertainty.max(initial=0.0)
    if share == 0 or largest == 0:
        return np.ones(len(uncertainty))
    return np.asarray((uncertainty / largest) ** (share / (1 - share)))


def filled(chosen: Sequence[int], weights: np.ndarray, count: int) -> list[int]:
    """What was chosen, and of the other rows those of the largest weight (ties: the lowest index) up to `count`."""
    left = np.setdiff1d(np.arange(len(weights)), chosen)
    order = np.argsort(-weights[left], kind="stable")
    return [*chosen, *left[order][: max(0, count - len(chosen))].tolist()]


def squared_distances(features: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Squared Euclidean distance of each row to a point; exactly zero for the same row."""
    result = np.empty(len(features))
    for part in row_blocks(*features.shape):
        difference = features[part] - point
        result[part] = np.einsum("ij,ij->i", difference, difference)
    return result


def nearest_distances(features: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Euclidean distance of each row to the nearest of the known ones: the distance in latent or descriptor space.

    As a measure of uncertainty: J. P. Janet, C. Duan, T. Yang, A. Nandy and H. J. Kulik, Chem. Sci. 10 (2019) 7913.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features)
    known : ndarray of shape (n_known, n_features)
        At least one.

    Returns
    -------
    ndarray of shape (n_rows,)
        In the unit of the features.
    """
    # By matrix products, many times as fast as differences; the common mean taken off keeps the digits.
    mean = known.mean(axis=0, dtype=float)
    others = known - mean
    lengths = np.einsum("ij,ij->i", others, others)
    result = np.empty(len(features))
    for part in row_blocks(len(features), max(known.shape), KNOWN_BLOCK):
        rows = features[part] - mean
        nearest = (lengths - 2 * rows @ others.T).min(axis=1)
        result[part] = np.sqrt(np.maximum(np.einsum("ij,ij->i", rows, rows) + nearest, 0.0))
    return result


def gram(features: np.ndarray, weights: np.ndarray | None = None, mean: np.ndarray | None = None) -> np.ndarray:
    """Sum of the outer products of all rows, each times its weight, shape (n_features, n_features)."""
    result = np.zeros((features.shape[1], features.shape[1]))
    for part in row_blocks(len(features), features.shape[1], KNOWN_BLOCK):
        rows = features[part].astype(float)
        if mean is not None:
            rows -= mean
        if weights is not None:
            rows *= weights[part, None]
        result += rows.T @ rows
    return result


def project(features: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Products of all rows with one direction, (n_features,), or with the columns of a matrix, in float64."""
    result = np.empty((len(features), *directions.shape[1:]))
    for part in row_blocks(*features.shape):
        result[part] = features[part].astype(float) @ directions
    return result


def principal_components(
    features: np.ndarray, known: np.ndarray | None = None, kept: float = 0.9999
) -> tuple[np.ndarray, np.ndarray]:
    """Rows in as few columns as keep their differences: a SOAP vector of 1,000 numbers mostly needs some 50.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features)
        At least one; their mean and their directions of largest variance are taken.
    known : ndarray of shape (n_known, n_features), optional
        Rows to bring into the same columns.
    kept : float
        Share of the variance that the columns keep at least.

    Returns
    -------
    rows : ndarray of shape (n_rows, n_components)
        float32, of zero mean, columns by falling variance.
    known : ndarray of shape (n_known, n_components)
        float32.
    """
    mean = features.mean(axis=0, dtype=float)
    values, vectors = np.linalg.eigh(gram(features, mean=mean))
    values = np.maximum(values[::-1], 0.0)
    enough = int(np.searchsorted(np.cumsum(values), kept * values.sum())) + 1
    vectors = vectors[:, ::-1][:, :enough]
    others = features[:0] if known is None else known
    return _components(features, mean, vectors), _components(others, mean, vectors)


def _components(features: np.ndarray, mean: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    result = np.empty((len(features), vectors.shape[1]), dtype=np.float32)
    for part in row_blocks(*features.shape):
        result[part] = (features[part] - mean) @ vectors
    return result
