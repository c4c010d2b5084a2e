"""Rows that span much volume: D-optimality, determinantal point processes (k-DPP) and CUR.

All three see rows as vectors from the origin, so that rows of zero mean are what to give (`rows.principal_components`),
and work with matrices of the size of a row (the dual form): memory grows with the number of rows only. A weight
multiplies its row, which is the quality of a k-DPP: A. Kulesza and B. Taskar, Found. Trends Mach. Learn. 5 (2012) 123.
What known rows span already shrinks, as the variance of a Gaussian process with a linear kernel does where it has data.
"""

from __future__ import annotations

import numpy as np

from sparc_fw.selectors.rows import filled, gram, project, row_blocks, row_weights

RIDGE = 1e-3
"""Noise of the linear model, as a share of the mean squared length of the rows, where none is given."""
NOTHING = 1e-12
"""Share of the largest variance, or of all, below which a direction is rounding of float32."""


def leverages(features: np.ndarray, known: np.ndarray, ridge: float = RIDGE) -> np.ndarray:
    """How far each row reaches beyond the known ones: x (K^T K + r)^-1 x, the measure of D-optimality.

    Adding the row multiplies the determinant of the information matrix by 1 + leverage, and the leverage times r is the
    variance of a Gaussian process with a linear kernel. Of the rows that take part in K^T K none is above 1. Source:
    E. V. Podryabinkin and A. V. Shapeev, Comput. Mater. Sci. 140 (2017) 171, whose extrapolation grade is that of an
    active set without noise.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features)
    known : ndarray of shape (n_known, n_features)
        At least one.
    ridge : float
        r, as a share of the mean squared length of the known rows.

    Returns
    -------
    ndarray of shape (n_rows,)
        No unit.
    """
    return _quadratic(features, np.linalg.inv(_information(features, known, _noise(known, ridge))))


def d_optimal(
    features: np.ndarray,
    count: int,
    known: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    ridge: float = RIDGE,
) -> list[int]:
    """Choose rows one after the other, each that which makes the determinant of the information matrix largest.

    The same as the greedy most likely set of a determinantal point process with the kernel 1 + X X^T / r (L. Chen, G.
    Zhang and H. Zhou, Adv. Neural Inf. Process. Syst. 31 (2018) 5627), by updates of the matrix of K^T K + r instead of
    a factor with a row for each row. At least 1 - 1/e of the best logarithm: G. L. Nemhauser, L. A. Wolsey and M. L.
    Fisher, Math. Program. 14 (1978) 265.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features)
    count : int
        How many to choose; all rows where there are fewer. More than there are features is fine.
    known : ndarray of shape (n_known, n_features), optional
        Rows that are in the information matrix already.
    weights : ndarray of shape (n_rows,), optional
        What a row is multiplied with; see `rows.mixing_weights`.
    ridge : float
        r, as a share of the mean squared length of the rows.

    Returns
    -------
    list of int
        In the order of choice.
    """
    scale = row_weights(features, weights)
    count = min(count, len(features))
    inverse = np.linalg.inv(_information(features, known, _noise(features, ridge)))
    gains = scale**2 * _quadratic(features, inverse)
    chosen: list[int] = []
    while len(chosen) < count:
        open_gains = gains.copy()
        open_gains[chosen] = -1.0
        best = int(np.argmax(open_gains))
        chosen.append(best)
        row = scale[best] * features[best].astype(float)
        direction = inverse @ row
        growth = 1.0 + float(row @ direction)
        gains = np.maximum(gains - (scale * project(features, direction)) ** 2 / growth, 0.0)
        inverse -= np.outer(direction, direction) / growth
    return chosen


def k_dpp(
    features: np.ndarray,
    count: int,
    seed: int,
    known: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    ridge: float = RIDGE,
) -> list[int]:
    """Draw rows, each set with a chance that grows as its squared volume: exact samples of a k-DPP.

    The kernel is X M X^T with M the inverse of 1 + K^T K / r, which conditions it on the known rows. Source: A. Kulesza
    and B. Taskar, Found. Trends Mach. Learn. 5 (2012) 123: the dual sampler of section 3.3 with the k eigenvectors of
    section 5.2.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features)
    count : int
        How many to draw; all rows where there are fewer. More rows than the rank of the features have no volume: what
        is missing is drawn in further rounds from the rows that are left.
    seed : int
        The same seed draws the same rows from the same array.
    known : ndarray of shape (n_known, n_features), optional
        Rows that are labelled already.
    weights : ndarray of shape (n_rows,), optional
        Quality of each row; see `rows.mixing_weights`.
    ridge : float
        r, as a share of the mean squared length of the rows; counts only where rows are known.

    Returns
    -------
    list of int
        In no order of merit.
    """
    scale = row_weights(features, weights)
    count = min(count, len(features))
    random = np.random.default_rng(seed)
    shrink = _shrink(features, known, ridge)
    chosen: list[int] = []
    while len(chosen) < count:
        left = scale.copy()
        left[chosen] = 0.0
        values, vectors = np.linalg.eigh(shrink @ gram(features, left) @ shrink)
        whole = values > NOTHING * max(values[-1], 0.0) if len(values) else np.zeros(0, dtype=bool)
        values, vectors = values[whole], vectors[:, whole]
        if len(values) == 0:
            return filled(chosen, scale, count)
        picked = _eigenvectors(np.log(values), min(count - len(chosen), len(values)), random)
        chosen += _projection_sample(features, left, shrink @ vectors[:, picked] / np.sqrt(values[picked]), random)
    return chosen


def cur(
    features: np.ndarray,
    count: int,
    known: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    ridge: float = RIDGE,
) -> list[int]:
    """Choose rows by leverage scores: that which is most of the leading singular vector, then without its direction.

    Sources: M. W. Mahoney and P. Drineas, Proc. Natl. Acad. Sci. 106 (2009) 697; one row after the other: G. Imbalzano
    et al., J. Chem. Phys. 148 (2018) 241730.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features)
    count : int
        How many to choose; all rows where there are fewer. Where the rows chosen span all others, the rows that are
        left are taken as new.
    known : ndarray of shape (n_known, n_features), optional
        Rows that are labelled already.
    weights : ndarray of shape (n_rows,), optional
        What a row is multiplied with; see `rows.mixing_weights`.
    ridge : float
        As a share of the mean squared length of the rows; counts only where rows are known.

    Returns
    -------
    list of int
        In the order of choice.
    """
    scale = row_weights(features, weights)
    count = min(count, len(features))
    shrink = _shrink(features, known, ridge)
    chosen: list[int] = []
    while len(chosen) < count:
        found = _cur_round(features, count - len(chosen), chosen, scale, shrink)
        if not found:
            return filled(chosen, scale, count)
        chosen += found
    return chosen


def _cur_round(features: np.ndarray, count: int, gone: list[int], scale: np.ndarray, shrink: np.ndarray) -> list[int]:
    """Choose rows until those chosen span the others."""
    from scipy.linalg import eigh

    left = scale.copy()
    left[gone] = 0.0
    core = shrink @ gram(features, left) @ shrink
    all_variance = np.trace(core)
    last = len(core) - 1
    chosen: list[int] = []
    directions = np.zeros((len(core), 0))
    while len(chosen) < count and np.trace(core) > NOTHING * all_variance:
        leading = eigh(core, subset_by_index=[last, last])[1][:, 0]
        scores = (left * project(features, shrink @ leading)) ** 2
        scores[chosen] = -1.0
        chosen.append(int(np.argmax(scores)))
        row = shrink @ (left[chosen[-1]] * features[chosen[-1]].astype(float))
        row -= directions @ (directions.T @ row)
        row /= np.linalg.norm(row)
        directions = np.column_stack([directions, row])
        along = core @ row
        core += np.outer(row, row) * float(row @ along) - np.outer(row, along) - np.outer(along, row)
    return chosen


def _noise(features: np.ndarray, ridge: float) -> float:
    """The noise r in the square of the features' unit."""
    squares = sum(float(np.sum(features[part].astype(float) ** 2)) for part in row_blocks(*features.shape))
    # Rows of zeros have no scale: any noise does.
    return ridge * squares / len(features) if squares else 1.0


def _information(features: np.ndarray, known: np.ndarray | None, noise: float) -> np.ndarray:
    """K^T K + r."""
    matrix = noise * np.eye(features.shape[1])
    return matrix if known is None else matrix + gram(known)


def _shrink(features: np.ndarray, known: np.ndarray | None, ridge: float) -> np.ndarray:
    """Symmetric root of the inverse of 1 + K^T K / r."""
    if known is None or len(known) == 0:
        return np.eye(features.shape[1])
    noise = _noise(features, ridge)
    values, vectors = np.linalg.eigh(_information(features, known, noise) / noise)
    return np.asarray((vectors / np.sqrt(values)) @ vectors.T)


def _quadratic(features: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The product x A x for every row x."""
    result = np.empty(len(features))
    for part in row_blocks(*features.shape):
        rows = features[part].astype(float)
        result[part] = np.einsum("ij,ij->i", rows @ matrix, rows)
    return result


def _eigenvectors(logs: np.ndarray, count: int, random: np.random.Generator) -> list[int]:
    """Draw `count` eigenvectors, each set with a chance that grows as the product of its eigenvalues.

    By elementary symmetric polynomials, in logarithms since products of hundreds of eigenvalues overflow.
    """
    table = np.full((count + 1, len(logs) + 1), -np.inf)
    table[0] = 0.0
    for number, log in enumerate(logs):
        table[1:, number + 1] = np.logaddexp(table[1:, number], log + table[:-1, number])
    drawn: list[int] = []
    for number in range(len(logs), 0, -1):
        missing = count - len(drawn)
        if missing == 0:
            break
        chance = np.exp(logs[number - 1] + table[missing - 1, number - 1] - table[missing, number])
        if random.random() < chance:
            drawn.append(number - 1)
    return drawn


def _projection_sample(
    features: np.ndarray, scale: np.ndarray, basis: np.ndarray, random: np.random.Generator
) -> list[int]:
    """Draw as many rows as the basis has columns, each with a chance that grows as what is left of its length."""
    chances = scale**2 * _quadratic(features, basis @ basis.T)
    chosen: list[int] = []
    directions = np.zeros((basis.shape[1], 0))
    for _ in range(basis.shape[1]):
        chances = np.maximum(chances, 0.0)
        chances[chosen] = 0.0
        chosen.append(int(random.choice(len(features), p=chances / chances.sum())))
        row = scale[chosen[-1]] * features[chosen[-1]].astype(float) @ basis
        row -= directions @ (directions.T @ row)
        row /= np.linalg.norm(row)
        directions = np.column_stack([directions, row])
        chances -= (scale * project(features, basis @ row)) ** 2
    return chosen
