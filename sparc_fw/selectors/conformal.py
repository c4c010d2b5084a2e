"""Conformal bounds of an error that nobody has computed, from an uncertainty: one number per frame each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

OFFSETS = np.linspace(0.0, 1.0, 11)
"""Offsets of the uncertainty that are tried, as quantiles of it: what decides among so few is hardly fitted to."""
ROUNDING = 1e-9
"""What sums of weights may miss a confidence by, such as 0.9 * 10 misses 9."""


@dataclass(frozen=True)
class Bound:
    r"""With a probability of `confidence`, the error of a frame is at most :math:`q (\sigma + \delta)`.

    Attributes
    ----------
    confidence : float
    factor : float
        :math:`q`, a ratio.
    offset : float
        :math:`\delta`, in the unit of the uncertainty: what the members have wrong together.
    labels : int
        That the bound rests on.
    effective_labels : float
        As many labels of equal weight tell as much.
    """

    confidence: float
    factor: float
    offset: float
    labels: int
    effective_labels: float

    @property
    def spread(self) -> float:
        """Standard deviation of the coverage over sets of labels of that size (the Beta law of split conformal)."""
        return math.sqrt(self.confidence * (1 - self.confidence) / (self.effective_labels + 2))

    def at(self, sigma: np.ndarray) -> np.ndarray:
        """Bounds of the errors of frames of given uncertainties."""
        return self.factor * (np.asarray(sigma, dtype=float) + self.offset)

    def sigma_at(self, error: float) -> float:
        """The uncertainty up to which the bound is at most `error`; 0 where it is larger everywhere."""
        return max(0.0, error / self.factor - self.offset)


def least_labels(confidence: float) -> int:
    """The least number of labels of equal weight that can bound an error with a given confidence.

    The bound is the score of rank ``ceil((n + 1) confidence)`` of `n`, which must be there.
    """
    return math.ceil(confidence / (1 - confidence) - ROUNDING)


def effective_number(weights: np.ndarray) -> float:
    """How many labels of equal weight are worth as much (L. Kish, Survey Sampling, Wiley 1965)."""
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def fit_bounds(
    sigma: np.ndarray, error: np.ndarray, weights: np.ndarray, confidences: Sequence[float]
) -> list[Bound | None]:
    r"""Bounds of the error from labels that were not trained on.

    Parameters
    ----------
    sigma, error : ndarray of shape (n_labels,)
        Finite and not negative.
    weights : ndarray of shape (n_labels,)
        Not negative; see `density_ratio`.
    confidences : sequence of float
        Each between 0 and 1.

    Returns
    -------
    list of Bound or None
        None where the labels are too few for the confidence, or where all uncertainties or all errors are 0.

    Notes
    -----
    Split conformal prediction with the score :math:`s = e / (\sigma + \delta)`: Y. Hu et al., Mach. Learn.: Sci.
    Technol. 3 (2022) 045028. :math:`\delta` is the one for which the logarithms of the scores lie closest together,
    such that the bound fits small and large uncertainties alike; that the same labels choose it costs 2 points of
    coverage with a dozen labels, about what rounding the rank up gives, and nothing to be seen with 40.

    The factor is the weighted quantile of R. J. Tibshirani et al., NeurIPS 2019; the weight of the frame to come, which
    there makes the factor another one for each frame, is its mean over the frames to come. Its share is then
    1 / (n + 1) with the effective number n of labels, which is the rank ``ceil((n + 1) confidence)`` where all weights
    are equal.
    """
    used = weights > 0
    sigma, error, weights = sigma[used], error[used], weights[used]
    if not ((error > 0).any() and (sigma > 0).any()):
        return [None] * len(confidences)
    offset = _offset(sigma, error, weights)
    scores = error / (sigma + offset)
    number = effective_number(weights)
    found: list[Bound | None] = []
    for confidence in confidences:
        factor = _quantile(scores, weights, confidence)
        found.append(None if factor is None else Bound(confidence, factor, offset, len(scores), number))
    return found


def _offset(sigma: np.ndarray, error: np.ndarray, weights: np.ndarray) -> float:
    """The offset for which errors are most nearly proportional to the uncertainty plus it; the least of equal ones."""
    tried = np.unique(np.quantile(sigma, OFFSETS))
    tried = tried[tried > 0]
    if (sigma > 0).all():
        tried = np.concatenate([[0.0], tried])
    # A logarithm of an error of 0 would decide everything.
    wrong = error > 0
    logarithms = np.log(error[wrong]) - np.log(sigma[wrong] + tried[:, None])
    misfits = []
    for row in logarithms:
        order = np.argsort(row, kind="stable")
        sums = np.cumsum(weights[wrong][order])
        median = row[order][np.searchsorted(sums, sums[-1] / 2)]
        misfits.append(float(np.average(np.abs(row - median), weights=weights[wrong])))
    return float(tried[int(np.argmin(np.round(misfits, 9)))])


def _quantile(scores: np.ndarray, weights: np.ndarray, confidence: float) -> float | None:
    """The least score that bounds the next one; None where only an infinite one would."""
    order = np.argsort(scores, kind="stable")
    number = effective_number(weights)
    shares = np.cumsum(weights[order]) / weights.sum() * number / (number + 1)
    place = int(np.searchsorted(shares, confidence - ROUNDING))
    found = float(scores[order][place]) if place < len(scores) else 0.0
    return found if found > 0 else None


def density_ratio(sigma: np.ndarray, towards: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weights that make labels stand for other frames than those among which they lie.

    Errors depend on how a frame was chosen only by its uncertainty, if that is what it was chosen by; then labels with
    these weights are as good as labels of frames drawn at random from `towards` (covariate shift).

    Parameters
    ----------
    sigma : ndarray of shape (n_labels,)
        Uncertainties of the labels.
    towards : ndarray of shape (n_frames,)
        Uncertainties of the frames that they are to stand for; at least one.
    weights : ndarray of shape (n_labels,)
        Of the labels by themselves.

    Returns
    -------
    ndarray of shape (n_labels,)
        `weights` times the ratio of the two densities, which are taken for constant between edges: those at which a
        G-test with the penalty of the Bayesian information criterion finds them to differ, one after the other. Labels
        that lie as the frames do keep their weights; frames beyond all labels count for the nearest ones.
    """
    order = np.argsort(sigma, kind="stable")
    edges = _edges(sigma[order], weights[order], np.sort(towards))
    bins = np.searchsorted(edges, sigma)
    theirs = np.bincount(np.searchsorted(edges, towards), minlength=len(edges) + 1) / len(towards)
    mine = np.bincount(bins, weights=weights, minlength=len(edges) + 1) / weights.sum()
    return np.asarray(weights * (theirs / mine)[bins])


def _edges(sigma: np.ndarray, weights: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """Where the densities of labels and frames part, both sorted; there is a label on either side of every edge."""
    # Labels of equal uncertainty stay together.
    places = np.flatnonzero(sigma[:-1] < sigma[1:]) + 1
    cuts = (sigma[places - 1] + sigma[places]) / 2
    labels = np.cumsum(weights)[places - 1]
    frames = np.searchsorted(towards, cuts).astype(float)
    penalty = 2 * math.log(max(2, len(sigma)))
    found: list[int] = []
    # Stretches of candidates, with what lies below and above them.
    waiting = [(0, len(cuts), (0.0, 0.0), (float(weights.sum()), float(len(towards))))]
    while waiting:
        begin, end, below, above = waiting.pop()
        if begin == end:
            continue
        left = np.stack([labels[begin:end] - below[0], frames[begin:end] - below[1]])
        both = np.subtract(above, below)[:, None]
        gains = _divergence(left, both)
        best = int(np.argmax(gains))
        if gains[best] > penalty:
            cut = begin + best
            found.append(cut)
            here = (float(labels[cut]), float(frames[cut]))
            waiting += [(begin, cut, below, here), (cut + 1, end, here, above)]
    return np.asarray(np.sort(cuts[found]))


def _divergence(left: np.ndarray, both: np.ndarray) -> np.ndarray:
    """G statistics of cutting two samples in two, shape (n_cuts,).

    Parameters
    ----------
    left : ndarray of shape (2, n_cuts)
        What of each sample lies left of the cut.
    both : ndarray of shape (2, 1)
        All of each sample.
    """
    from scipy.special import xlogy

    counts = np.stack([left, both - left])
    expected = counts.sum(axis=1, keepdims=True) * both / max(float(both.sum()), 1.0)
    ratio = np.divide(counts, expected, out=np.ones_like(counts), where=expected > 0)
    return np.asarray(2 * xlogy(counts, ratio).sum(axis=(0, 1)))
