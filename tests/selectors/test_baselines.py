"""Baselines choose from all sound frames, whatever the committee thinks of them."""

from __future__ import annotations

import numpy as np
import pytest
from explored import Steps, choose, exploration

from sparc_fw.selectors.base import Choice
from sparc_fw.selectors.baselines import spread_turns

DEVIATION = [0.01, 0.3, 2.0, float("nan")] * 25


def select(kind: str, seed: int = 1, limit: int = 30) -> Choice:
    steps: Steps = [
        {"kind": "overlap"},
        {"kind": "window", "keep": "all"},
        {"kind": kind},
        {"kind": "budget", "cap": 40},
    ]
    return choose([exploration(DEVIATION)], steps, limit=limit, seed=seed)


def test_draws_sound_frames_whatever_their_deviation() -> None:
    choice = select("random")
    assert len(choice.picks) == len(set(choice.picks)) == 30
    picked = np.array([DEVIATION[index] for _, index in choice.picks])
    assert not np.isnan(picked).any()
    # 30 of 75 sound frames, a third of each kind: the hypergeometric spread is 2 around 10.
    for value in (0.01, 0.3, 2.0):
        assert 4 <= (picked == value).sum() <= 16


@pytest.mark.parametrize("kind", ["random", "uniform"])
def test_classes_are_those_of_the_window(kind: str) -> None:
    classes = [frame.frame_class for frame in select(kind).frames]
    assert classes == ["accurate", "candidate", "failed", "failed"] * 25


def test_the_seed_decides() -> None:
    assert select("random", seed=1).picks == select("random", seed=1).picks
    assert select("random", seed=1).picks != select("random", seed=2).picks
    assert select("uniform", seed=1).picks == select("uniform", seed=2).picks


@pytest.mark.parametrize("kind", ["random", "uniform"])
def test_limit_and_cap(kind: str) -> None:
    assert len(select(kind, limit=7).picks) == 7
    assert len(select(kind, limit=99).picks) == 40


def test_random_behind_the_window_draws_candidates_alone() -> None:
    choice = choose([exploration(DEVIATION)], [{"kind": "window"}, {"kind": "random"}], limit=9)
    assert {DEVIATION[index] for _, index in choice.picks} == {0.3}
    assert choice.picks != sorted(choice.picks)


def test_uniform_picks_lie_evenly_however_many_there_are() -> None:
    # The middle, then the middles of both halves, …
    assert np.argsort(spread_turns(7)).tolist() == [3, 1, 5, 0, 4, 2, 6]
    for count in (1, 7, 100, 1000):
        assert sorted(spread_turns(count)) == list(range(count))
    first = np.sort(np.argsort(spread_turns(1000))[:40])
    gaps = np.diff(first)
    assert (gaps.min() >= 12, gaps.max() <= 51) == (True, True)
