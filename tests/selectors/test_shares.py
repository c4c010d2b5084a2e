"""Shares of the labels: who is assured what, who gets what is left, and why the others get nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from explored import ALL, Steps, choose, fates
from explored import exploration as explored
from fireworks import LaunchPad
from pydantic import ValidationError

from sparc_fw.campaign import Budget
from sparc_fw.errors import InputError
from sparc_fw.firetasks.base import make_backend
from sparc_fw.geometry.source_checks import check_sources
from sparc_fw.loading import LoadedCampaign
from sparc_fw.selectors.base import Choice
from sparc_fw.selectors.convergence import Progress, conclude
from sparc_fw.selectors.goals import Convergence
from sparc_fw.selectors.shares import Share, divided
from sparc_fw.settings import Settings
from sparc_fw.store import Store
from sparc_fw.submission import submit
from sparc_fw.trajectories import Exploration

Loader = Callable[..., LoadedCampaign]
RANDOM = np.random.default_rng(3)


def exploration(system: str, deviation: Sequence[float], replica: int) -> Exploration:
    return explored(deviation, replica=replica, system=system)


def share(names: str, fraction: float, left: int = ALL) -> Share:
    return Share(frozenset(names), fraction, left)


def select(explorations: Sequence[Exploration], shares: Sequence[Share], cap: int = 10, limit: int = ALL) -> Choice:
    steps: Steps = [{"kind": "window", "lost_after_fs": 1e6}, {"kind": "budget", "cap": cap}]
    return choose(explorations, steps, limit=limit, shares=shares)


def test_a_system_keeps_its_share_though_another_is_less_known() -> None:
    runs = [exploration("a", [0.9] * 6, 0), exploration("b", [0.3] * 6, 1)]
    choice = select(runs, [share("a", 0.5), share("b", 0.5)], cap=6)
    assert fates(choice, 0) == ["pick"] * 3 + ["over_share"] * 3
    assert fates(choice, 1) == ["pick"] * 3 + ["over_cap"] * 3
    assert choice.picks == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


def test_what_a_system_has_no_use_for_goes_to_the_others_best_first() -> None:
    runs = [
        exploration("a", [0.9, 0.5, 0.4, 0.3], 0),
        exploration("b", [0.2], 1),
        exploration("c", [0.8, 0.6, 0.4, 0.4], 2),
    ]
    choice = select(runs, [share("a", 0.25), share("b", 0.5), share("c", 0.25)], cap=4)
    # One each for 'a' and 'c', one of two for 'b'; the one that is left goes to 0.6, not to 0.5.
    assert choice.picks == [(0, 0), (2, 0), (2, 1), (1, 0)]
    # Without shares 0.5 would have had the place of 0.2; 0.4 would not.
    assert fates(choice, 0) == ["pick", "over_share", "over_cap", "over_cap"]


def test_a_system_never_passes_what_is_left_to_it_of_the_budget() -> None:
    runs = [exploration("a", [0.9] * 6, 0), exploration("b", [0.3] * 2, 1)]
    choice = select(runs, [share("a", 0.5, left=2), share("b", 0.5)], cap=6)
    assert fates(choice, 0) == ["pick", "pick"] + ["over_share"] * 4
    assert fates(choice, 1) == ["pick", "pick"]


def test_systems_without_a_share_compete_for_the_rest() -> None:
    runs = [
        exploration(name, [deviation] * 4, n)
        for n, (name, deviation) in enumerate(zip("abc", (0.9, 0.5, 0.3), strict=True))
    ]
    choice = select(runs, [share("a", 0.5), share("bc", 0.5)], cap=4)
    assert Counter(replica for replica, _ in choice.picks) == {0: 2, 1: 2}


def test_the_random_baseline_keeps_shares_too() -> None:
    runs = [exploration("a", [0.01] * 50, 0), exploration("b", [0.01] * 50, 1)]
    steps: Steps = [{"kind": "window", "keep": "all"}, {"kind": "random"}, {"kind": "budget", "cap": 20}]
    choice = choose(runs, steps, seed=4, shares=[share("a", 0.2), share("b", 0.8)])
    assert Counter(replica for replica, _ in choice.picks) == {0: 4, 1: 16}
    assert 0 < Counter(fates(choice, 0))["over_share"] < 16


@pytest.mark.parametrize("case", range(60))
def test_shares_hold_whatever_the_frames_are(case: int) -> None:
    random = np.random.default_rng([3, case])
    names = "abcd"[: random.integers(2, 5)]
    fractions = random.dirichlet(np.ones(len(names)))
    cap, limit = int(random.integers(1, 30)), int(random.integers(1, 40))
    shares = [
        share(name, float(part), int(random.integers(0, 20))) for name, part in zip(names, fractions, strict=True)
    ]
    runs = [
        exploration(name, random.uniform(0.0, 1.3, random.integers(0, 25)).tolist(), n) for n, name in enumerate(names)
    ]
    choice, free = select(runs, shares, cap, limit), select(runs, [], cap, limit)
    room = min(cap, limit)
    candidates = Counter(frame.replica for frame in choice.frames if frame.frame_class == "candidate")
    taken = Counter(replica for replica, _ in choice.picks)
    assured = divided(room, [part.fraction for part in shares])
    for replica, part in enumerate(shares):
        # Never more than the budget's part, never less than what was assured and could be used.
        assert taken[replica] <= part.left
        assert taken[replica] >= min(assured[replica], part.left, candidates[replica])
        # The best of each system first.
        mine = [frame for frame in choice.frames if frame.replica == replica and frame.frame_class == "candidate"]
        picked = [frame.deviation for frame in mine if frame.fate == "pick"]
        assert picked == [] or min(picked) >= max((f.deviation for f in mine if f.fate != "pick"), default=0.0)
    # No pick is given away for nothing.
    usable = sum(min(candidates[replica], part.left) for replica, part in enumerate(shares))
    assert len(choice.picks) == min(room, usable)
    # Only those that lose their place because of the shares are counted so.
    lost = {(f.replica, f.index) for f in choice.frames if f.fate == "over_share"}
    assert set(free.picks) - set(choice.picks) == lost & set(free.picks)
    assert lost <= set(free.picks) or len(choice.picks) < room
    # Nothing depends on the order in which replicas come.
    again = select(runs[::-1], shares, cap, limit)
    assert (again.picks, again.frames) == (choice.picks, choice.frames)


@pytest.mark.parametrize("total", [0, 1, 7, 45, 300])
def test_a_division_is_whole_and_near(total: int) -> None:
    for fractions in (*RANDOM.dirichlet(np.ones(5), 20).tolist(), [1 / 3] * 3, [0.29, 0.71], [1.0]):
        parts = divided(total, fractions)
        assert sum(parts) == total
        assert all(abs(part - total * fraction) < 1 for part, fraction in zip(parts, fractions, strict=True))
    assert divided(10, [1 / 3] * 3) == [4, 3, 3]
    assert divided(100, [0.29, 0.71]) == [29, 71]


def test_spent_shares_are_what_ends_the_campaign() -> None:
    runs = [exploration("a", [0.9] * 30, 0), exploration("b", [0.01] * 80, 1)]
    choice = select(runs, [share("a", 0.5, left=0), share("b", 0.5)])
    progress = Progress(1, 30, 0.1, 1.0, 1.0, [])
    outcome = conclude(choice, progress, Convergence(), Budget(labels=60))
    assert (outcome.verdict, outcome.go_on) == ("exhausted", False)
    assert "have spent their label_share (80 accurate, 30 over_share)" in outcome.sentence
    assert outcome.counts["over_share"] == 30


def systems(*shares: float | None) -> list[dict[str, Any]]:
    pair = {"symbols": ["H", "H"], "positions_A": [[0, 0, 0], [0, 0, 1.5]]}
    return [{"name": f"s{n}", "structure": pair, "label_share": value} for n, value in enumerate(shares)]


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ((0.7, 0.4), "shares that add up to 1.1, expected at most 1"),
        ((0.3, 0.3), "shares that add up to 0.6, expected 1: leave out that of a system"),
        ((0.5, 0.5, None), "which leaves no label for 's2'"),
    ],
)
def test_shares_that_do_not_add_up_are_refused(load: Loader, shares: tuple[float | None, ...], message: str) -> None:
    with pytest.raises((InputError, ValidationError), match=message):
        load(systems=systems(*shares))


def test_thirds_may_be_rounded_and_the_rest_needs_no_share(load: Loader) -> None:
    thirds = load(systems=systems(0.33, 0.33, 0.33)).campaign
    assert [limit for _, limit in thirds.label_limits()] == [20, 20, 20]
    rest = load(systems=systems(None, 0.25, None)).campaign
    assert rest.label_limits() == [(frozenset({"s1"}), 15), (frozenset({"s0", "s2"}), 45)]
    assert load(systems=systems(None, None)).campaign.label_limits() == []


def test_start_frames_beyond_the_share_are_refused(load: Loader) -> None:
    loaded = load(systems=systems(0.25, None))
    labeler = make_backend("labeler", loaded.campaign.labeler, Settings())
    with pytest.raises(InputError, match="found 20 frames of s0 to label, expected at most 15"):
        check_sources(loaded.campaign, loaded.files, labeler)


def test_a_campaign_spends_no_more_on_a_system_than_its_share(
    store: Store, launchpad: LaunchPad, load: Loader, work: Callable[..., None]
) -> None:
    start = [{"kind": "displacements", "system": name, "frames": 4} for name in ("s0", "s1")]
    values: dict[str, Any] = {"systems": systems(0.25, None), "start": start, "test": None}
    values["budget"] = {"labels": 40, "iterations": 4}
    submit(store, launchpad, load(**values, convergence={"max_failed_fraction": 1.0}))
    work()
    asked = store.paid_keys_by_system("trimer", 99)
    assert len(asked["s0"]) == 10
    assert 10 < len(asked["s1"]) <= 30
    assert sum(row["fates"].get("over_share", 0) for row in store.selection_records("trimer")) > 0
    # In the first iteration 's0' has its quarter of ten picks, rounded up: it comes first.
    first = store.selection("trimer", 0)
    assert first is not None
    assert Counter(frame.info["system"] for frame in first.picks) == {"s0": 3, "s1": 7}


def test_what_was_asked_for_is_told_apart_by_system(store: Store, load: Loader) -> None:
    campaign = load(systems=systems(0.5, 0.5)).campaign
    frames = []
    for number, name in enumerate(("s0", "s0", "s1")):
        frame = Atoms("H2", positions=[[0, 0, 0], [0, 0, 1.0 + number / 10]])
        frame.info = {"system": name, "charge": 0, "spin": 0}
        frames.append(frame)
    store.add_frames(campaign.name, 0, "train", frames, ["x", "y", "z"])
    assert store.paid_keys_by_system(campaign.name, 0) == {"s0": ["x", "y"], "s1": ["z"]}
