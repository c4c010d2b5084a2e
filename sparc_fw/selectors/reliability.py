"""Whether bounds of the force error hold, on labels that they were not fitted to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sparc_fw.selectors.calibration_records import Calibration, Coverage, Kind, Pairs, ReliabilityBin
from sparc_fw.selectors.conformal import Bound, density_ratio, fit_bounds

FOLDS = 10
"""Parts of the labels that are left out in turn."""
BIN_LABELS = 10
"""Least labels of a bin, unless there are fewer in all."""
MOST_BINS = 10
KINDS: tuple[Kind, ...] = ("random", "picks")


def bounds_towards(pairs: Pairs, towards: np.ndarray, confidences: Sequence[float]) -> list[Bound | None]:
    """Bounds for frames that are distributed as `towards` (force deviations, eV/Å), from labels that did not fail.

    Returns None for each confidence that the labels are too few for, and where there is nothing to be bounded.
    """
    if not len(pairs) or not len(towards):
        return [None] * len(confidences)
    weights = density_ratio(pairs.sigma, towards, pairs.weight)
    return fit_bounds(pairs.sigma, pairs.error, weights, confidences)


def held_out_bounds(pairs: Pairs, explored: np.ndarray, confidences: Sequence[float]) -> np.ndarray:
    """Bounds of all labels' errors from fits that left them out, each from the fit that is made for its kind.

    Parameters
    ----------
    pairs : Pairs
        Labels that did not fail.
    explored : ndarray of shape (n_frames,)
        Force deviations of the explored frames, eV/Å; the labels drawn at random stand for them.

    Returns
    -------
    ndarray of shape (n_labels, n_confidences)
        eV/Å; NaN where the other labels are too few.
    """
    found = np.full((len(pairs), len(confidences)), np.nan)
    # In turns along the deviation, so that every part is like the whole.
    fold = np.empty(len(pairs), dtype=int)
    fold[np.argsort(pairs.sigma, kind="stable")] = np.arange(len(pairs)) % FOLDS
    towards = _towards(pairs, explored)
    for number in range(min(FOLDS, len(pairs))):
        for kind in KINDS:
            rows = np.flatnonzero((fold == number) & (pairs.kinds == kind))
            if not len(rows):
                continue
            bounds = bounds_towards(pairs.part(fold != number), towards[kind], confidences)
            for column, bound in enumerate(bounds):
                if bound is not None:
                    found[rows, column] = bound.at(pairs.sigma[rows])
    return found


def _towards(pairs: Pairs, explored: np.ndarray) -> Mapping[Kind, np.ndarray]:
    """Deviations of the frames that the bound of each kind is made for, eV/Å."""
    return {"random": explored, "picks": pairs.sigma[~pairs.random]}


def held_out_coverage(
    pairs: Pairs, explored: np.ndarray, bounds: np.ndarray, confidences: Sequence[float]
) -> list[Coverage]:
    """How often the errors were within `held_out_bounds`; kinds and confidences without a bound are left out.

    Labels drawn in earlier iterations lie where frames lay then; they count for as many as lie there now.
    """
    rows = []
    for kind, towards in _towards(pairs, explored).items():
        for column, confidence in enumerate(confidences):
            known = (pairs.kinds == kind) & np.isfinite(bounds[:, column])
            if known.any():
                inside = pairs.error[known] <= bounds[known, column]
                weights = density_ratio(pairs.sigma[known], towards, pairs.weight[known])
                found = float(np.average(inside, weights=weights))
                rows.append(Coverage(kind, "held out", int(known.sum()), confidence, found))
    return rows


def coverage_of_new(earlier: Calibration, pairs: Pairs) -> list[Coverage]:
    """How often the errors of labels that came later were within the bounds of an earlier calibration.

    Parameters
    ----------
    pairs : Pairs
        Labels of later iterations; failed ones are not counted.
    """
    good = pairs.good
    bounds: Mapping[Kind, Bound | None] = {"random": earlier.explored, "picks": earlier.picks}
    rows = []
    for kind, bound in bounds.items():
        mine = good.part(good.kinds == kind)
        if bound is not None and len(mine):
            found = float(np.mean(mine.error <= bound.at(mine.sigma)))
            rows.append(Coverage(kind, "new labels", len(mine), bound.confidence, found))
    return rows


def reliability_bins(pairs: Pairs, bounds: np.ndarray, confidence: float) -> list[ReliabilityBin]:
    """The labels in bins of the deviation that hold about equally many.

    Parameters
    ----------
    pairs : Pairs
        Labels that did not fail.
    bounds : ndarray of shape (n_labels,)
        Of `held_out_bounds`, at the confidence; labels with NaN are left out.
    """
    known = np.flatnonzero(np.isfinite(bounds))
    order = known[np.argsort(pairs.sigma[known], kind="stable")]
    count = min(MOST_BINS, max(1, len(order) // BIN_LABELS)) if len(order) else 0
    return [
        ReliabilityBin(
            sigma=float(np.mean(pairs.sigma[part])),
            labels=len(part),
            predicted=float(np.mean(bounds[part])),
            found=float(np.quantile(pairs.error[part], confidence, method="higher")),
            covered=float(np.mean(pairs.error[part] <= bounds[part])),
        )
        for part in (np.array_split(order, count) if count else [])
    ]
