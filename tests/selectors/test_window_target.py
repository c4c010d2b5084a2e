"""Thresholds from labels instead of typed in: classes system by system, and frames drawn by lot."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from explored import ANY_SEED, exploration, step
from pydantic import ValidationError

from sparc_fw.selectors.base import Choice, Context
from sparc_fw.selectors.calibration_records import Calibration
from sparc_fw.selectors.pipeline import select
from sparc_fw.selectors.pool import Pool
from sparc_fw.selectors.shares import Share
from sparc_fw.trajectories import Exploration

TARGET: dict[str, Any] = {"kind": "window", "f_lo": 0.2, "f_hi": 1.0, "target_force_error_eV_per_A": 0.1}
Thresholds = Mapping[str, tuple[float, float]]


def calibration(system: str, f_lo: float, f_hi: float) -> Calibration:
    return Calibration(system, 0.9, 0.1, f_lo, f_hi, calibrated=True, labels=20, drawn=5, failed=0)


def choose(
    explorations: Sequence[Exploration],
    steps: Sequence[Mapping[str, Any]],
    thresholds: Thresholds | None = None,
    limit: int = 99,
    shares: Sequence[Share] = (),
    seed: int = ANY_SEED,
    labelled: Sequence[Atoms] = (),
) -> Choice:
    known = {name: calibration(name, *ends) for name, ends in (thresholds or {}).items()}
    context = Context(labelled, limit, seed, shares, calibration=known)
    return select(explorations, [step(**options) for options in steps], context)


def classes(choice: Choice, replica: int = 0) -> list[str]:
    return [frame.frame_class for frame in choice.frames if frame.replica == replica]


def drawn(choice: Choice) -> list[tuple[int, int]]:
    return [(frame.replica, frame.index) for frame in choice.frames if frame.drawn]


def test_each_system_has_the_thresholds_of_its_calibration() -> None:
    values = [0.1, 0.3, 0.7, 2.0]
    runs = [exploration(values, replica=n, system=name) for n, name in enumerate(("a", "b", "c"))]
    choice = choose(runs, [TARGET], {"a": (0.2, 0.5), "b": (0.5, 3.0)})
    assert classes(choice, 0) == ["accurate", "candidate", "failed", "failed"]
    assert classes(choice, 1) == ["accurate", "accurate", "candidate", "candidate"]
    # Nothing is known of it: what the campaign gives counts.
    assert classes(choice, 2) == ["accurate", "candidate", "candidate", "failed"]
    assert choice.windows == {"a": (0.2, 0.5), "b": (0.5, 3.0), "c": (0.2, 1.0)}
    assert choice.window == (0.2, 3.0)
    assert choice.thresholds == ("0.2 to 0.5 eV/Å", "0.5 to 3 eV/Å")


def test_fixed_thresholds_stay_whatever_was_calibrated() -> None:
    choice = choose([exploration([0.1, 0.3, 0.7, 2.0], system="a")], [{"kind": "window"}], {"a": (0.5, 3.0)})
    assert classes(choice) == ["accurate", "candidate", "candidate", "failed"]
    assert (choice.window, choice.windows) == ((0.15, 1.0), {})
    assert drawn(choice) == []


def test_of_one_system_the_window_is_its_own() -> None:
    choice = choose([exploration([0.1], system="a")], [TARGET], {"a": (0.0123456, 0.5)})
    assert choice.window == (0.0123456, 0.5)
    assert choice.thresholds == ("0.01235 eV/Å", "0.5 eV/Å")


def test_a_share_of_the_picks_is_drawn_and_the_others_are_the_worst() -> None:
    values = np.linspace(0.01, 0.9, 400)
    steps = [TARGET | {"random_share": 0.25}, {"kind": "difference"}, {"kind": "budget", "cap": 20}]
    choice = choose([exploration(values.tolist())], steps)
    lots = drawn(choice)
    assert (len(choice.picks), len(lots)) == (20, 5)
    assert choice.picks[15:] == lots
    assert [index for _, index in choice.picks[:15]] == [n for n in range(399, -1, -1) if (0, n) not in lots][:15]
    assert Counter(frame.fate for frame in choice.frames)["pick"] == 20


def test_without_a_number_fifteen_percent_are_drawn_and_at_least_one() -> None:
    runs = [exploration(np.linspace(0.01, 0.9, 400).tolist())]
    counts = [len(drawn(choose(runs, [TARGET, {"kind": "budget", "cap": cap}]))) for cap in (1, 6, 20, 40, 45)]
    assert counts == [1, 1, 3, 6, 7]
    assert len(drawn(choose(runs, [TARGET, {"kind": "budget", "cap": 40}], limit=10))) == 2
    assert choose(runs, [TARGET], limit=0).picks == []


def test_lots_fall_evenly_on_sound_frames() -> None:
    values = [0.01] * 50 + [0.5] * 50 + [3.0] * 30 + [0.5] * 10
    broken = exploration(values, [1.5 + n for n in range(130)] + [0.2] * 10)
    steps = [{"kind": "overlap"}, TARGET | {"random_share": 0.5, "lost_after_fs": 1e9}, {"kind": "budget", "cap": 40}]
    counts: Counter[int] = Counter()
    for seed in range(50):
        lots = drawn(choose([broken], steps, seed=seed))
        assert len(lots) == 20
        counts.update(index for _, index in lots)
    # 1,000 lots among 100 frames that have not failed, accurate ones among them.
    assert max(counts) < 100
    assert sum(counts[n] for n in range(50)) == pytest.approx(500, abs=60)


def test_nothing_is_drawn_of_a_replica_that_is_lost() -> None:
    run = exploration([0.1, *[5.0] * 10, *[0.1] * 200])
    choice = choose([run], [TARGET | {"random_share": 0.9}, {"kind": "budget", "cap": 50}])
    assert drawn(choice) == [(0, 0)]


def test_no_later_step_takes_a_lot_away_and_others_keep_their_distance() -> None:
    # All frames nearly alike: by difference alone one pick would be left.
    same = exploration([0.5] * 30, [1.2 + 1e-4 * n for n in range(30)])
    steps = [TARGET | {"random_share": 0.2}, {"kind": "difference"}, {"kind": "spacing", "spacing_fs": 40.0}]
    choice = choose([same], [*steps, {"kind": "budget", "cap": 20}])
    assert len(drawn(choice)) == len(choice.picks) == 4
    apart = choose([exploration([0.5] * 30)], [steps[0], steps[2], {"kind": "budget", "cap": 20}])
    lots = [index for _, index in drawn(apart)]
    others = [index for _, index in apart.picks[: -len(lots)]]
    assert others
    assert min(abs(one - other) for one in others for other in lots) >= 4


def test_a_screen_behind_takes_a_lot_back_and_its_place_goes_to_another() -> None:
    # Every other frame has two atoms on top of each other.
    run = exploration([0.5] * 40, [0.3 if n % 2 else 1.5 + 0.5 * n for n in range(40)])
    target = TARGET | {"random_share": 0.5, "lost_after_fs": 1e9}
    plain = drawn(choose([run], [target, {"kind": "budget", "cap": 20}]))
    sound = [(replica, index) for replica, index in plain if index % 2 == 0]
    assert (len(plain), 0 < len(sound) < 10) == (10, True)
    choice = choose([run], [target, {"kind": "overlap"}, {"kind": "budget", "cap": 20}])
    assert drawn(choice) == sound
    assert sorted(choice.picks) == [(0, index) for index in range(0, 40, 2)]
    assert [frame.fate for frame in choice.frames if frame.index % 2] == ["overlap"] * 20
    assert {frame.step for frame in choice.frames if frame.index % 2} == {1}


def test_lots_count_in_the_caps_of_systems_and_in_their_shares() -> None:
    runs = [exploration([0.5] * 100, replica=n, system=name) for n, name in enumerate(("a", "b"))]
    steps = [TARGET | {"random_share": 0.2}, {"kind": "budget", "cap": 20, "per_system": 8}]
    choice = choose(runs, steps)
    assert Counter(replica for replica, _ in drawn(choice)) == {0: 2, 1: 2}
    assert Counter(replica for replica, _ in choice.picks) == {0: 8, 1: 8}
    # A cap of systems or replicas is no bound for lots, but leaves no room beside them.
    for cap in ("per_system", "per_replica"):
        capped = choose(runs, [TARGET | {"random_share": 0.5}, {"kind": "budget", "cap": 20, cap: 3}])
        assert Counter(replica for replica, _ in capped.picks) == {0: 5, 1: 5}
        assert sorted(capped.picks) == sorted(drawn(capped))
    shares = [Share(frozenset(["a"]), 0.5, 1), Share(frozenset(["b"]), 0.5, 50)]
    shared = choose(runs, steps, shares=shares)
    assert Counter(replica for replica, _ in shared.picks) == {0: 1, 1: 8}
    assert Counter(replica for replica, _ in drawn(shared)) == {0: 1, 1: 3}


def test_systems_take_turns_whatever_their_number_of_frames() -> None:
    runs = [exploration([0.5] * 300, system="a"), exploration([0.5] * 3, [0.7, 0.8, 0.9], 1, "b")]
    lots = drawn(choose(runs, [TARGET | {"random_share": 0.5}, {"kind": "budget", "cap": 20}]))
    assert Counter(replica for replica, _ in lots) == {0: 7, 1: 3}


def test_no_lot_falls_on_what_is_labelled_nor_on_a_twin() -> None:
    # Five geometries, each of them seen by both systems and 20 times.
    bonds = [1.2 + 0.1 * (n % 5) for n in range(100)]
    runs = [exploration([0.5] * 100, bonds, n, name) for n, name in enumerate("ab")]
    labelled = [runs[0].frame(2), runs[0].frame(4)]
    # Moved by less than a hash tells, and stored by way of the other system.
    labelled[0].positions += 1e-8
    labelled[0].info["system"] = "b"
    steps = [TARGET | {"random_share": 0.5}, {"kind": "budget", "cap": 20}]
    assert sorted(index % 5 for _, index in drawn(choose(runs, steps))) == [0, 1, 2, 3, 4]
    assert sorted(index % 5 for _, index in drawn(choose(runs, steps, labelled=labelled))) == [0, 1, 3]


def test_what_is_out_cannot_be_drawn() -> None:
    pool = Pool([exploration([0.1, 0.5])])
    pool.drop([0], "wet")
    with pytest.raises(ValueError, match="row 0 cannot be drawn: its fate is 'wet' already"):
        pool.draw([0, 1])
    pool.draw([1])
    with pytest.raises(ValueError, match="row 1 cannot be drawn: its fate is 'pick' already"):
        pool.draw([1])
    with pytest.raises(ValueError, match="row 1 cannot be dropped as 'wet': it is out already"):
        pool.drop([1], "wet")
    with pytest.raises(ValueError, match="row 0 cannot be taken back: it was not drawn"):
        pool.take_back(np.array([1, 0]))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"random_share": 0.0}, "random_share: found 0, expected more: without frames drawn by lot nothing is known"),
        ({"confidence": 1.0}, "confidence"),
        ({"confidence": 0.0}, "confidence"),
        ({"target_force_error_eV_per_A": 0.0}, "target_force_error_eV_per_A"),
        ({"measure": "energy"}, "target_force_error_eV_per_A: found it beside the measure energy, expected a measure"),
        (
            {"target_force_error_eV_per_A": None, "confidence": 0.9},
            "confidence: found it without target_force_error_eV_per_A, expected both or none",
        ),
        (
            {"target_force_error_eV_per_A": None, "random_share": 0.1},
            "random_share: found it without target_force_error_eV_per_A",
        ),
    ],
)
def test_a_target_that_makes_no_sense_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        step(**{**TARGET, **options})


def test_a_target_comes_back_from_the_store() -> None:
    made = step(**TARGET).options
    again = step(**json.loads(json.dumps(made.model_dump(mode="json")))).options
    assert again == made
    assert again.goal == (0.1, 0.9, (0.2, 1.0))
    assert step("window").options.goal is None
