"""What holds for every selection, whatever the frames, the steps and their order are."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from explored import Steps, choose, exploration
from hypothesis import given, settings
from hypothesis import strategies as st

from sparc_fw.geometry.overlap import overlapping
from sparc_fw.selectors.base import Choice
from sparc_fw.selectors.shares import Share
from sparc_fw.trajectories import Exploration

F_LO, F_HI, SPACING, DIFFERENCE = 0.15, 1.0, 25.0, 0.1
OTHERS: list[dict[str, Any]] = [
    {"kind": "overlap"},
    {"kind": "distances", "bounds": [{"atoms": [0, 1], "max_A": 3.5}], "systems": ["a"]},
    {"kind": "fragments", "within_A": 3.0},
    {"kind": "random"},
    {"kind": "uniform"},
    {"kind": "time_windows", "window_fs": 40.0},
    {"kind": "spacing", "spacing_fs": SPACING},
    {"kind": "difference", "min_difference_A": DIFFERENCE},
    {"kind": "diversity", "count": 8, "candidates": 30},
    {"kind": "budget", "cap": 7},
    {"kind": "budget", "cap": 9, "per_replica": 3, "per_system": 5},
]
SPREAD: Steps = [{"kind": "overlap"}, {"kind": "window"}, {"kind": "difference", "min_difference_A": DIFFERENCE}]
REASONS = {
    *("pick", "nan", "overlap", "accurate", "failed", "after_failure"),
    *("distances", "fragments", "not_worst_of_window", "too_close_in_time", "too_similar", "over_cap", "over_share"),
    *("less_diverse", "not_compared", "not_at_crossing"),
}


@st.composite
def runs(draw: st.DrawFn) -> list[Exploration]:
    """Some replicas of two systems, with frames of every sort; most of them of one part."""
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    made = []
    for replica in range(draw(st.integers(0, 4))):
        count = draw(st.integers(0, 25))
        deviation = random.uniform(0.0, 1.3, count)
        deviation[random.random(count) < 0.1] = np.nan
        bonds = random.uniform(0.4, 4.0, count).round(2)
        made.append(exploration(deviation.tolist(), bonds.tolist(), replica, "ab"[replica % 2]))
        if draw(st.booleans()):
            made[-1].trajectories[0].times = np.full(count, np.nan)
    return made


@st.composite
def step_lists(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Any steps in any order, one of them the window."""
    window = {"kind": "window", "f_lo": F_LO, "f_hi": F_HI, "keep": draw(st.sampled_from(["candidates", "all"]))}
    chosen = draw(st.lists(st.sampled_from(OTHERS), max_size=5))
    return list(draw(st.permutations([window, *chosen])))


@st.composite
def lists_with_lots(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Any steps in any order, one of them a window that draws lots."""
    target = {"target_force_error_eV_per_A": 0.1, "random_share": draw(st.sampled_from([0.15, 0.5, 0.9]))}
    return [each | target if each["kind"] == "window" else each for each in draw(step_lists())]


SHARES = st.sampled_from(
    [(), (Share(frozenset("a"), 0.25, 3), Share(frozenset("b"), 0.75, 100)), (Share(frozenset("ab"), 1.0, 6),)]
)
LIMITS = st.integers(0, 40)


def judged(explorations: list[Exploration], steps: Any, limit: int, shares: Any, seed: int = 1) -> Choice:
    return choose(explorations, steps, limit=limit, shares=shares, seed=seed)


@settings(max_examples=60, deadline=None)
@given(runs(), step_lists(), LIMITS, SHARES)
def test_reasons_add_up_to_all_frames(explorations: Any, steps: Any, limit: int, shares: Any) -> None:
    choice = judged(explorations, steps, limit, shares)
    places = [(frame.replica, frame.index) for frame in choice.frames]
    assert places == [(each.replica, index) for each in explorations for index in range(len(each))]
    fates = Counter(frame.fate for frame in choice.frames)
    assert set(fates) <= REASONS
    assert fates.total() == sum(len(each) for each in explorations)
    picked = [(frame.replica, frame.index) for frame in choice.frames if frame.fate == "pick"]
    assert sorted(choice.picks) == picked
    assert len(picked) <= min([limit, *(s["cap"] for s in steps if s["kind"] == "budget")])
    assert {frame.frame_class for frame in choice.frames} <= {"accurate", "candidate", "failed"}


@settings(max_examples=60, deadline=None)
@given(runs(), step_lists(), LIMITS, SHARES)
def test_a_screened_frame_is_never_picked(explorations: Any, steps: Any, limit: int, shares: Any) -> None:
    choice = judged(explorations, steps, limit, shares)
    kinds = [each["kind"] for each in steps]
    by_place = {(frame.replica, frame.index): frame for frame in choice.frames}
    for each in explorations:
        part = each.trajectories[0]
        overlaps = overlapping(part.numbers, part.positions)
        for index, deviation in enumerate(each.deviation):
            frame = by_place[each.replica, index]
            bond = part.positions[index, 1, 2]
            broken = bool(np.isnan(deviation)) or ("overlap" in kinds and bool(overlaps[index]))
            broken |= "fragments" in kinds and bond > 3.0
            broken |= "distances" in kinds and bond > 3.5 and part.info["system"] == "a"
            assert not (broken and frame.fate == "pick")
            assert frame.frame_class == "failed" or not broken
    if next(each for each in steps if each["kind"] == "window")["keep"] == "candidates":
        assert all(F_LO <= by_place[place].deviation <= F_HI for place in choice.picks)


@settings(max_examples=60, deadline=None)
@given(runs(), step_lists(), LIMITS, SHARES)
def test_an_explosion_labels_no_broken_frame_and_one_failed_frame_of_a_run(
    explorations: Any, steps: Any, limit: int, shares: Any
) -> None:
    choice = choose(explorations, steps, limit=limit, shares=shares, most_failed=0.0)
    fates = Counter(frame.fate for frame in choice.frames)
    assert set(fates) <= REASONS
    assert sorted(choice.picks) == [(each.replica, each.index) for each in choice.frames if each.fate == "pick"]
    assert len(choice.picks) <= limit
    exploded = any(frame.frame_class == "failed" for frame in choice.frames)
    for each in explorations:
        part = each.trajectories[0]
        mine = [frame for frame in choice.frames if frame.replica == each.replica]
        failed = [f.index for f in mine if f.frame_class == "failed"]
        picked = [f.index for f in mine if f.fate == "pick"]
        if not (exploded and failed and np.isfinite(part.times).all()):
            continue
        assert len(set(picked) & set(failed)) <= 1
        assert all(min(failed) - 5 <= index < min(failed) for index in set(picked) - set(failed))
        assert not overlapping(part.numbers, part.positions[picked]).any()
        assert np.isfinite(each.deviation[picked]).all()


@settings(max_examples=60, deadline=None)
@given(runs(), step_lists(), LIMITS, SHARES, st.randoms())
def test_the_seed_decides_and_the_order_of_replicas_does_not(
    explorations: Any, steps: Any, limit: int, shares: Any, random: Any
) -> None:
    choice = judged(explorations, steps, limit, shares)
    shuffled = list(explorations)
    random.shuffle(shuffled)
    again = judged(shuffled, steps, limit, shares)
    # NaN differs from itself.
    assert repr(again) == repr(choice)
    if "random" not in [each["kind"] for each in steps]:
        assert repr(judged(explorations, steps, limit, shares, seed=2)) == repr(choice)


@settings(max_examples=60, deadline=None)
@given(runs(), step_lists(), LIMITS, SHARES)
def test_picks_keep_apart(explorations: Any, steps: Any, limit: int, shares: Any) -> None:
    choice = judged(explorations, steps, limit, shares)
    kinds = [each["kind"] for each in steps]
    by_replica = {each.replica: each.trajectories[0] for each in explorations}
    for number, (replica, index) in enumerate(choice.picks):
        for other, place in choice.picks[:number]:
            first, second = by_replica[replica], by_replica[other]
            if "spacing" in kinds and replica == other and not np.isnan(first.times[index]):
                assert abs(first.times[index] - second.times[place]) >= SPACING
            if "difference" in kinds:
                lengths = first.positions[index, 1, 2], second.positions[place, 1, 2]
                assert abs(lengths[0] - lengths[1]) >= DIFFERENCE


@settings(max_examples=60, deadline=None)
@given(runs(), st.integers(0, 5))
def test_nothing_that_is_labelled_is_labelled_again(explorations: Any, cap: int) -> None:
    first = choose(explorations, SPREAD, limit=cap)
    by_replica = {each.replica: each for each in explorations}
    labelled = [by_replica[replica].frame(index) for replica, index in first.picks]
    second = choose(explorations, SPREAD, labelled=labelled)
    assert set(first.picks).isdisjoint(second.picks)
    # What one selection takes at once, two of them take after each other.
    assert first.picks + second.picks == choose(explorations, SPREAD).picks


@settings(max_examples=60, deadline=None)
@given(runs())
def test_a_frame_added_twice_is_picked_once(explorations: Any) -> None:
    copies = [replace(each, replica=each.replica + 10) for each in explorations]
    assert choose([*copies, *explorations], SPREAD).picks == choose(explorations, SPREAD).picks


@settings(max_examples=60, deadline=None)
@given(runs(), lists_with_lots(), LIMITS, SHARES, st.sampled_from([0.0, 1.0]))
def test_lots_keep_to_the_screens_and_the_budget(
    explorations: Any, steps: Any, limit: int, shares: Any, most_failed: float
) -> None:
    choice = choose(explorations, steps, limit=limit, shares=shares, most_failed=most_failed)
    by_replica = {each.replica: each.trajectories[0] for each in explorations}
    assert {frame.fate for frame in choice.frames} <= REASONS
    assert sorted(choice.picks) == [(each.replica, each.index) for each in choice.frames if each.fate == "pick"]
    assert len(choice.picks) <= min([limit, *(s["cap"] for s in steps if s["kind"] == "budget")])
    for share in shares:
        taken = [replica for replica, _ in choice.picks if by_replica[replica].info["system"] in share.systems]
        assert len(taken) <= share.left
    for frame in choice.frames:
        assert not frame.drawn or (frame.fate == "pick" and frame.frame_class != "failed")
        if {"kind": "overlap"} in steps and frame.fate == "pick":
            part = by_replica[frame.replica]
            assert not overlapping(part.numbers, part.positions[[frame.index]]).any()
