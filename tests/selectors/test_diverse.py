"""The step that looks for different frames: known choices, shared places, a fate for every frame."""

from __future__ import annotations

import importlib.util
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from explored import choose, exploration, fates, step

from sparc_fw.selectors.shares import Share, allotted
from sparc_fw.trajectories import Exploration

ALL_IN: dict[str, Any] = {"kind": "window", "keep": "all"}
EQUAL = [0.5] * 5
LINE = [1.0, 3.0, 6.0, 9.0, 11.0]


def diversity(**options: Any) -> dict[str, Any]:
    return {"kind": "diversity", "uncertainty_share": 0.0} | options


def nitrogen(length: float) -> Atoms:
    return Atoms("N2", [[0, 0, 0], [length, 0, 0]])


def test_farthest_points_in_the_order_of_choice() -> None:
    # Bond lengths with the mean 6: begin there, then the ends, then the middles of the gaps.
    choice = choose([exploration(EQUAL, LINE)], [ALL_IN, diversity(count=4)])
    assert choice.picks == [(0, 2), (0, 0), (0, 4), (0, 1)]
    assert fates(choice) == ["pick", "pick", "pick", "less_diverse", "pick"]


def test_keeps_away_from_what_is_labelled_of_the_same_atoms() -> None:
    # Known: 10. The farthest is 1, then 6 (4 from 10, 5 from 1), then 3.
    labelled = [nitrogen(10.0), Atoms("O2", [[0, 0, 0], [1.0, 0, 0]])]
    choice = choose([exploration(EQUAL, LINE)], [ALL_IN, diversity(count=3)], labelled)
    assert choice.picks == [(0, 0), (0, 2), (0, 1)]


def test_uncertainty_counts_by_its_share() -> None:
    # Known: 1. Alone by distance 11 comes first; with u as much as d 9 does: 8 * 0.9 against 10 * 0.5.
    runs, labelled = [exploration([0.5, 0.5, 0.5, 0.9, 0.5], LINE)], [nitrogen(1.0)]
    assert choose(runs, [ALL_IN, diversity(count=1)], labelled).picks == [(0, 4)]
    assert choose(runs, [ALL_IN, diversity(count=1, uncertainty_share=0.5)], labelled).picks == [(0, 3)]


def test_as_many_go_on_as_may_be_picked() -> None:
    runs = [exploration(EQUAL, LINE)]
    behind = choose(runs, [ALL_IN, diversity(), {"kind": "budget", "cap": 3}])
    assert Counter(fates(behind)) == {"pick": 3, "less_diverse": 2}
    assert Counter(fates(choose(runs, [ALL_IN, diversity()], limit=2))) == {"pick": 2, "less_diverse": 3}
    assert Counter(fates(choose(runs, [ALL_IN, diversity(count=4)], limit=0))) == {"over_cap": 4, "less_diverse": 1}
    # The order of choice is what the budget goes by.
    capped = choose(runs, [ALL_IN, diversity(count=4), {"kind": "budget", "cap": 2}])
    assert capped.picks == [(0, 2), (0, 0)]


def test_only_the_best_are_compared() -> None:
    runs = [exploration([0.5, 0.9, 0.8, 0.7, 0.6], LINE)]
    choice = choose(runs, [{"kind": "window"}, diversity(candidates=3, count=2)])
    # 3, 6 and 9: the middle, then the end that comes first.
    assert choice.picks == [(0, 2), (0, 1)]
    assert fates(choice) == ["not_compared", "pick", "pick", "less_diverse", "not_compared"]


LOTS: dict[str, Any] = {"target_force_error_eV_per_A": 0.1, "random_share": 0.5}


def test_lots_count_among_those_that_go_on() -> None:
    runs = [exploration([0.5] * 12)]
    lists = [[ALL_IN | LOTS, diversity(count=4)], [ALL_IN | LOTS, diversity(count=4), {"kind": "difference"}]]
    for steps in lists:
        choice = choose(runs, steps)
        assert Counter(frame.drawn for frame in choice.frames if frame.fate == "pick") == {True: 2, False: 2}


def test_the_count_holds_where_most_frames_failed() -> None:
    runs = [exploration([*[0.5] * 6, *[9.0] * 3], replica=replica) for replica in range(3)]
    choice = choose(runs, [{"kind": "window"}, diversity(count=4)], most_failed=0.2)
    assert len(choice.picks) == 4
    assert {frame.step for frame in choice.frames if frame.fate == "over_cap"} == {1}


def two_compositions(counts: tuple[int, int]) -> list[Exploration]:
    runs = [exploration([0.5] * count, replica=n, system="ab"[n]) for n, count in enumerate(counts)]
    runs[1].trajectories[0].numbers = np.array([8, 8])
    return runs


def test_compositions_get_places_by_their_frames_and_shares() -> None:
    runs = two_compositions((6, 2))
    by_number = choose(runs, [ALL_IN, diversity(count=4)])
    assert Counter(replica for replica, _ in by_number.picks) == {0: 3, 1: 1}
    # The best two are three to one as well as they can be.
    assert [replica for replica, _ in by_number.picks] == [0, 0, 1, 0]
    shares = [Share(frozenset("a"), 0.5, 9), Share(frozenset("b"), 0.5, 9)]
    by_share = choose(runs, [ALL_IN, diversity(count=4)], shares=shares)
    assert Counter(replica for replica, _ in by_share.picks) == {0: 2, 1: 2}
    # What one has no use for goes to the other.
    assert Counter(r for r, _ in choose(runs, [ALL_IN, diversity(count=6)], shares=shares).picks) == {0: 4, 1: 2}


def test_a_spent_share_gets_no_places() -> None:
    runs = two_compositions((6, 8))
    shares = [Share(frozenset("a"), 0.5, 9), Share(frozenset("b"), 0.5, 0)]
    spent = choose(runs, [ALL_IN, diversity(count=6)], shares=shares)
    assert Counter(replica for replica, _ in spent.picks) == {0: 6}
    assert Counter(fates(spent, 1)) == {"over_share": 8}
    nearly = choose(runs, [ALL_IN, diversity(count=6)], shares=[shares[0], replace(shares[1], left=1)])
    assert Counter(replica for replica, _ in nearly.picks) == {0: 5, 1: 1}


def test_keeps_away_from_lots() -> None:
    # Wherever the lot falls, the other pick is the end of the line that is farther from it.
    ends = set()
    for seed in range(8):
        choice = choose([exploration(EQUAL, LINE)], [ALL_IN | LOTS, diversity(count=2)], seed=seed)
        (lot,) = [frame.index for frame in choice.frames if frame.drawn]
        assert choice.picks == [(0, int(np.argmax(np.abs(np.array(LINE) - LINE[lot])))), (0, lot)]
        ends.add(lot)
    assert len(ends) > 2


def test_of_equals_those_are_compared_that_spread_evenly() -> None:
    runs = [exploration([0.5] * 40, replica=replica) for replica in range(4)]
    choice = choose(runs, [ALL_IN, diversity(candidates=16, count=1)])
    compared = [frame for frame in choice.frames if frame.fate != "not_compared"]
    assert Counter(frame.replica for frame in compared) == {0: 4, 1: 4, 2: 4, 3: 4}
    # What is better than the equals is compared whatever comes.
    runs[0].deviation[:2] = 0.9
    best = choose(runs, [{"kind": "window"}, diversity(candidates=3, count=1)])
    assert [frame.fate != "not_compared" for frame in best.frames][:2] == [True, True]
    assert Counter(fates(best))["not_compared"] == 157


def test_places_are_allotted_by_want_and_none_is_lost() -> None:
    assert allotted(10, [3.0, 1.0], [100, 100]) == [8, 2]
    assert allotted(10, [1.0, 1.0, 2.0], [1, 100, 100]) == [1, 3, 6]
    assert allotted(10, [1.0, 1.0], [2, 3]) == [2, 3]
    assert allotted(3, [], []) == []


@pytest.mark.parametrize(
    "method", ["farthest_points", "kmeans_plus_plus", "k_means", "k_medoids", "d_optimal", "k_dpp", "cur"]
)
def test_every_method_takes_one_of_each_of_two_clusters(method: str) -> None:
    if method == "k_means" and importlib.util.find_spec("sklearn") is None:
        pytest.skip("scikit-learn is not installed")
    random = np.random.default_rng(1)
    bonds = [*(1.5 + 0.01 * random.random(30)), *(3.5 + 0.01 * random.random(30))]
    runs = [exploration([0.5] * 60, bonds)]
    steps = [ALL_IN, diversity(method=method, count=2)]
    choice = choose(runs, steps)
    assert sorted(index // 30 for _, index in choice.picks) == [0, 1]
    assert Counter(fates(choice)) == {"pick": 2, "less_diverse": 58}
    assert choose(runs, steps).picks == choice.picks


@pytest.mark.parametrize("method", ["farthest_points", "kmeans_plus_plus", "k_medoids", "d_optimal", "k_dpp", "cur"])
@pytest.mark.parametrize("bonds", [[1.5] * 6, [1.5]])
def test_equal_frames_fill_the_places(method: str, bonds: list[float]) -> None:
    choice = choose([exploration([0.5] * len(bonds), bonds)], [ALL_IN, diversity(method=method, count=4)])
    assert len(choice.picks) == min(4, len(bonds))


def test_single_atoms_and_no_frames_do_no_harm() -> None:
    atoms = exploration([0.5, 0.5])
    part = atoms.trajectories[0]
    part.numbers, part.positions = part.numbers[:1], part.positions[:, :1]
    assert len(choose([atoms], [ALL_IN, diversity(count=1)]).picks) == 1
    assert choose([exploration([])], [ALL_IN, diversity(count=1)]).picks == []
    assert choose([], [ALL_IN, diversity(count=1)]).picks == []


def test_soap_compares_different_compositions() -> None:
    pytest.importorskip("dscribe", reason="dscribe is not installed")
    runs = two_compositions((6, 1))
    choice = choose(runs, [ALL_IN, diversity(count=2, descriptor={"kind": "soap"})], [nitrogen(1.0)])
    # O2 is what is least like N2, however few frames of it there are; by distances it gets no place.
    assert choice.picks[0] == (1, 0)
    assert {replica for replica, _ in choose(runs, [ALL_IN, diversity(count=2)]).picks} == {0}


def test_what_is_not_installed_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert step("diversity").missing() == []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = step("diversity", descriptor={"kind": "soap"}, method="k_means").missing()
    assert found == [
        "descriptor soap needs the Python package 'dscribe', which is not installed: pip install "
        "'sparc_fw[descriptors]'",
        "method k_means needs the Python package 'sklearn', which is not installed: pip install "
        "'sparc_fw[descriptors]'",
    ]
