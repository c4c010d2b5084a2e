"""Every verdict, and that nothing is called converged wrongly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sparc_fw.campaign import Budget
from sparc_fw.documents import FrameClass, FrameVerdict, Verdict
from sparc_fw.selectors.base import Choice
from sparc_fw.selectors.calibration_records import Calibration, Coverage
from sparc_fw.selectors.convergence import Outcome, Progress, conclude
from sparc_fw.selectors.crossings import Onset
from sparc_fw.selectors.forgetting import Memory
from sparc_fw.selectors.goals import Convergence
from sparc_fw.selectors.observables import Change

Earlier = list[tuple[dict[str, float], Verdict]]


def choice(accurate: int, candidate: int = 0, failed: int = 0, picks: int | None = None) -> Choice:
    chosen = min(candidate, 5) if picks is None else picks
    fates: list[tuple[FrameClass, str, int]] = [
        ("accurate", "accurate", accurate),
        ("candidate", "pick", chosen),
        ("candidate", "too_similar", candidate - chosen),
        ("failed", "failed", failed),
    ]
    each = [(name, fate) for name, fate, count in fates for _ in range(count)]
    frames = [FrameVerdict(0, index, 0.1, name, fate) for index, (name, fate) in enumerate(each)]
    places = [(0, frame.index) for frame in frames if frame.fate == "pick"]
    return Choice(frames, places, (0.15, 1.0))


def past(unsure: float, verdict: Verdict = "continue", survived: float = 1.0) -> tuple[dict[str, float], Verdict]:
    return {"accurate": 1 - unsure, "candidate": unsure, "failed": 0.0, "survived": survived}, verdict


def judge(
    chosen: Choice,
    earlier: Earlier | None = None,
    survived_ps: float = 8.0,
    planned_ps: float = 8.0,
    convergence: dict[str, Any] | None = None,
    budget: dict[str, Any] | None = None,
    **progress: Any,
) -> Outcome:
    calm = [
        told == "continue" and found["accurate"] >= 0.95 and found["survived"] >= 0.9 for found, told in earlier or []
    ]
    values: dict[str, Any] = {"iteration": 1, "labels_spent": 100, "hours": 0.1, "calm": calm} | progress
    return conclude(
        chosen,
        Progress(planned_ps=planned_ps, survived_ps=survived_ps, earlier=earlier or [], **values),
        Convergence(**(convergence or {})),
        Budget(**(budget or {})),
    )


def test_converged_with_its_numbers() -> None:
    outcome = judge(choice(3158, 42))
    assert (outcome.verdict, outcome.go_on) == ("converged", False)
    assert outcome.sentence == "converged: 1.31 % of 3,200 frames above 0.15 eV/Å (limit 5 %), all of 8.0 ps survived"


def test_what_does_not_run_in_time_needs_no_survival() -> None:
    outcome = judge(choice(980, 20), survived_ps=0.0, planned_ps=0.0)
    assert (outcome.verdict, outcome.fractions["survived"]) == ("converged", 1.0)
    assert outcome.sentence.endswith("nothing ran in time")
    assert judge(choice(0), planned_ps=0.0).sentence == "stalled: no frame was explored (nothing ran in time)"


def test_fractions_and_counts_add_up() -> None:
    outcome = judge(choice(900, 80, 20), survived_ps=6.0)
    assert outcome.fractions == {"accurate": 0.9, "candidate": 0.08, "failed": 0.02, "survived": 0.75}
    assert outcome.counts == {"frames": 1000, "accurate": 900, "failed": 20, "pick": 5, "too_similar": 75}


def test_the_same_frame_again_and_again_is_no_exploration() -> None:
    same = replace(choice(500), different=1)
    outcome = judge(same)
    assert (outcome.verdict, outcome.calm) == ("stalled", False)
    assert "only 1 different frames were explored, 100 asked for" in outcome.sentence


def test_patience_counts_calm_iterations_alone() -> None:
    unreached = judge(choice(1000), unreached=["distance 0-1 was explored in only 3 of 4 parts"])
    assert not unreached.calm
    earlier = [past(0.0)]
    assert judge(choice(1000), earlier, calm=[unreached.calm], convergence={"patience": 2}).verdict == "continue"
    assert judge(choice(1000), earlier, calm=[True], convergence={"patience": 2}).verdict == "converged"


def test_unsure_frames_go_on() -> None:
    outcome = judge(choice(800, 200))
    assert (outcome.verdict, outcome.go_on) == ("continue", True)
    assert "5 frames picked; 20 % of the frames are unsure" in outcome.sentence


def test_failed_frames_count_as_unsure() -> None:
    assert judge(choice(940, 20, 40)).verdict == "continue"
    assert judge(choice(950, 20, 30)).verdict == "converged"


@pytest.mark.parametrize(
    ("chosen", "options", "words"),
    [
        (choice(50), {}, "only 50 frames were explored, 100 asked for"),
        (choice(1000), {"survived_ps": 4.0}, "only 50 % of the time was survived, 90 % asked for"),
        (choice(0), {"survived_ps": 0.0}, "no frame was explored (0.0 of 8.0 ps ran)"),
        (choice(0, 0, 1000), {}, "100 % of 1,000 frames failed"),
    ],
)
def test_never_converged_because_little_was_seen(chosen: Choice, options: dict[str, Any], words: str) -> None:
    outcome = judge(chosen, **options)
    assert outcome.verdict in ("stalled", "exploded")
    assert not outcome.go_on
    assert words in outcome.sentence


def test_died_early_but_with_picks_goes_on() -> None:
    outcome = judge(choice(980, 20), survived_ps=4.0)
    assert (outcome.verdict, outcome.go_on) == ("continue", True)


def test_patience_asks_for_a_row() -> None:
    strict = {"patience": 3}
    assert judge(choice(990, 10), [past(0.01)], convergence=strict).verdict == "continue"
    assert judge(choice(990, 10), [past(0.01), past(0.02)], convergence=strict).verdict == "converged"
    assert judge(choice(990, 10), [past(0.01), past(0.2), past(0.02)], convergence=strict).verdict == "continue"


def test_patience_does_not_count_iterations_that_died_or_exploded() -> None:
    strict = {"patience": 2}
    assert judge(choice(990, 10), [past(0.01, survived=0.5)], convergence=strict).verdict == "continue"
    assert judge(choice(990, 10), [past(0.01, "exploded")], convergence=strict).verdict == "continue"


def test_patience_goes_on_without_picks() -> None:
    outcome = judge(choice(1000), convergence={"patience": 2})
    assert (outcome.verdict, outcome.go_on) == ("continue", True)
    assert "calm for 1 iteration(s) in a row, 2 asked for" in outcome.sentence


def test_exploded_goes_on_while_there_are_picks() -> None:
    outcome = judge(choice(100, 100, 800))
    assert (outcome.verdict, outcome.go_on) == ("exploded", True)
    assert "80 % of 1,000 frames failed, above 1 eV/Å or broken (limit 50 %)" in outcome.sentence
    assert not judge(choice(200, 0, 800)).go_on


def test_exploded_too_often_in_a_row_stops_with_a_diagnosis() -> None:
    row: Earlier = [past(0.9, "exploded")]
    outcome = judge(choice(100, 100, 800), row)
    assert (outcome.verdict, outcome.go_on) == ("exploded", False)
    assert "stopped after 2 exploded iteration(s) in a row: explore shorter or colder" in outcome.sentence
    assert judge(choice(100, 100, 800), [*row, past(0.3)]).go_on


def test_exploded_says_when_runs_failed_first() -> None:
    chosen = choice(100, 100, 800)
    chosen.onsets = [Onset(0, 0.45, False), Onset(1, 0.12, True), Onset(2, 0.3, True)]
    told = "; the first failure came after 0.12 ps (replica 1), replica 0 went longest without one (0.45 ps); "
    assert told + "going on with 5 picks" in judge(chosen).sentence
    stopped = judge(chosen, [past(0.9, "exploded")])
    assert told + "stopped after 2 exploded iteration(s) in a row" in stopped.sentence
    assert "above 1 eV/Å" in stopped.sentence
    chosen.onsets = [Onset(1, 0.12, True)]
    assert "; the first failure came after 0.12 ps (replica 1); going on" in judge(chosen).sentence


def test_each_explosion_in_a_row_shortens_the_next_runs() -> None:
    patient = {"max_exploded": 5}
    once = judge(choice(100, 100, 800), convergence=patient)
    assert once.time_factor == 0.5
    assert once.sentence.endswith("going on with 5 picks, and with runs of 50 % of the planned time")
    row: Earlier = [past(0.9, "exploded"), past(0.3), *[past(0.9, "exploded")] * 2]
    assert judge(choice(100, 100, 800), row, convergence=patient).time_factor == 0.125
    assert judge(choice(100, 100, 800), row, convergence=patient | {"shorten": 1.0}).time_factor == 1.0
    assert judge(choice(800, 200), row).time_factor == 1.0
    # Nothing that follows no time can be shorter.
    assert judge(choice(100, 100, 800), planned_ps=0.0).time_factor == 1.0


def test_what_ran_shortened_is_not_converged_and_does_not_count_as_calm() -> None:
    row: Earlier = [past(0.9, "exploded")]
    calm = judge(choice(1000), row)
    assert (calm.verdict, calm.go_on) == ("continue", True)
    assert "runs lasted 50 % of the planned time, for the iteration before exploded" in calm.sentence
    # At full length it is.
    assert judge(choice(1000), [*row, past(0.0)]).verdict == "converged"
    assert not calm.calm
    again = judge(choice(1000), [*row, past(0.0)], calm=[False, calm.calm], convergence={"patience": 2})
    assert again.verdict == "continue"
    assert judge(choice(1000), [*row, past(0.0), past(0.0)], convergence={"patience": 2}).verdict == "converged"
    assert judge(choice(1000), row, convergence={"shorten": 1.0}).verdict == "converged"


def test_exploded_is_never_converged_however_wide_the_limit() -> None:
    wide = {"max_unsure_fraction": 1.0, "max_failed_fraction": 0.5}
    assert judge(choice(100, 0, 900), convergence=wide).verdict == "exploded"


def test_stalled_where_nothing_could_be_picked() -> None:
    outcome = judge(choice(800, 150, 50, picks=0))
    assert (outcome.verdict, outcome.go_on) == ("stalled", False)
    assert "nothing could be picked (800 accurate, 50 failed, 150 too_similar)" in outcome.sentence


@pytest.mark.parametrize(
    ("progress", "budget", "words"),
    [
        ({"labels_spent": 300}, {"labels": 300}, "300 of 300 labels spent"),
        ({"iteration": 3}, {"iterations": 4}, "4 of 4 iterations done"),
        ({"hours": 2.5}, {"hours": 2}, "2.5 of 2 hours passed"),
    ],
)
def test_exhausted(progress: dict[str, Any], budget: dict[str, Any], words: str) -> None:
    outcome = judge(choice(800, 200), budget=budget, **progress)
    assert (outcome.verdict, outcome.go_on) == ("exhausted", False)
    assert words in outcome.sentence
    assert "20 % of the frames are unsure" in outcome.sentence
    assert not judge(choice(100, 100, 800), budget=budget, **progress).go_on


def test_converged_at_the_end_of_the_budget_is_converged() -> None:
    assert judge(choice(1000), labels_spent=300).verdict == "converged"


def test_iterations_without_gain_stall_and_what_was_forgotten_is_named() -> None:
    known = [Memory("test", 0, (0.20, 0.20, 0.21, 0.20), (0.0,) * 4), Memory("1", 1, (0.1, 0.1, 0.2), (0.0,) * 3)]
    earlier = [past(0.2) for _ in range(3)]
    outcome = judge(choice(800, 200), earlier, iteration=3, memories=known)
    assert (outcome.verdict, outcome.go_on) == ("stalled", False)
    assert outcome.sentence.startswith("stalled: 3 iterations lowered neither the mean force error on the test set")
    assert outcome.sentence.endswith(
        "on labels held out in iteration 1 rose from 0.100 to 0.200 eV/Å, by 100 % (limit 50 %)"
    )
    patient = judge(choice(800, 200), earlier, iteration=3, memories=known, convergence={"stall_patience": 4})
    assert patient.verdict == "continue"
    converged = judge(choice(990, 10), earlier, iteration=3, memories=known)
    assert converged.verdict == "converged"
    assert "forgetting: " in converged.sentence


def test_what_moves_or_was_not_reached_is_not_converged() -> None:
    still, moving = Change("barrier moved by 0.01 ± 0 eV (limit 0.03)", True), Change("work was seen first", False)
    settled = judge(choice(990, 10), changes=[still])
    assert (settled.verdict, settled.go_on) == ("converged", False)
    assert settled.sentence.endswith("; barrier moved by 0.01 ± 0 eV (limit 0.03)")
    # Nothing is unsure, but another exploration is needed to see whether it stands still.
    unsettled = judge(choice(1000), changes=[still, moving])
    assert (unsettled.verdict, unsettled.go_on) == ("continue", True)
    assert unsettled.sentence.startswith("continue: 0 frames picked; work was seen first; ")
    narrow = judge(choice(990, 10), unreached=["distance 0-1 was explored in only 3 of 4 parts of 1 to 3 Å"])
    assert narrow.verdict == "continue"
    assert "5 frames picked; distance 0-1 was explored in only 3 of 4 parts" in narrow.sentence


def calibrated(accurate: int, within: float | None, known: bool = True, effective: float | None = None) -> Calibration:
    cover = [Coverage("picks", "held out", 30, 0.9, 0.7), Coverage("random", "held out", 20, 0.9, 0.87)]
    return Calibration(
        "h3",
        confidence=0.9,
        target=0.1,
        f_lo=0.08,
        f_hi=0.9,
        calibrated=known,
        labels=50,
        drawn=20,
        failed=1,
        accurate_labels=accurate,
        accurate_within=within,
        accurate_effective=accurate if effective is None else effective,
        coverage=cover,
    )


def test_with_a_target_convergence_asks_for_labels_of_accurate_frames() -> None:
    enough = judge(choice(990, 10), calibrations=[calibrated(9, 1.0)])
    assert enough.verdict == "converged"
    assert enough.sentence.endswith(
        "h3: thresholds 0.08 to 0.9 eV/Å from 50 labels, errors bounded for 90 %, found 87 % (held out)"
    )
    few = judge(choice(990, 10), calibrations=[calibrated(9, 1.0), calibrated(8, 1.0)])
    assert (few.verdict, few.go_on) == ("continue", True)
    assert "only 8 labels below f_lo of h3 were seen, 9 asked for" in few.sentence


def test_without_calibrated_thresholds_nothing_has_converged() -> None:
    outcome = judge(choice(990, 10), calibrations=[calibrated(40, 1.0, known=False)])
    assert outcome.verdict == "continue"
    assert "the thresholds of h3 are not set by labels yet" in outcome.sentence
    assert "h3: wide thresholds, 0.08 to 0.9 eV/Å: 50 labels tell too little to set them" in outcome.sentence


def test_labels_that_refute_the_lower_threshold_forbid_convergence() -> None:
    # Of 20 frames 2 are to be beyond it; 4 or more of them have a chance of 13 %, 5 or more of 4 %.
    assert judge(choice(990, 10), calibrations=[calibrated(20, 0.8)]).verdict == "converged"
    outcome = judge(choice(990, 10), calibrations=[calibrated(20, 0.75)])
    assert outcome.verdict == "continue"
    assert "of 20 labels below f_lo of h3 75 % are within 0.1 eV/Å, 90 % asked for" in outcome.sentence
    # Labels of old committees refute little.
    assert judge(choice(990, 10), calibrations=[calibrated(20, 0.75, effective=4.2)]).verdict == "converged"
