"""Of an exploration that exploded, the frames where runs began to fail are picked."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from explored import Steps, choose, exploration, fates

from sparc_fw.selectors.base import Choice
from sparc_fw.selectors.crossings import Onset
from sparc_fw.selectors.shares import Share
from sparc_fw.trajectories import Exploration

STEPS: Steps = [{"kind": "overlap"}, {"kind": "window"}, {"kind": "budget", "cap": 45}]
RUN = [0.1, 0.5, 0.6, 0.3, *[2.0] * 8]
"""Frames come every 10 fs; the fifth is the first that fails."""


def exploded(*runs: Exploration, steps: Steps = STEPS, **more: Any) -> Choice:
    return choose(runs, steps, most_failed=0.5, **more)


def test_the_frames_before_and_at_the_crossing_are_picked() -> None:
    choice = exploded(exploration(RUN), before_failure=2)
    assert choice.picks == [(0, 3), (0, 4), (0, 2)]
    assert fates(choice) == ["accurate", "not_at_crossing", "pick", "pick", "pick", *["failed"] * 7]
    assert [frame.frame_class for frame in choice.frames[3:5]] == ["candidate", "failed"]
    # Accurate frames just before it, too.
    assert exploded(exploration(RUN), before_failure=4).picks == [(0, 3), (0, 4), (0, 2), (0, 1), (0, 0)]


def test_half_of_the_frames_may_fail() -> None:
    assert fates(exploded(exploration([0.5, 0.5, 2.0, 2.0]))) == ["pick", "pick", "failed", "failed"]
    assert fates(exploded(exploration([0.1, 0.5, 2.0, 2.0, 2.0]))) == ["pick", "pick", "pick", "failed", "failed"]


@pytest.mark.parametrize("steps", [STEPS, STEPS[1:]])
def test_no_broken_frame_is_picked_at_a_crossing(steps: Steps) -> None:
    bonds = [1.1, 1.2, 0.3, 1.4, 1.5, 1.6]
    choice = exploded(exploration([0.5, np.nan, 2.0, 2.0, 2.0, 2.0], bonds), steps=steps)
    assert choice.picks == [(0, 0), (0, 3)]
    assert fates(choice)[1] == "nan"
    everything = exploded(exploration([np.nan] * 3))
    assert (everything.picks, fates(everything)) == ([], ["nan"] * 3)


def test_runs_take_turns_and_caps_and_shares_hold() -> None:
    runs = [exploration(RUN, replica=n, system="ab"[n % 2]) for n in range(3)]
    choice = exploded(*runs, steps=[*STEPS[:2], {"kind": "budget", "cap": 5}])
    assert choice.picks == [(0, 3), (1, 3), (2, 3), (0, 4), (1, 4)]
    assert Counter(fates(choice))["over_cap"] == 3 * 5 - 5
    assert exploded(*runs, limit=2).picks == [(0, 3), (1, 3)]
    shares = [Share(frozenset("a"), 0.5, 99), Share(frozenset("b"), 0.5, 1)]
    assert Counter(replica for replica, _ in exploded(*runs, shares=shares).picks)[1] == 1


def test_picks_at_a_crossing_differ_from_each_other() -> None:
    bonds = [1.1, 1.2, 1.3, 1.31, 1.6, *[2.0] * 7]
    choice = exploded(exploration(RUN, bonds), steps=[*STEPS, {"kind": "difference", "min_difference_A": 0.15}])
    assert choice.picks == [(0, 3), (0, 4), (0, 0)]
    assert fates(choice)[:5] == ["pick", "too_similar", "too_similar", "pick", "pick"]


def test_where_the_first_failed_frame_is_labelled_already_the_next_one_is_picked() -> None:
    known = [Atoms("N2", [[0, 0, 0], [1.6, 0, 0]])]
    bonds = [1.1, 1.2, 1.3, 1.4, 1.6, 1.65, 1.9, *[2.2] * 5]
    choice = exploded(exploration(RUN, bonds), steps=[*STEPS, {"kind": "difference"}], labelled=known, before_failure=1)
    assert choice.picks == [(0, 3), (0, 6)]
    assert fates(choice)[4:] == ["too_similar", "failed", "pick", *["failed"] * 5]


def test_what_never_failed_or_follows_no_time_keeps_its_picks() -> None:
    survived, untimed = exploration([0.1, 0.5, 0.6], replica=1), exploration([0.4, 2.0], replica=2)
    untimed.trajectories[0].times = np.full(2, np.nan)
    choice = exploded(exploration(RUN), survived, untimed, before_failure=1)
    assert choice.picks == [(0, 3), (0, 4), (1, 2), (1, 1), (2, 0)]
    assert fates(choice, 1) == ["accurate", "pick", "pick"]


def test_baselines_that_keep_all_frames_explode_alike() -> None:
    steps: Steps = [{"kind": "window", "keep": "all"}, {"kind": "random"}, {"kind": "budget", "cap": 4}]
    choice = exploded(exploration(RUN), steps=steps, before_failure=2)
    assert choice.picks == [(0, 3), (0, 4), (0, 2)]
    assert set(fates(choice)) <= {"pick", "not_at_crossing", "over_cap"}


def test_when_replicas_failed_first() -> None:
    parts = exploration([0.1] * 3, replica=1)
    parts.trajectories += exploration([0.1, 2.0]).trajectories
    parts.deviation = np.array([0.1, 0.1, 0.1, 0.1, 2.0])
    choice = exploded(parts, exploration(RUN), exploration([0.1] * 4, replica=2))
    assert [(onset.replica, round(onset.ps, 6), onset.failed) for onset in choice.onsets] == [
        (0, 0.04, True),
        (1, 0.03, True),
        (2, 0.03, False),
    ]
    untimed = exploration([2.0])
    untimed.trajectories[0].times = np.full(1, np.nan)
    assert exploded(untimed).onsets == []
    assert exploded(exploration([2.0])).onsets == [Onset(0, 0.0, True)]
