"""Baselines choose from all sound frames, whatever the committee thinks of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from explored import Steps, choose, exploration

from sparc_fw.selectors.base import Choice
from sparc_fw.selectors.baselines import spread_turns
from sparc_fw.trajectories import Exploration, Uncertainty

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


def with_energies(energies: list[float], replica: int = 0, atom: int = 7) -> Exploration:
    run = exploration([0.01] * len(energies), replica=replica)
    part = replace(run.trajectories[0], numbers=np.array([atom, atom]))
    by_atom = np.zeros((len(energies), 2), dtype=np.float32)
    members = np.array([energies, energies]) + np.array([[0.2], [-0.2]])
    return replace(run, trajectories=[part], uncertainty=[Uncertainty(by_atom, by_atom, members)])


BY_ENERGY: Steps = [{"kind": "window", "keep": "all"}, {"kind": "energy", "levels": 4}]


def test_energy_takes_one_of_each_level_however_full_they_are() -> None:
    # Levels of 1 eV: 60 frames in the first, 30 in the second, 8 in the third, 2 in the last.
    energies = np.repeat([0.0, 1.5, 2.5, 4.0], [60, 30, 8, 2]) - 1000.0
    run = with_energies(energies.tolist())
    for count, expected in ((4, [1, 1, 1, 1]), (8, [2, 2, 2, 2]), (11, [3, 3, 3, 2]), (100, [60, 30, 8, 2])):
        picks = choose([run], BY_ENERGY, limit=count).picks
        assert [Counter(energies[index] for _, index in picks)[level] for level in np.unique(energies)] == expected
    assert choose([run], BY_ENERGY, limit=8, seed=1).picks != choose([run], BY_ENERGY, limit=8, seed=2).picks


def test_energies_of_other_compositions_have_levels_of_their_own() -> None:
    runs = [with_energies([-10.0, -9.0] * 10), with_energies([-5000.0, -4999.0] * 10, replica=1, atom=8)]
    picks = choose(runs, BY_ENERGY, limit=4).picks
    assert sorted((replica, index % 2) for replica, index in picks) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_one_energy_is_one_level() -> None:
    assert len(choose([with_energies([-3.0] * 5)], BY_ENERGY, limit=3).picks) == 3
    assert choose([], BY_ENERGY).picks == []
