"""Thresholds that set themselves: known answers, failures, few labels, and the report."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from sparc_fw.selectors.calibration import calibrate, force_errors, thresholds
from sparc_fw.selectors.calibration_records import Calibration, Pairs
from sparc_fw.selectors.reliability import bounds_towards, coverage_of_new, held_out_bounds

WIDE = (0.05, 2.0)
seeds = st.integers(0, 2**32 - 1)


def pairs_of(sigma: np.ndarray, error: np.ndarray, random: np.ndarray | None = None, force: float = 3.0) -> Pairs:
    """Labels of one force and equal weight, all drawn at random unless said."""
    ones = np.ones(len(sigma))
    return Pairs(
        sigma, error, np.where(np.isfinite(error), force, np.nan), ones > 0 if random is None else random, ones
    )


def proportional(count: int = 60, ratio: float = 2.0) -> Pairs:
    """Errors that are exactly `ratio` times the deviation, which goes from 0.05 to 1.2 eV/Å."""
    sigma = np.linspace(0.05, 1.2, count)
    return pairs_of(sigma, ratio * sigma)


def noisy(seed: int, count: int, most: float = 10.0) -> Pairs:
    """Errors that scatter about a multiple of the deviation."""
    rng = np.random.default_rng(seed)
    sigma = np.minimum(rng.lognormal(-1.5, 0.7, count), most)
    return pairs_of(sigma, 2.0 * (sigma + 0.05) * rng.lognormal(0.0, 0.4, count), rng.random(count) < 0.4)


def found_of(
    pairs: Pairs, target: float = 0.2, confidence: float = 0.9, explored: np.ndarray | None = None
) -> Calibration:
    return calibrate("one", pairs, pairs.sigma if explored is None else explored, target, confidence, WIDE)


def failing(pairs: Pairs, rows: np.ndarray) -> Pairs:
    """The same labels, some of them failed."""
    return replace(pairs, error=np.where(rows, np.nan, pairs.error), force=np.where(rows, np.nan, pairs.force))


def test_force_error_is_the_largest_over_the_atoms() -> None:
    truth = np.zeros((2, 2, 3))
    predicted = np.array([[[3.0, 4.0, 0.0], [1.0, 0.0, 0.0]], [[0.0, 0.0, 0.5], [0.0, 2.0, 0.0]]])
    assert force_errors(predicted, truth).tolist() == [5.0, 2.0]


def test_thresholds_of_exactly_proportional_errors() -> None:
    found = found_of(proportional())
    assert found.calibrated
    # The error is 0.2 at a deviation of 0.1, and 3, as large as forces are, at 1.5.
    assert (found.f_lo, found.f_hi) == pytest.approx((0.1, 1.5))
    assert found.rank_correlation == pytest.approx(1.0)
    assert found.mean_bound == pytest.approx(2 * proportional().sigma.mean())
    assert found.median_bound == pytest.approx(2 * np.median(proportional().sigma))
    assert "f_lo 0.1, f_hi 1.5 eV/Å" in found.sentence


def test_labels_below_the_lower_threshold_are_held_against_the_target() -> None:
    pairs = proportional()
    spoilt = replace(pairs, error=np.where(np.arange(60) == 0, 5.0, pairs.error))
    rows = [found_of(pairs), found_of(spoilt), found_of(failing(pairs, np.arange(60) == 1))]
    assert [row.accurate_labels for row in rows] == [3, 3, 3]
    assert [row.accurate_within for row in rows] == pytest.approx([1, 2 / 3, 2 / 3])
    assert "(of 3 labelled below f_lo 67 % within it)" in rows[1].sentence
    assert found_of(pairs, target=0.05).accurate_within is None


def test_below_the_lower_threshold_old_labels_count_for_less() -> None:
    pairs = proportional()
    spoilt = replace(pairs, error=np.where(np.arange(60) == 0, 5.0, pairs.error))
    faded = found_of(replace(spoilt, weight=np.where(np.arange(60) == 0, 0.25, 1.0)))
    assert faded.accurate_labels == 3
    assert faded.accurate_within == pytest.approx(2 / 2.25)
    assert faded.accurate_effective == pytest.approx(2.25**2 / (2 + 0.25**2))


def test_thresholds_move_with_the_model() -> None:
    found = {ratio: found_of(proportional(ratio=ratio)) for ratio in (1.0, 2.0, 4.0)}
    assert [found[ratio].f_lo for ratio in found] == pytest.approx([0.2, 0.1, 0.05])
    assert [found[ratio].f_hi for ratio in found] == pytest.approx([3.0, 1.5, 0.75])


def test_systems_have_thresholds_of_their_own() -> None:
    systems = {"good": proportional(ratio=1.0), "bad": proportional(ratio=3.0), "new": proportional(5)}
    found = {name: calibrate(name, pairs, pairs.sigma, 0.3, 0.9, WIDE) for name, pairs in systems.items()}
    assert (found["good"].f_lo, found["bad"].f_lo) == pytest.approx((0.3, 0.1))
    assert (found["new"].f_lo, found["new"].f_hi, found["new"].calibrated) == (*WIDE, False)
    assert [row.sentence.split(":")[0] for row in found.values()] == ["good", "bad", "new"]


def test_no_frame_is_accurate_where_the_bound_never_reaches_the_target() -> None:
    sigma = np.linspace(0.1, 1.1, 41)
    found = found_of(pairs_of(sigma, 2 * (sigma + 0.3)), target=0.5)
    assert (found.f_lo, found.calibrated) == (0.0, True)
    assert "the bound is still 0.6 eV/Å: no frame is accurate" in found.sentence


@pytest.mark.parametrize(("count", "calibrated"), [(0, False), (1, False), (8, False), (9, True)])
def test_too_few_labels_leave_wide_thresholds_and_say_so(count: int, calibrated: bool) -> None:
    # All at one deviation, so that all weigh the same.
    pairs = pairs_of(np.full(count, 0.4), np.full(count, 0.1))
    found = calibrate("one", pairs, np.full(50, 0.4), 0.2, 0.9, WIDE)
    assert found.calibrated is calibrated
    if not calibrated:
        assert (found.f_lo, found.f_hi) == WIDE
        assert f"{count} labels" in found.sentence
        assert "expected 9 or more for 90 %: thresholds stay wide" in found.sentence


def test_labels_that_stand_for_few_frames_are_too_few() -> None:
    # Many picks, but one label only where nearly all explored frames are.
    sigma = np.concatenate([np.full(1, 0.1), np.full(40, 1.0)])
    pairs = pairs_of(sigma, 2 * sigma, random=sigma < 0.5)
    found = calibrate("one", pairs, np.concatenate([np.full(990, 0.1), np.full(10, 1.0)]), 0.2, 0.8, WIDE)
    assert not found.calibrated
    assert "tell as much of the explored frames as 1.0 drawn at random, expected 4 or more" in found.sentence


def test_a_refuted_deviation_lowers_the_wide_threshold() -> None:
    pairs = pairs_of(np.array([0.01, 0.03, 0.04]), np.array([0.1, 0.5, 0.5]))
    assert found_of(pairs, target=0.2).f_lo == 0.03
    assert found_of(pairs, target=0.6).f_lo == WIDE[0]


def test_failures_bring_the_upper_threshold_down() -> None:
    pairs = proportional()
    found = found_of(failing(pairs, pairs.sigma > 0.9))
    assert found.failed == 16
    assert found.f_hi == pairs.sigma[pairs.sigma > 0.9][0]
    assert found.f_lo == pytest.approx(0.1)


def test_few_failures_among_good_labels_move_nothing() -> None:
    pairs = proportional()
    for rows in (np.arange(60) == 59, np.arange(60) >= 57, np.arange(60) % 3 == 0):
        assert found_of(failing(pairs, rows)).f_hi == pytest.approx(1.5)
    # The fourth in a row leaves a chance of 1 in 16 that more are good than not.
    assert found_of(failing(pairs, np.arange(60) >= 56)).f_hi == pairs.sigma[56]
    assert found_of(failing(pairs, np.arange(60) >= 56), confidence=0.95).f_hi == pytest.approx(1.5)


def test_failures_where_the_committee_is_right_are_not_its_own() -> None:
    pairs = proportional()
    broken = pairs_of(np.full(70, 0.04), np.full(70, np.nan))
    columns = (np.concatenate([getattr(x, name) for x in (pairs, broken)]) for name in Pairs.__dataclass_fields__)
    found = found_of(Pairs(*columns), explored=pairs.sigma)
    assert (found.f_lo, found.f_hi) == pytest.approx((0.1, 1.5))


def test_a_target_as_large_as_forces_goes_no_further_than_labels_do() -> None:
    pairs = proportional()
    found = found_of(pairs, target=3.5)
    assert (found.f_lo, found.f_hi) == pytest.approx((float(pairs.sigma.max()), 1.5))


@settings(max_examples=30, deadline=None)
@given(seed=seeds, count=st.integers(30, 80))
def test_lower_threshold_rises_with_the_target_and_falls_with_confidence(seed: int, count: int) -> None:
    pairs = noisy(seed, count)

    def lower(target: float, confidence: float) -> float:
        bound, typical = bounds_towards(pairs, pairs.sigma, [confidence, 0.5])
        f_lo, _, calibrated = thresholds(pairs, bound, typical, target, confidence, WIDE)
        assert calibrated
        return f_lo

    by_target = [lower(target, 0.8) for target in (0.1, 0.3, 0.5, 1.0)]
    assert by_target == sorted(by_target)
    by_confidence = [lower(0.5, confidence) for confidence in (0.5, 0.6, 0.7, 0.8)]
    assert by_confidence == sorted(by_confidence, reverse=True)


@settings(max_examples=10, deadline=None)
@given(seed=seeds, of_sigma=st.floats(0.01, 100), of_error=st.floats(0.01, 100))
def test_thresholds_follow_the_units_of_deviation_and_error(seed: int, of_sigma: float, of_error: float) -> None:
    pairs = noisy(seed, 40)
    other = replace(pairs, sigma=of_sigma * pairs.sigma, error=of_error * pairs.error, force=of_error * pairs.force)
    wide = (of_sigma * WIDE[0], of_sigma * WIDE[1])
    once = calibrate("one", pairs, pairs.sigma, 0.5, 0.8, WIDE)
    again = calibrate("one", other, other.sigma, of_error * 0.5, 0.8, wide)
    assert (again.f_lo, again.f_hi) == pytest.approx((of_sigma * once.f_lo, of_sigma * once.f_hi))
    assert [row.found for row in again.coverage] == [row.found for row in once.coverage]
    assert again.rank_correlation == pytest.approx(once.rank_correlation)


def test_a_label_does_not_see_the_bound_that_it_is_held_against() -> None:
    pairs = noisy(1, 50)
    spoilt_one = int(np.argmin(pairs.error / pairs.sigma))
    spoilt = replace(pairs, error=np.where(np.arange(50) == spoilt_one, 1e3, pairs.error))
    bounds, again = (held_out_bounds(x, pairs.sigma, [0.8])[:, 0] for x in (pairs, spoilt))
    # Every tenth label along the deviation is left out with it.
    order = np.argsort(pairs.sigma)
    [place] = np.flatnonzero(order == spoilt_one)
    together = order[place % 10 :: 10]
    assert (again[together] == bounds[together]).all()
    assert (again != bounds).sum() > 20


def test_coverage_is_told_apart_for_random_frames_and_picks() -> None:
    rows: dict[str, list[float]] = {"random": [], "picks": []}
    for seed in range(20):
        explored = noisy(seed, 300)
        drawn = np.arange(300) < 40
        picked = np.isin(np.arange(300), 40 + np.argsort(-explored.sigma[40:])[:40])
        labelled = replace(explored, random=drawn).part(drawn | picked)
        found = calibrate("one", labelled, explored.sigma, 0.5, 0.8, WIDE)
        assert [(row.kind, row.labels, row.source) for row in found.coverage] == [
            ("random", 40, "held out"),
            ("picks", 40, "held out"),
        ]
        for row in found.coverage:
            rows[row.kind].append(row.found)
    assert np.mean(rows["random"]) == pytest.approx(0.8, abs=0.05)
    assert np.mean(rows["picks"]) == pytest.approx(0.8, abs=0.05)


def test_new_labels_are_held_against_the_calibration_before() -> None:
    earlier = found_of(proportional())
    sigma = np.array([0.2, 0.4, 0.6, 0.8, 0.8])
    new = pairs_of(sigma, np.array([0.1, 0.7, 1.3, 1.0, np.nan]))
    [row] = coverage_of_new(earlier, new)
    assert (row.kind, row.source, row.labels, row.aimed, row.found) == ("random", "new labels", 4, 0.9, 0.75)
    found = calibrate("one", proportional(), sigma, 0.2, 0.9, WIDE, earlier, new)
    assert found.coverage[-1] == row
    assert "75 % of 4 random (new labels)" in found.sentence


def test_rank_correlation_is_spearmans() -> None:
    pairs = noisy(4, 60)
    pairs = replace(pairs, sigma=pairs.sigma.round(1))
    assert found_of(pairs).rank_correlation == pytest.approx(spearmanr(pairs.sigma, pairs.error).statistic)
    assert found_of(pairs_of(np.full(20, 0.1), pairs.error[:20])).rank_correlation is None


def test_reliability_bins_hold_all_labels_in_order() -> None:
    found = found_of(noisy(5, 95))
    assert [row.labels for row in found.bins] == [11, 11, 11, 11, 11, 10, 10, 10, 10]
    assert np.all(np.diff([row.sigma for row in found.bins]) > 0)
    assert np.mean([row.covered for row in found.bins]) == pytest.approx(0.9, abs=0.06)
    [row] = found_of(proportional(15)).bins
    assert (row.labels, row.sigma, row.found) == pytest.approx((15, 0.625, 2 * proportional(15).sigma[-2]))


def test_frames_without_a_finite_deviation_are_not_counted() -> None:
    pairs = noisy(6, 60)
    with_broken = np.concatenate([pairs.sigma, [np.nan, np.inf]])
    assert found_of(pairs, explored=with_broken) == found_of(pairs)


def test_frames_beyond_all_labels_are_told() -> None:
    explored = np.concatenate([np.full(25, 0.01), np.linspace(0.1, 1, 65), np.full(10, 2.0)])
    found = found_of(proportional(), explored=explored)
    assert (found.below_labels, found.above_labels) == (0.25, 0.1)
    assert "25 % of the explored frames deviate less than any label, 10 % more" in found.sentence


def test_frames_above_all_labels_do_not_count_for_the_last_one() -> None:
    pairs = proportional()
    assert found_of(pairs, explored=np.append(pairs.sigma, np.full(500, 9.0))).explored == found_of(pairs).explored


def test_a_calibration_is_plain_json() -> None:
    for pairs in (noisy(7, 60), proportional(3), failing(proportional(12), np.ones(12, dtype=bool))):
        found = calibrate("one", pairs, pairs.sigma, 0.5, 0.9, WIDE, found_of(noisy(8, 60)), pairs)
        assert Calibration.from_document(json.loads(json.dumps(found.document(), allow_nan=False))) == found


def test_a_window_of_nothing_is_refused() -> None:
    pairs = proportional()
    for target, confidence, wide in ((0.0, 0.9, WIDE), (0.1, 1.0, WIDE), (0.1, 0.9, (1.0, 0.5))):
        with pytest.raises(ValueError, match="expected a positive target in eV/Å"):
            calibrate("one", pairs, pairs.sigma, target, confidence, wide)


def test_columns_that_do_not_fit_together_are_refused() -> None:
    pairs = proportional(3)
    with pytest.raises(ValueError, match="expected one length"):
        replace(pairs, error=np.ones(2))
    with pytest.raises(ValueError, match=r"pairs\.sigma: found numbers that are negative or not finite"):
        replace(pairs, sigma=np.array([0.1, np.nan, 0.2]))
    with pytest.raises(ValueError, match=r"pairs\.weight: found 0\.0, expected positive"):
        replace(pairs, weight=np.array([1.0, 0.0, 1.0]))
