"""The random baseline draws from all sound frames and nothing else."""

from __future__ import annotations

import numpy as np
from test_trust_window import exploration

from sparc_fw.selectors.base import Choice
from sparc_fw.selectors.random_picks import RandomPicks, RandomPicksOptions
from sparc_fw.settings import Settings

DEVIATION = [0.01, 0.3, 2.0, float("nan")] * 25


def select(seed: int, limit: int = 30) -> Choice:
    selector = RandomPicks(RandomPicksOptions(cap=40, min_difference_A=0.0), Settings())
    return selector.select([exploration(DEVIATION)], (), limit, seed)


def test_draws_sound_frames_whatever_their_deviation() -> None:
    choice = select(seed=1)
    assert len(choice.picks) == len(set(choice.picks)) == 30
    picked = np.array([DEVIATION[index] for _, index in choice.picks])
    assert not np.isnan(picked).any()
    # 30 of 75 sound frames, a third of each kind: the hypergeometric spread is 2 around 10.
    for value in (0.01, 0.3, 2.0):
        assert 4 <= (picked == value).sum() <= 16


def test_classes_are_those_of_the_window() -> None:
    classes = [frame.frame_class for frame in select(seed=1).frames]
    assert classes == ["accurate", "candidate", "failed", "failed"] * 25


def test_the_seed_decides() -> None:
    assert select(seed=1).picks == select(seed=1).picks
    assert select(seed=1).picks != select(seed=2).picks


def test_limit_and_cap() -> None:
    assert len(select(seed=1, limit=7).picks) == 7
    assert len(select(seed=1, limit=99).picks) == 40
