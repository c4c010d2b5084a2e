"""Known picks, and a fate for every frame."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, ClassVar, Literal

import numpy as np
import pytest
from ase import Atoms
from explored import Steps, choose, exploration, fates, step
from pydantic import ValidationError

from sparc_fw.errors import InputError
from sparc_fw.same_frames import frame_hash
from sparc_fw.selectors.base import Choice, Context, Step, StepOptions
from sparc_fw.selectors.pipeline import select as run_steps
from sparc_fw.selectors.pool import Pool
from sparc_fw.settings import Settings
from sparc_fw.trajectories import Exploration

WINDOW: dict[str, Any] = {"kind": "window"}


def select(*explorations: Exploration, labelled: tuple[Atoms, ...] = (), limit: int = 99, **options: Any) -> Choice:
    """What the usual steps pick, given options of any of them."""
    window = {key: options[key] for key in ("lost_after_fs",) if key in options}
    steps: list[dict[str, Any]] = [{"kind": "overlap"}, WINDOW | window]
    if "spacing_fs" in options:
        steps.append({"kind": "spacing", "spacing_fs": options["spacing_fs"]})
    if options.get("min_difference_A", 0.15):
        steps.append({"kind": "difference", "min_difference_A": options.get("min_difference_A", 0.15)})
    steps.append({"kind": "budget", "cap": options.get("cap", 45)})
    return choose(explorations, steps, labelled, limit)


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
    assert classes["failed"] == sum(counts[fate] for fate in ("failed", "nan", "overlap", "after_failure"))
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
        step("window", f_lo=1.0, f_hi=0.5)


def test_nothing_is_picked_after_a_replica_was_lost() -> None:
    # Frames come every 10 fs; one bad frame is forgiven, 30 fs of them are not.
    deviation = [0.5, 2.0, 0.6, 2.0, np.nan, 2.0, 2.0, 0.4, 0.1]
    choice = select(exploration(deviation), lost_after_fs=30.0)
    assert fates(choice) == ["pick", "failed", "pick", "failed", "nan", *["failed"] * 2, *["after_failure"] * 2]
    # That members agree again where a lost run ended up says nothing.
    assert [frame.frame_class for frame in choice.frames[7:]] == ["failed", "failed"]
    assert fates(select(exploration(deviation), lost_after_fs=31.0))[7] == "pick"
    other = exploration([0.4, 0.4], [6.0, 7.0], replica=1)
    assert fates(select(exploration(deviation), other, lost_after_fs=30.0))[-2:] == ["pick", "pick"]


def test_the_order_of_the_steps_is_the_users() -> None:
    runs = [exploration([0.9, 0.8, 0.7, 0.6])]
    spaced = {"kind": "spacing", "spacing_fs": 15.0}
    # Side by side rules fill the cap; a step between them makes the first choose for the second.
    assert fates(choose(runs, [WINDOW, {"kind": "budget", "cap": 2}, spaced])) == [
        "pick",
        "too_close_in_time",
        "pick",
        "over_cap",
    ]
    apart = [WINDOW, {"kind": "budget", "cap": 2}, {"kind": "overlap"}, spaced]
    assert fates(choose(runs, apart)) == ["pick", "too_close_in_time", "over_cap", "over_cap"]


def test_a_frame_that_one_rule_refuses_stands_in_nobodys_way() -> None:
    # 0.8 is like 0.9 and not picked, so that 0.7, which is near 0.8 in time alone, is.
    runs = [exploration([0.9], [1.2]), exploration([0.8, 0.7], [1.2, 1.9], replica=1)]
    rules: Steps = [{"kind": "spacing", "spacing_fs": 50.0}, {"kind": "difference"}]
    assert fates(choose(runs, [WINDOW, *rules])) == ["pick", "too_similar", "pick"]


def test_a_rule_works_alone_too() -> None:
    pool = Pool([exploration([0.5] * 5)])
    context = Context((), limit=0, seed=1)
    step("spacing", spacing_fs=15.0).apply(pool, context)
    assert pool.alive().tolist() == [0, 2, 4]
    step("budget", cap=2).apply(pool, context)
    assert pool.fate.tolist() == ["", "too_close_in_time", "", "too_close_in_time", "over_cap"]


def test_the_campaigns_budget_holds_without_a_budget_step() -> None:
    runs = [exploration([0.6, 0.9, 0.7, 0.8])]
    lists: list[Steps] = [[WINDOW], [WINDOW, {"kind": "difference"}], [{"kind": "difference"}, WINDOW]]
    for steps in lists:
        assert choose(runs, steps, limit=2).picks == [(0, 1), (0, 3)]
        assert len(choose(runs, steps).picks) == 4


def test_caps_of_systems_and_replicas() -> None:
    runs = [exploration([0.9, 0.8, 0.7], replica=n, system=name) for n, name in enumerate(("a", "a", "b"))]
    by_replica = choose(runs, [WINDOW, {"kind": "budget", "per_replica": 2}])
    assert by_replica.picks == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]
    by_system = choose(runs, [WINDOW, {"kind": "budget", "per_system": 2, "cap": 3}])
    assert by_system.picks == [(0, 0), (1, 0), (2, 0)]
    assert Counter(fates(by_system)) == {"pick": 3, "over_cap": 6}


def test_what_a_screen_calls_failed_is_failed_behind_the_window_too() -> None:
    runs = [exploration([0.01, 0.5, 0.5], [0.3, 0.3, 1.5])]
    before = choose(runs, [{"kind": "overlap"}, WINDOW])
    assert fates(before) == ["overlap", "overlap", "pick"]
    behind = choose(runs, [WINDOW, {"kind": "overlap"}])
    assert fates(behind) == ["accurate", "overlap", "pick"]
    for choice in (before, behind):
        assert [frame.frame_class for frame in choice.frames] == ["failed", "failed", "candidate"]


def test_overlap_goes_by_its_fraction() -> None:
    # Covalent radius of N: 0.71 Å.
    runs = [exploration([0.5, 0.5], [0.9, 1.2])]
    assert fates(choose(runs, [{"kind": "overlap", "fraction": 0.7}, WINDOW])) == ["overlap", "pick"]
    assert fates(choose(runs, [{"kind": "overlap", "fraction": 0.5}, WINDOW])) == ["pick", "pick"]


class MeddlingOptions(StepOptions):
    kind: Literal["meddling"] = "meddling"
    fate: str = ""
    score: float = 0.0


class Meddling(Step[MeddlingOptions]):
    """A third party's step that does not keep to the rules."""

    Options: ClassVar[type[MeddlingOptions]] = MeddlingOptions

    def apply(self, pool: Pool, context: Context) -> None:
        pool.fate[0] = self.options.fate
        pool.score[:] = self.options.score


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"fate": ""}, "changed the fate of frames that were out"),
        ({"fate": "accurate", "score": float("inf")}, "left frames in whose score is not finite"),
    ],
)
def test_a_step_that_breaks_the_rules_is_named(options: dict[str, Any], told: str) -> None:
    meddling = Meddling(MeddlingOptions.model_construct(kind="meddling", **options), Settings())
    with pytest.raises(InputError, match=rf"^select\[1\] \(meddling\): {told}"):
        run_steps([exploration([0.1, 0.5])], [step("window"), meddling], Context((), 9, 1))


def test_a_frame_leaves_once_and_for_a_reason() -> None:
    pool = Pool([exploration([0.1, 0.5])])
    pool.drop([1], "wet")
    with pytest.raises(ValueError, match="row 1 cannot be dropped as 'cold': it is out already"):
        pool.drop([0, 1], "cold")
    for reason in ("", "pick"):
        with pytest.raises(ValueError, match="expected a word that says why"):
            pool.drop([0], reason)
    assert pool.alive().tolist() == [0]


def test_without_a_class_nothing_is_concluded() -> None:
    with pytest.raises(InputError, match="left frames without a class"):
        choose([exploration([0.1])], [{"kind": "overlap"}])


def test_every_frame_knows_the_step_that_took_it_and_when_its_turn_was() -> None:
    explored = exploration([0.05, 0.5, 0.6, 0.7, 2.0, 0.9, np.nan, 0.3])
    steps = [
        {"kind": "window", "f_lo": 0.1, "f_hi": 1.0},
        {"kind": "spacing", "spacing_fs": 15.0},
        {"kind": "budget", "cap": 3},
    ]
    found = choose([explored], steps).frames
    assert [frame.step for frame in found] == [0, -1, 1, -1, 0, -1, -1, 2]
    assert [frame.turn for frame in found] == [-1, 3, 2, 1, -1, 0, -1, 4]
    short = choose([explored], steps, limit=2).frames
    assert [frame.step for frame in short] == [0, -1, -1, -1, 0, -1, -1, -1], "what is left of the budget is no step's"


def test_a_frame_of_the_test_set_is_never_picked() -> None:
    runs = [exploration([0.9, 0.5])]
    apart = frozenset([frame_hash(runs[0].frame(0))])
    choice = run_steps(runs, [step(**WINDOW)], Context([], 9, 1, kept_apart=apart))
    assert (choice.picks, fates(choice)) == ([(0, 1)], ["in_test_set", "pick"])
    assert choice.frames[0].frame_class == "candidate"


def test_a_frame_of_the_test_set_does_not_come_back_after_an_explosion() -> None:
    # The last sound frame and the first failed one come in by themselves.
    runs = [exploration([0.5, 0.5, 0.5, 9.0, 9.0])]
    steps, apart = [step(**WINDOW)], frozenset(frame_hash(runs[0].frame(place)) for place in (2, 3))
    free = run_steps(runs, steps, Context([], 9, 1, most_failed=0.2))
    kept = run_steps(runs, steps, Context([], 9, 1, most_failed=0.2, kept_apart=apart))
    assert {(0, 2), (0, 3)} <= set(free.picks)
    assert kept.picks
    assert not {(0, 2), (0, 3)} & set(kept.picks)
    assert fates(kept)[2:4] == ["in_test_set", "in_test_set"]


def test_frames_that_are_alike_are_counted_once() -> None:
    same = exploration([0.1] * 50, [1.1] * 50)
    assert choose([same, exploration([0.1] * 3, replica=1)], [WINDOW]).different == 1 + 3
