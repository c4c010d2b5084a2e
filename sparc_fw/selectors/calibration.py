"""Thresholds that set themselves: what labels tell of the committee's force deviation.

The error of a frame is the largest force error over its atoms of *one* member, the one that the iteration's validation
prefers, and not of the committee's mean: one member drives an exploration and one is promoted in the end, so that its
error is what a user gets. It also contains the deviation, which the error of the mean does not.

Only labels that no member was trained on tell anything: the picks of an iteration and frames drawn at random from its
explorations, compared with the committee that explored them, and labels that are held out.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sparc_fw.selectors.calibration_records import Calibration, Pairs
from sparc_fw.selectors.conformal import Bound, density_ratio, effective_number, fit_bounds, least_labels
from sparc_fw.selectors.reliability import (
    bounds_towards,
    coverage_of_new,
    held_out_bounds,
    held_out_coverage,
    reliability_bins,
)

LEVELS = tuple(round(0.1 * tenth, 1) for tenth in range(1, 10))
"""Confidences of the reliability curve."""
TYPICAL = 0.5
"""Confidence of the error that is as likely larger as smaller."""


def force_errors(predicted: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Largest force error over the atoms of each frame, eV/Å, shape (n_frames,).

    Parameters
    ----------
    predicted, reference : ndarray of shape (n_frames, n_atoms, 3)
        Forces of the member that validation prefers, and of the labels; eV/Å.
    """
    return np.asarray(np.linalg.norm(predicted - reference, axis=2).max(axis=1))


def calibrate(
    system: str,
    pairs: Pairs,
    explored: np.ndarray,
    target: float,
    confidence: float,
    wide: tuple[float, float],
    earlier: Calibration | None = None,
    new: Pairs | None = None,
) -> Calibration:
    """Fit the errors of one system's labels and set its thresholds.

    Parameters
    ----------
    pairs : Pairs
        All labels that tell something, those of this iteration and, with less weight, earlier ones.
    explored : ndarray of shape (n_frames,)
        Force deviations of the frames that were explored, eV/Å; those that are not finite are not counted.
    target : float
        Force error that the user cares about, eV/Å.
    confidence : float
        Between 0 and 1.
    wide : (float, float)
        Thresholds, eV/Å, where labels are too few.
    earlier, new : Calibration and Pairs, optional
        The calibration before, and the labels that came since: whether it held.

    Raises
    ------
    ValueError
        If the target is not positive, the confidence not between 0 and 1, or the wide thresholds not in order.
    """
    if not (target > 0 and 0 < confidence < 1 and 0 <= wide[0] < wide[1]):
        raise ValueError(
            f"calibration: found target {target}, confidence {confidence}, thresholds {wide}; expected a positive "
            "target in eV/Å, a confidence between 0 and 1, and a lower threshold below the upper one"
        )
    explored = np.asarray(explored, dtype=float)
    explored = explored[np.isfinite(explored)]
    good = pairs.good
    below, above = (explored < good.sigma.min(initial=np.inf)), (explored > good.sigma.max(initial=0.0))
    # What deviates more than every label was never looked at, and the last label cannot stand for it.
    explored = explored[~above]
    bound = bounds_towards(good, explored, [confidence])[0]
    typical = fit_bounds(good.sigma, good.error, good.weight, [TYPICAL])[0]
    f_lo, f_hi, calibrated = thresholds(pairs, bound, typical, target, confidence, wide)
    accurate = pairs.part(pairs.sigma < f_lo)
    levels = [confidence, *LEVELS]
    left_out = held_out_bounds(good, explored, levels)
    covered = held_out_coverage(good, explored, left_out[:, :1], levels[:1])
    bounds = bound.at(explored) if bound is not None else None
    found = Calibration(
        system=system,
        confidence=confidence,
        target=target,
        f_lo=f_lo,
        f_hi=f_hi,
        calibrated=calibrated,
        labels=len(pairs),
        drawn=int(pairs.random.sum()),
        failed=len(pairs) - len(good),
        explored=bound,
        picks=bounds_towards(good, good.sigma[~good.random], [confidence])[0],
        typical=typical,
        below_labels=float(below.mean()) if len(below) else 0.0,
        above_labels=float(above.mean()) if len(above) else 0.0,
        accurate_labels=len(accurate),
        accurate_within=float(np.average(accurate.error <= target, weights=accurate.weight)) if len(accurate) else None,
        accurate_effective=effective_number(accurate.weight),
        mean_bound=float(bounds.mean()) if bounds is not None else None,
        median_bound=float(np.median(bounds)) if bounds is not None else None,
        rank_correlation=_rank_correlation(good),
        coverage=covered + (coverage_of_new(earlier, new) if earlier is not None and new is not None else []),
        curve=held_out_coverage(good, explored, left_out[:, 1:], levels[1:]),
        bins=reliability_bins(good, left_out[:, 0], confidence),
    )
    return replace(found, sentence=_sentence(found, good, explored))


def thresholds(
    pairs: Pairs,
    explored: Bound | None,
    typical: Bound | None,
    target: float,
    confidence: float,
    wide: tuple[float, float],
) -> tuple[float, float, bool]:
    """Thresholds of the deviation (eV/Å), and whether they follow from the labels.

    Below ``f_lo`` the error is at most `target` with the confidence of the bound `explored`; it is 0 where the bound is
    larger than the target even if the members agree entirely.

    Above ``f_hi`` a frame is not worth a label, for the first of two reasons. The error that is as likely larger as
    smaller reaches the largest force that a label typically has (their median): such forces led the dynamics no better
    than none would, and where it went tells nothing of where it would go. Or more labels fail than not, of which the
    labels from there on leave no doubt (binomial test at the same confidence), so that a good one costs more than two.
    Failures where the error is below the target are not the committee's: they move nothing.

    Where labels are too few the thresholds are `wide`; the lower one is less where a label with a smaller deviation has
    shown an error above the target.
    """
    good = pairs.good
    if explored is None or typical is None:
        refuted = good.sigma[good.error > target]
        return min(wide[0], float(refuted.min(initial=np.inf))), wide[1], False
    # Beyond the largest deviation that has a label nothing is known.
    f_lo = min(explored.sigma_at(target), float(good.sigma.max(initial=0.0)))
    f_hi = typical.sigma_at(_median(good.force, good.weight))
    failing = _failing_from(pairs, confidence)
    if failing is not None and failing > f_lo:
        f_hi = min(f_hi, failing)
    # A target of the size of the forces themselves leaves no window: then nothing but the given one stands.
    return f_lo, f_hi if f_hi > f_lo else max(2 * f_lo, wide[1]), True


def _failing_from(pairs: Pairs, confidence: float) -> float | None:
    """The deviation (eV/Å) from which on more labels fail than not; None where that cannot be said.

    The fraction of failures is taken to rise with the deviation (isotonic regression).
    """
    from scipy.optimize import isotonic_regression
    from scipy.stats import binom

    failed = ~np.isfinite(pairs.error)
    if not failed.any():
        return None
    order = np.lexsort((failed, pairs.sigma))
    fraction = isotonic_regression(failed[order].astype(float), weights=pairs.weight[order]).x
    above = order[fraction > 0.5]
    if not len(above) or binom.sf(failed[above].sum() - 1, len(above), 0.5) > 1 - confidence:
        return None
    return float(pairs.sigma[above[0]])


def _median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values, kind="stable")
    sums = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(sums, sums[-1] / 2)])


def _rank_correlation(pairs: Pairs) -> float | None:
    from scipy.stats import rankdata

    if len(pairs) < 3 or np.ptp(pairs.sigma) == 0 or np.ptp(pairs.error) == 0:
        return None
    return float(np.corrcoef(rankdata(pairs.sigma), rankdata(pairs.error))[0, 1])


def _sentence(found: Calibration, good: Pairs, explored: np.ndarray) -> str:
    """What the calibration says, with its numbers."""
    window = f"f_lo {found.f_lo:.3g}, f_hi {found.f_hi:.3g} eV/Å"
    labels = f"{found.labels} labels ({found.drawn} drawn at random, {found.failed} failed)"
    percent = f"{100 * found.confidence:g} %"
    if found.explored is None or not found.calibrated:
        worth = effective_number(density_ratio(good.sigma, explored, good.weight)) if len(good) and len(explored) else 0
        return (
            f"{found.system}: {labels} tell as much of the explored frames as {worth:.1f} drawn at random, expected "
            f"{least_labels(found.confidence)} or more for {percent}: thresholds stay wide, {window}"
        )
    told = [f"{100 * row.found:.0f} % of {row.labels} {row.kind} ({row.source})" for row in found.coverage]
    if found.f_lo == 0:
        best = found.explored.factor * found.explored.offset
        window += f" (where the members agree entirely the bound is still {best:.2g} eV/Å: no frame is accurate)"
    if found.accurate_within is not None:
        window += f" (of {found.accurate_labels} labelled below f_lo {100 * found.accurate_within:.0f} % within it)"
    unseen = ""
    if found.below_labels or found.above_labels:
        unseen = (
            f"; {100 * found.below_labels:.0f} % of the explored frames deviate less than any label, "
            f"{100 * found.above_labels:.0f} % more"
        )
    return (
        f"{found.system}: from {labels} the error is at most {found.explored.factor:.2f} (σ + "
        f"{found.explored.offset:.3g} eV/Å) for {percent} of the frames, found {', '.join(told)}; "
        f"{found.target:g} eV/Å give {window}{unseen}"
    )
