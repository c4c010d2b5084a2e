"""The trust window: known picks, and a fate for every frame."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from pydantic import ValidationError

from sparc_fw.selectors.base import Choice
from sparc_fw.selectors.trust_window import TrustWindow, TrustWindowOptions
from sparc_fw.settings import Settings
from sparc_fw.trajectories import Exploration, Trajectory

ANY_SEED = 7


def exploration(deviation: list[float], bonds: list[float] | None = None, replica: int = 0) -> Exploration:
    """N2 frames, 10 fs apart, of given bond lengths; by default all very different."""
    lengths = bonds if bonds is not None else [1.0 + 0.5 * number for number in range(len(deviation))]
    positions = np.zeros((len(lengths), 2, 3))
    positions[:, 1, 2] = lengths
    trajectory = Trajectory(
        numbers=np.array([7, 7]),
        positions=positions,
        cells=np.zeros((len(lengths), 3, 3)),
        times=10.0 * np.arange(len(lengths)),
        pbc=(False, False, False),
        info={"system": "N2", "charge": 0, "spin": 0},
        steps=20 * len(lengths),
    )
    return Exploration("test", 0, replica, "walk", [trajectory], np.array(deviation), planned_ps=1.0, seed=1)


def select(*explorations: Exploration, labelled: tuple[Atoms, ...] = (), limit: int = 99, **options: Any) -> Choice:
    selector = TrustWindow(TrustWindowOptions(**options), Settings())
    return selector.select(explorations, labelled, limit, ANY_SEED)


def fates(choice: Choice) -> list[str]:
    return [frame.fate for frame in choice.frames]


def test_classes_at_the_edges_of_the_window() -> None:
    choice = select(exploration([0.1499, 0.15, 0.5, 1.0, 1.001]))
    assert [frame.frame_class for frame in choice.frames] == [
        "accurate",
        "candidate",
        "candidate",
        "candidate",
        "failed",
    ]
    assert choice.window == (0.15, 1.0)


def test_largest_deviation_first_ties_by_replica_and_index() -> None:
    choice = select(exploration([0.3, 0.9, 0.5], replica=1), exploration([0.5, 0.2], [7.0, 8.0], replica=0))
    assert choice.picks == [(1, 1), (0, 0), (1, 2), (1, 0), (0, 1)]
    assert [(frame.replica, frame.index) for frame in choice.frames] == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]


def test_frames_that_follow_no_time_are_neither_lost_nor_too_close() -> None:
    deviation = [0.5, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 0.5]
    timed, untimed = exploration(deviation), exploration(deviation)
    untimed.trajectories[0].times = np.full(len(deviation), np.nan)
    assert fates(select(timed, spacing_fs=100.0)) == ["pick", *["failed"] * 7, "after_failure"]
    assert fates(select(untimed, spacing_fs=100.0)) == ["pick", *["failed"] * 7, "pick"]


def test_cap_and_limit() -> None:
    frames = exploration([0.9, 0.8, 0.7, 0.6])
    assert fates(select(frames, cap=2)) == ["pick", "pick", "over_cap", "over_cap"]
    assert fates(select(frames, cap=3, limit=1)) == ["pick", "over_cap", "over_cap", "over_cap"]
    assert select(frames, limit=0).picks == []


def test_nan_and_overlap_fail_and_are_told_apart() -> None:
    choice = select(exploration([np.nan, 0.5, 0.5, np.inf], [1.0, 0.3, 1.5, 2.0]))
    assert fates(choice) == ["nan", "overlap", "pick", "nan"]
    assert [frame.frame_class for frame in choice.frames] == ["failed", "failed", "candidate", "failed"]


def test_positions_that_are_not_finite_fail() -> None:
    frames = exploration([0.5, 0.5])
    frames.trajectories[0].positions[0, 0, 0] = np.nan
    assert fates(select(frames)) == ["nan", "pick"]


def test_overlapping_accurate_frame_is_not_accurate() -> None:
    assert select(exploration([0.01], [0.2])).frames[0].frame_class == "failed"


def test_spacing_in_time_counts_within_a_replica_only() -> None:
    choice = select(exploration([0.6, 0.9, 0.7, 0.5]), exploration([0.2, 0.8], [6.0, 9.0], replica=1), spacing_fs=20)
    assert choice.picks == [(0, 1), (1, 1), (0, 3)]
    assert fates(choice) == ["too_close_in_time", "pick", "too_close_in_time", "pick", "too_close_in_time", "pick"]


def test_picks_differ_from_each_other() -> None:
    choice = select(exploration([0.5, 0.9, 0.7], [1.30, 1.20, 1.36]), min_difference_A=0.15)
    assert fates(choice) == ["too_similar", "pick", "pick"]


def test_picks_differ_from_what_is_labelled_of_the_same_composition() -> None:
    known = (Atoms("N2", [[0, 0, 0], [1.25, 0, 0]]), Atoms("O2", [[0, 0, 0], [1.5, 0, 0]]))
    choice = select(exploration([0.5, 0.9], [1.30, 1.50]), labelled=known)
    assert fates(choice) == ["too_similar", "pick"]


def test_difference_of_zero_compares_nothing() -> None:
    assert fates(select(exploration([0.5, 0.5], [1.2, 1.2]), min_difference_A=0)) == ["pick", "pick"]


def test_every_frame_has_one_fate() -> None:
    rng = np.random.default_rng(5)
    deviation = rng.uniform(0, 1.5, 2000)
    deviation[rng.random(2000) < 0.05] = np.nan
    runs = [
        exploration(part.tolist(), rng.uniform(0.5, 4, 500).tolist(), n)
        for n, part in enumerate(deviation.reshape(4, 500))
    ]
    choice = select(*runs, spacing_fs=30, min_difference_A=0.01, cap=40)
    counts = Counter(fates(choice))
    assert counts.total() == 2000
    assert counts["pick"] == len(choice.picks) == 40
    assert set(counts) == {
        "pick",
        "accurate",
        "failed",
        "nan",
        "overlap",
        "too_close_in_time",
        "too_similar",
        "over_cap",
        "after_failure",
    }
    classes = Counter(frame.frame_class for frame in choice.frames)
    assert classes["failed"] == counts["failed"] + counts["nan"] + counts["overlap"]
    assert classes["accurate"] == counts["accurate"]
    again = select(*reversed(runs), spacing_fs=30, min_difference_A=0.01, cap=40)
    assert (again.picks, fates(again)) == (choice.picks, fates(choice))


def test_parts_of_a_replica_count_their_time_apart() -> None:
    runs = [exploration([0.6, 0.9]), exploration([0.8, 0.7], [6.0, 9.0])]
    parts = [run.trajectories[0] for run in runs]
    parts[1] = replace(parts[1], numbers=np.array([8, 8]))
    both = replace(runs[0], trajectories=parts, deviation=np.concatenate([run.deviation for run in runs]))
    choice = select(both, spacing_fs=20)
    assert choice.picks == [(0, 1), (0, 2)]
    assert [frame.index for frame in choice.frames] == [0, 1, 2, 3]
    assert [both.frame(index).get_chemical_formula() for _, index in choice.picks] == ["N2", "O2"]
    assert both.survived_ps == 0.02


def test_nothing_explored_picks_nothing() -> None:
    assert select().picks == []
    assert select(exploration([])).frames == []


def test_window_upside_down_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"f_lo, f_hi: found 1 and 0\.5 eV/Å, expected f_lo < f_hi"):
        TrustWindowOptions(f_lo=1.0, f_hi=0.5)


def test_nothing_is_picked_after_a_replica_was_lost() -> None:
    # Frames come every 10 fs; one bad frame is forgiven, 30 fs of them are not.
    deviation = [0.5, 2.0, 0.6, 2.0, np.nan, 2.0, 2.0, 0.4, 0.1]
    choice = select(exploration(deviation), lost_after_fs=30.0)
    assert fates(choice) == ["pick", "failed", "pick", "failed", "nan", "failed", "failed", "after_failure", "accurate"]
    assert choice.frames[7].frame_class == "candidate"
    assert fates(select(exploration(deviation), lost_after_fs=31.0))[7] == "pick"
    other = exploration([0.4, 0.4], [6.0, 7.0], replica=1)
    assert fates(select(exploration(deviation), other, lost_after_fs=30.0))[-2:] == ["pick", "pick"]
