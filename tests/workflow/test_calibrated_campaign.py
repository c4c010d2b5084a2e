"""Campaigns whose thresholds set themselves, on a real LaunchPad."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from fireworks import LaunchPad

from sparc_fw.calibrating import calibrations_for, known_labels
from sparc_fw.firetasks.base import make_backend
from sparc_fw.loading import LoadedCampaign, campaign_warnings
from sparc_fw.potentials.deepmd import DeepMDPotential
from sparc_fw.potentials.deepmd_input import DeepMDOptions
from sparc_fw.replaying import replay
from sparc_fw.report import write_report
from sparc_fw.selectors.calibration_records import Calibration
from sparc_fw.settings import Settings
from sparc_fw.status import campaign_status
from sparc_fw.store import Store
from sparc_fw.submission import submit

Loader = Callable[..., LoadedCampaign]
Work = Callable[..., None]
TARGET, WIDE = 0.15, (0.05, 5.0)


def window(**options: Any) -> dict[str, Any]:
    given = {"f_lo": WIDE[0], "f_hi": WIDE[1], "target_force_error_eV_per_A": TARGET, "confidence": 0.8}
    return {"kind": "window", **given, "random_share": 0.4, **options}


def steps(**options: Any) -> list[dict[str, Any]]:
    return [{"kind": "overlap"}, window(**options), {"kind": "difference"}, {"kind": "budget", "cap": 10}]


@pytest.fixture
def calibrated(store: Store, launchpad: LaunchPad, load: Loader, work: Work) -> str:
    """A campaign of several iterations that ran to its end."""
    campaign_id = submit(store, launchpad, load(select=steps(), budget={"labels": 50, "iterations": 9}))
    work()
    return campaign_id


def errors_by_hand(store: Store, campaign_id: str, iteration: int, picks: list[Atoms]) -> np.ndarray:
    """What the member that validation prefers has wrong by construction, largest over the atoms (eV/Å)."""
    report = store.report_records(campaign_id)[iteration]
    model = store.committee(campaign_id, iteration)[report.best]
    values = json.loads(store.files.get(model["file"]))
    phase = np.random.default_rng(values["seed"]).uniform(0, 2 * np.pi, (3, 3))
    wrong = values["blur"] * np.sin(np.array([frame.positions for frame in picks]) + phase)
    return np.asarray(np.linalg.norm(wrong, axis=2).max(axis=1))


@pytest.mark.slow
def test_thresholds_are_wide_at_first_and_then_follow_the_labels(
    store: Store, launchpad: LaunchPad, calibrated: str, work: Work, tmp_path: Path
) -> None:
    status = campaign_status(store, launchpad, calibrated)
    rows = status["iterations"]
    assert [row["labels"] for row in rows] == [20, 30, 40, 50]
    assert rows[0]["windows"] == {"h3": list(WIDE)}
    assert "h3: wide thresholds, 0.05 to 5 eV/Å: 0 labels tell too little to set them" in rows[0]["sentence"]
    assert "the thresholds of h3 are not set by labels yet" in rows[0]["sentence"]
    found = [row["calibrations"][0] for row in rows]
    assert [(each["labels"], each["drawn"], each["calibrated"]) for each in found] == [
        (0, 0, False),
        (10, 4, True),
        (20, 8, True),
        (30, 12, True),
    ]
    for row, each in zip(rows[1:], found[1:], strict=True):
        assert row["windows"] == {"h3": [each["f_lo"], each["f_hi"]]} != rows[0]["windows"]
        assert f"h3: thresholds {each['f_lo']:.3g} to {each['f_hi']:.3g} eV/Å from" in row["sentence"]
        assert {cover["kind"] for cover in each["coverage"]} == {"random", "picks"}
    assert {cover["source"] for cover in found[2]["coverage"]} == {"held out", "new labels"}
    # Every class follows from the thresholds of its iteration.
    selection = store.selection(calibrated, 2)
    assert selection is not None
    f_lo, f_hi = selection.window
    judged = [frame for frame in selection.frames if frame.fate not in ("overlap", "nan")]
    for frame in judged:
        expected = "failed" if frame.deviation > f_hi else "accurate" if frame.deviation < f_lo else "candidate"
        assert frame.frame_class == expected
    json.dumps(status, allow_nan=False)

    _labels_are_compared_with_the_committee_that_had_not_seen_them(store, calibrated)
    _report_shows_the_calibration(store, status, tmp_path)
    _replay_judges_by_the_same_thresholds(store, calibrated)
    _made_again_it_is_the_same(store, calibrated)
    before = list(store.calibrations.find({}))
    launchpad.rerun_fw(launchpad.fireworks.find_one({"spec.stage": "select", "spec.iteration": 1})["fw_id"])
    work()
    assert list(store.calibrations.find({})) == before
    assert campaign_status(store, launchpad, calibrated)["iterations"][1]["picks"] == rows[1]["picks"]
    _what_learned_on_the_fly_is_left_out(store, calibrated)


def _labels_are_compared_with_the_committee_that_had_not_seen_them(store: Store, campaign_id: str) -> None:
    known = store.calibrated_labels(campaign_id, "h3")
    assert len(known[0]) == 0
    for iteration in range(3):
        selection = store.selection(campaign_id, iteration)
        assert selection is not None
        assert len(selection.picks) == len(selection.places) == 10
        by_place = {(frame.replica, frame.index): frame for frame in selection.frames}
        order = np.lexsort(np.transpose(selection.places)[::-1])
        picked = [by_place[selection.places[n]] for n in order]
        pairs = known[iteration + 1]
        assert pairs.sigma.tolist() == [frame.deviation for frame in picked]
        assert pairs.random.tolist() == [frame.drawn for frame in picked]
        assert Counter(frame.drawn for frame in picked) == {True: 4, False: 6}
        by_hand = errors_by_hand(store, campaign_id, iteration, [selection.picks[n] for n in order])
        np.testing.assert_allclose(pairs.error, by_hand, rtol=1e-6)
        explored = [store.exploration(campaign_id, iteration, replica) for replica in (0, 1)]
        for (replica, index), frame in zip(selection.places, selection.picks, strict=True):
            exploration = explored[replica]
            assert exploration is not None
            assert exploration.frame(index).positions.tolist() == frame.positions.tolist()
    weights = known_labels(store, campaign_id, "h3", 3).weight
    assert weights.tolist() == [0.25] * 10 + [0.5] * 10 + [1.0] * 10


def again(store: Store, campaign_id: str, iteration: int) -> dict[str, Calibration]:
    """The calibrations of an iteration, made anew."""
    campaign = store.campaign(campaign_id)
    store.calibrations.delete_many({"iteration": {"$gte": iteration}})
    return calibrations_for(store, campaign, make_backend("potential", campaign.potential, Settings()), iteration)


def _replay_judges_by_the_same_thresholds(store: Store, campaign_id: str) -> None:
    campaign, settings = store.campaign(campaign_id), Settings()
    before = list(store.calibrations.find({}))
    assert all(each.now == each.then for each in replay(store, settings, campaign))
    # A goal that nobody can tell from the campaign's own is fitted anew, to the same labels.
    other = [
        step.model_copy(update={"confidence": 0.8 - 1e-9}) if step.classifies else step for step in campaign.select
    ]
    anew = replay(store, settings, campaign.model_copy(update={"select": other}))
    for each in anew:
        assert each.now.window == pytest.approx(each.then.window)
        assert each.now.picks == each.then.picks
    assert list(store.calibrations.find({})) == before, "nothing is stored"


def _made_again_it_is_the_same(store: Store, campaign_id: str) -> None:
    before = store.calibrations_of(campaign_id)[3]
    assert again(store, campaign_id, 3) == before
    # Known labels are not looked at twice.
    assert (
        calibrations_for(store, store.campaign(campaign_id), DeepMDPotential(DeepMDOptions(), Settings()), 3) == before
    )


def _what_learned_on_the_fly_is_left_out(store: Store, campaign_id: str) -> None:
    selection = store.selection(campaign_id, 0)
    assert selection is not None
    others = sum(replica == 1 for replica, _ in selection.places)
    assert 0 < others < 10
    store.add_on_the_fly(campaign_id, 0, 0, selection.picks[:1], ["asked on the way"], {}, "completed")
    assert again(store, campaign_id, 1)["h3"].labels == others
    # What the committee had a label of tells nothing either.
    frameset = store.frameset(campaign_id, 1, "train")
    assert frameset is not None
    known = next(key for key, (replica, _) in zip(frameset["keys"], selection.places, strict=True) if replica == 1)
    store.framesets.update_one({"iteration": 0, "role": "train"}, {"$push": {"keys": known}})
    assert again(store, campaign_id, 1)["h3"].labels == others - 1


def _report_shows_the_calibration(store: Store, status: dict[str, Any], folder: Path) -> None:
    files, _ = write_report(store, status, folder)
    assert "calibration_h3.png" in [path.name for path in files]
    text = files[0].read_text()
    assert "![calibration_h3.png](calibration_h3.png)" in text
    assert "For a force error of 0.15 eV/Å." in text
    assert "| 0 | h3 | 0 (0, 0) | 80 | – / – | – / – | – | – | 0.05 (wide) | 5 (wide) | 0 |" in text
    last = status["iterations"][-1]["calibrations"][0]
    assert f"| 3 | h3 | 30 (12, 0) | 80 | {_covered(last, 'random')} | {_covered(last, 'picks')} |" in text
    assert last["sentence"] in text


def _covered(found: dict[str, Any], kind: str) -> str:
    rows = [row for row in found["coverage"] if row["kind"] == kind]
    return " / ".join(f"{100 * row['found']:.0f} of {row['labels']}" for row in rows)


@pytest.mark.slow
def test_two_systems_with_failing_labels_have_thresholds_of_their_own(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work
) -> None:
    systems = [{"name": name, "structure": "trimer.xyz", "spin": spin} for name, spin in (("a", 1), ("b", 3))]
    start = [{"kind": "displacements", "system": name, "amplitude_A": 0.1, "frames": 20} for name in "ab"]
    loaded = load(
        systems=systems,
        start=start,
        labeler={"kind": "morse", "fail_every": 7},
        labeling={"min_label_fraction": 0.3},
        select=steps(random_share=0.8, target_force_error_eV_per_A=0.2),
        explorer={"kind": "random_walk", "replicas": 1, "duration_ps": [0.5]},
        augment={"kind": "noisy_copies"},
        budget={"labels": 200, "iterations": 3},
        test=None,
    )
    campaign_id = submit(store, launchpad, loaded)
    work()
    rows = campaign_status(store, launchpad, campaign_id)["iterations"]
    for row in rows:
        assert list(row["windows"]) == ["a", "b"]
        assert [found["system"] for found in row["calibrations"]] == ["a", "b"]
        # Copies of the picks are no frames that somebody explored.
        picks_before = sum(one["picks"] for one in rows[: row["iteration"]])
        assert sum(found["labels"] for found in row["calibrations"]) == picks_before
    assert [row["drawn"] for row in rows] == [8, 8, 0]
    last = rows[-1]["calibrations"]
    assert last[0]["f_lo"] != last[1]["f_lo"]
    lost = rows[-1]["labels_failed"] - rows[0]["labels_failed"]
    assert 0 < sum(found["failed"] for found in last) < lost


def test_a_target_that_no_run_can_tell_of_is_warned_of(load: Loader) -> None:
    learner = {"kind": "on_the_fly", "duration_ps": [0.1], "temperature_K": [300.0], "limit_eV_per_A": 0.1}
    walk = {"kind": "random_walk", "duration_ps": [0.1]}
    told = campaign_warnings(load(select=steps(), explorer=learner), Settings())
    assert [x for x in told if x.startswith("select[1]: target_force_error_eV_per_A: all explorers learn on the fly")]
    for sections in ({"select": steps(), "explorer": [learner, walk]}, {"explorer": learner}):
        assert not any("target_force" in x for x in campaign_warnings(load(**sections), Settings()))
