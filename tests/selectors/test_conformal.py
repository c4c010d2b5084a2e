"""Conformal bounds: known ranks, coverage over many repetitions, and labels that stand for other frames."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparc_fw.selectors.conformal import Bound, density_ratio, effective_number, fit_bounds, least_labels

seeds = st.integers(0, 2**32 - 1)


def world(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Deviations, and errors whose logarithm is normal about that of an offset line."""
    sigma = rng.lognormal(-2.0, 0.7, count)
    return sigma, 2.0 * (sigma + 0.05) * rng.lognormal(0.0, 0.5, count)


def bent_world(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """As `world`, but errors are no line in the deviation: they jump where it passes its median."""
    sigma = rng.lognormal(-2.0, 0.7, count)
    return sigma, np.where(sigma < math.exp(-2.0), 0.1, 2.0) * rng.lognormal(0.0, 0.3, count)


def bound(sigma: np.ndarray, error: np.ndarray, confidence: float = 0.9, weights: np.ndarray | None = None) -> Bound:
    [found] = fit_bounds(sigma, error, np.ones(len(sigma)) if weights is None else weights, [confidence])
    assert found is not None
    return found


@pytest.mark.parametrize(("confidence", "least"), [(0.5, 1), (0.8, 4), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_least_number_of_labels(confidence: float, least: int) -> None:
    assert least_labels(confidence) == least
    for count in (least - 1, least):
        column = np.ones(count)
        assert (fit_bounds(column, column, column, [confidence]) != [None]) is (count == least)


@pytest.mark.parametrize(("count", "rank"), [(9, 9), (18, 18), (19, 18), (29, 27), (30, 28)])
def test_the_factor_is_the_score_of_the_conformal_rank(count: int, rank: int) -> None:
    # One deviation for all: ties, and the error alone is what has a distribution.
    error = np.random.default_rng(1).permutation(np.arange(1.0, count + 1))
    assert rank == math.ceil(0.9 * (count + 1))
    assert bound(np.full(count, 0.25), error).at(np.array([0.25])) == pytest.approx(rank)


def test_an_exact_line_is_found() -> None:
    sigma = np.linspace(0.1, 1.1, 41)
    found = bound(sigma, 3 * sigma)
    assert (found.factor, found.offset) == pytest.approx((3.0, 0.0))
    assert found.sigma_at(0.6) == pytest.approx(0.2)
    # 0.3 is the second of the quantiles that are tried.
    found = bound(sigma, 3 * (sigma + 0.3))
    assert (found.factor, found.offset) == pytest.approx((3.0, 0.3))
    assert found.sigma_at(0.6) == 0.0


@pytest.mark.parametrize("count", [12, 40])
@pytest.mark.parametrize("confidence", [0.8, 0.9])
def test_coverage_of_frames_to_come(count: int, confidence: float) -> None:
    rng = np.random.default_rng(count)
    repetitions, each = 400, 25
    found = []
    for _ in range(repetitions):
        sigma, error = world(rng, count + each)
        limits = bound(sigma[:count], error[:count], confidence).at(sigma[count:])
        found.append(np.mean(error[count:] <= limits))
    # That the rank is a whole number may add 1 / (n + 1), that the offset is fitted takes some of that away again;
    # coverages of fits are spread by the Beta law, and those of so few frames by the binomial one.
    most = math.ceil((count + 1) * confidence) / (count + 1)
    deviation = math.sqrt(most * (1 - most) * (1 / (count + 2) + 1 / each) / repetitions)
    assert confidence - 3 * deviation < np.mean(found) < most + 3 * deviation


def test_spread_is_that_of_the_coverage_over_sets_of_labels() -> None:
    rng = np.random.default_rng(3)
    inside = []
    for _ in range(400):
        sigma, error = world(rng, 1039)
        found = bound(sigma[:39], error[:39])
        inside.append(np.mean(error[39:] <= found.at(sigma[39:])))
    assert np.std(inside) == pytest.approx(found.spread, rel=0.25)


def test_picks_mislead_about_random_frames_unless_weighted() -> None:
    rng = np.random.default_rng(5)
    plain, weighted = [], []
    for _ in range(100):
        explored, error = bent_world(rng, 500)
        drawn, rest = np.arange(30), np.arange(30, 500)
        picks = rest[np.argsort(-explored[rest])[:60]]
        rows = np.concatenate([drawn, picks])
        frames, truth = bent_world(rng, 500)
        known, weights = explored[rows], np.ones(len(rows))
        plain.append(np.mean(truth <= bound(known, error[rows]).at(frames)))
        ratios = density_ratio(known, explored, weights)
        weighted.append(np.mean(truth <= bound(known, error[rows], weights=ratios).at(frames)))
    assert abs(np.mean(plain) - 0.9) > 0.05
    assert np.mean(weighted) == pytest.approx(0.9, abs=0.03)


def test_random_labels_mislead_about_picks_unless_weighted() -> None:
    rng = np.random.default_rng(6)
    plain, weighted = [], []
    for _ in range(100):
        sigma, error = bent_world(rng, 150)
        frames, truth = bent_world(rng, 2000)
        picks = np.argsort(-frames)[:600]
        ratios = density_ratio(sigma, frames[picks], np.ones(150))
        plain.append(np.mean(truth[picks] <= bound(sigma, error).at(frames[picks])))
        weighted.append(np.mean(truth[picks] <= bound(sigma, error, weights=ratios).at(frames[picks])))
    assert abs(np.mean(plain) - 0.9) > 0.05
    assert np.mean(weighted) == pytest.approx(0.9, abs=0.03)


def test_ratio_of_two_known_densities() -> None:
    # 5 of 45 labels where 30 of 40 frames are, 40 where 10 are.
    sigma = np.concatenate([np.linspace(0.1, 0.2, 5), np.linspace(0.8, 0.9, 40)])
    towards = np.concatenate([np.linspace(0.05, 0.2, 30), np.linspace(0.8, 0.9, 10)])
    ratio = density_ratio(sigma, towards, np.ones(45))
    assert ratio == pytest.approx(np.where(sigma < 0.5, 0.75 / (5 / 45), 0.25 / (40 / 45)))
    assert effective_number(ratio) == pytest.approx(45**2 / (5 * 6.75**2 + 40 * 0.28125**2))


def test_labels_where_no_frame_is_do_not_count() -> None:
    sigma = np.concatenate([np.linspace(0.1, 0.2, 30), np.linspace(0.8, 0.9, 30)])
    ratio = density_ratio(sigma, np.linspace(0.1, 0.2, 100), np.ones(60))
    assert ratio.tolist() == [2.0] * 30 + [0.0] * 30


def test_labels_that_lie_as_the_frames_do_keep_their_weights() -> None:
    rng = np.random.default_rng(8)
    kept = 0
    for _ in range(200):
        sigma, towards = rng.lognormal(-2, 0.7, 40), rng.lognormal(-2, 0.7, 1000)
        kept += np.ptp(density_ratio(sigma, towards, np.ones(40))) == 0
    assert kept > 180


@given(seed=seeds, count=st.integers(1, 60), decimals=st.integers(0, 3), wide=st.booleans())
def test_ratios_hand_all_frames_to_the_labels(seed: int, count: int, decimals: int, wide: bool) -> None:
    rng = np.random.default_rng(seed)
    sigma = rng.lognormal(0, 1, count).round(decimals)
    towards = rng.lognormal(0 if wide else 1, 1 if wide else 0.1, 70).round(decimals)
    ratio = density_ratio(sigma, towards, np.ones(count))
    assert ratio.sum() == pytest.approx(count)
    for value in np.unique(sigma):
        assert np.ptp(ratio[sigma == value]) == 0
    assert density_ratio(sigma, sigma, np.ones(count)) == pytest.approx(np.ones(count))


def test_an_old_label_counts_less() -> None:
    sigma, error = np.full(20, 0.5), np.arange(1.0, 21.0)
    weights = np.where(error > 10, 0.1, 1.0)
    assert bound(sigma, error, 0.8, weights).factor < bound(sigma, error, 0.8).factor
    assert bound(sigma, error, 0.8, weights).effective_labels == pytest.approx(11**2 / 10.1)
    assert bound(sigma, error, 0.8, 7 * np.ones(20)) == bound(sigma, error, 0.8)


def test_nothing_to_scale_bounds_nothing() -> None:
    ones, zeros = np.ones(20), np.zeros(20)
    assert fit_bounds(ones, zeros, ones, [0.5]) == [None]
    assert fit_bounds(zeros, ones, ones, [0.5]) == [None]
    assert fit_bounds(ones, ones, zeros, [0.5]) == [None]


@settings(max_examples=50)
@given(seed=seeds, count=st.integers(10, 80))
def test_bounds_rise_with_deviation_and_confidence(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    sigma, error = world(rng, count)
    confidences = [0.3, 0.5, 0.7, 0.9]
    bounds = [found for found in fit_bounds(sigma, error, rng.uniform(0.1, 1, count), confidences) if found]
    limits = np.array([found.at(np.sort(sigma)) for found in bounds])
    assert (np.diff(limits, axis=1) > 0).all()
    assert (np.diff(limits, axis=0) >= 0).all()
    for found in bounds:
        assert found.at(np.array([found.sigma_at(1.0)]))[0] == pytest.approx(max(1.0, found.factor * found.offset))


@settings(max_examples=50)
@given(seed=seeds, of_sigma=st.floats(1e-3, 1e3), of_error=st.floats(1e-3, 1e3))
def test_units_do_not_matter(seed: int, of_sigma: float, of_error: float) -> None:
    sigma, error = world(np.random.default_rng(seed), 30)
    once, again = bound(sigma, error), bound(of_sigma * sigma, of_error * error)
    assert again.at(of_sigma * sigma) == pytest.approx(of_error * once.at(sigma))
    assert again.offset == pytest.approx(of_sigma * once.offset)
