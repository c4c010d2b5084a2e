"""Explorations that ask for labels while they run: paid once, learned, and part of the campaign."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fireworks import LaunchPad

from sparc_fw.dataset import dataset
from sparc_fw.documents import ON_THE_FLY
from sparc_fw.errors import InputError
from sparc_fw.firetasks.base import make_backend
from sparc_fw.loading import LoadedCampaign, check_campaign
from sparc_fw.planning import plan_campaign
from sparc_fw.potentials.committee import force_deviation
from sparc_fw.potentials.deepmd import DeepMDPotential
from sparc_fw.potentials.deepmd_input import DeepMDOptions
from sparc_fw.sentences import closing_sentences
from sparc_fw.settings import Settings
from sparc_fw.status import campaign_status
from sparc_fw.store import Store
from sparc_fw.submission import submit
from sparc_fw.testing import LOG, BlurredMorsePotential

Loader = Callable[..., LoadedCampaign]
Work = Callable[..., None]
# 18 labels to train on leave the members 0.3 eV/Å off, each new one counts for ten of them.
LEARNER = {
    "kind": "on_the_fly",
    "replicas": 2,
    "duration_ps": [0.1],
    "temperature_K": [300.0],
    "limit_eV_per_A": 0.1,
    "max_labels": 4,
    "refit_steps": 1,
    "frame_every_fs": 5.0,
}


def learners(**options: Any) -> dict[str, Any]:
    return {"explorer": {**LEARNER, **options}, "test": None, "budget": {"labels": 60, "iterations": 2}}


def until_selected(launchpad: LaunchPad, work: Work) -> None:
    """Work until the first iteration has selected."""
    finish(launchpad, work, "select", 1)


def finish(launchpad: LaunchPad, work: Work, stage: str, count: int) -> None:
    """Work until so many Fireworks of a stage of the first iteration are completed."""
    query = {"spec.stage": stage, "spec.iteration": 0, "state": "COMPLETED"}
    while launchpad.fireworks.count_documents(query) < count:
        assert launchpad.fireworks.find_one({"state": "FIZZLED"}) is None
        work(1)


def on_the_fly(store: Store, iteration: int) -> list[dict[str, Any]]:
    return list(store.framesets.find({"role": ON_THE_FLY, "iteration": iteration}).sort("_id", 1))


def test_labels_are_learned_and_join_the_next_iteration(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LOG, str(tmp_path / "log"))
    loaded = load(**learners())
    submit(store, launchpad, loaded)
    until_selected(launchpad, work)
    sets = on_the_fly(store, 1)
    assert [record["replica"] for record in sets] == [0, 1]
    # Both runs begin with the same frame, which is labelled once.
    assert sets[0]["keys"][0] == sets[1]["keys"][0]
    learned = {key for record in sets for key in record["keys"]}
    assert 1 <= len(learned) <= 7
    assert all(frame.info["origin"] == ON_THE_FLY for record in sets for frame in store.frames(record))
    # Every one was calculated once.
    assert set(Counter((tmp_path / "log").read_text().split()).values()) == {1}
    assert learned <= set(store.paid_keys("trimer", 0))
    assert not learned & set(store.paid_keys("trimer", 0, explored=False))
    # They are trained on, or held out, from the next iteration on.
    for iteration, expected in ((0, 0), (1, len(learned))):
        both = dataset(store, loaded.campaign, iteration)
        origins = [label.frame.info["origin"] for part in (both.train, both.validation) for label in part]
        assert origins.count(ON_THE_FLY) == expected
    exploration = store.exploration("trimer", 0, 0)
    assert exploration is not None
    steps = exploration.trajectories[0].series["labelled_step"]
    assert len(steps) == len(sets[0]["keys"])
    assert all(step % 10 == 0 for step in steps)
    # The committee that learned judges the run: 18 labels trained on, and each new one counted for ten.
    files = [store.files.path(model["file"], model["suffix"]) for model in store.committee("trimer", 0)]
    potential = make_backend("potential", loaded.campaign.potential, Settings())
    before = force_deviation([potential.load(file) for file in files], exploration.trajectories[0])
    assert (before[steps.astype(int) // 10] > 0.1).all()
    assert exploration.deviation == pytest.approx(before * 18 / (18 + 10 * len(steps)))
    status = campaign_status(store, launchpad, "trimer")
    row = status["iterations"][0]
    assert (row["labels_paid_to_train"], row["labels_paid"]) == (20, 20 + len(learned))
    assert [run["labels"] for run in row["learned"]] == [len(record["keys"]) for record in sets]
    told = f"Iteration 0: replica 0 learned {len(steps)} labels on the fly and ended: {exploration.ended}."
    assert told in closing_sentences(status)
    work()
    assert campaign_status(store, launchpad, "trimer")["state"] == "completed"


def test_a_run_that_needs_more_labels_than_it_may_have_ends(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work
) -> None:
    # 20 of 23 labels are spent at the start, so that two replicas may ask for one each.
    sections = learners(limit_eV_per_A=0.01) | {"budget": {"labels": 23, "iterations": 2}}
    submit(store, launchpad, load(**sections))
    until_selected(launchpad, work)
    for replica, record in enumerate(on_the_fly(store, 1)):
        assert len(record["keys"]) == 1
        exploration = store.exploration("trimer", 0, replica)
        assert exploration is not None
        assert exploration.ended.endswith("(limit 0.01 eV/Å) at step 10, after the 1 label(s) that it could ask for")
        assert exploration.survived_ps == pytest.approx(0.005)
    # Both began with the same frame.
    assert store.count_paid(store.paid_keys("trimer", 0)) == 21


def test_a_run_that_is_repeated_pays_nothing_and_changes_nothing(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(store, launchpad, load(**learners()))
    until_selected(launchpad, work)
    sets, explorations = on_the_fly(store, 1), list(store.explorations.find({}).sort("_id", 1))
    # As if the explorations had been killed before they wrote down anything but labels.
    store.framesets.delete_many({"role": ON_THE_FLY})
    store.explorations.delete_many({})
    monkeypatch.setenv(LOG, str(tmp_path / "log"))
    for firework in launchpad.fireworks.find({"spec.stage": "explore", "spec.iteration": 0}):
        launchpad.rerun_fw(firework["fw_id"])
    finish(launchpad, work, "explore", 2)
    assert not (tmp_path / "log").exists()
    assert [record["keys"] for record in on_the_fly(store, 1)] == [record["keys"] for record in sets]
    again = list(store.explorations.find({}).sort("_id", 1))
    assert [record["ended"] for record in again] == [record["ended"] for record in explorations]


def test_a_label_that_fails_ends_the_run_and_is_counted(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work
) -> None:
    labeler = {"kind": "morse", "fail_every": 2, "retries": {}}
    labeling = {"min_label_fraction": 0.1}
    submit(store, launchpad, load(**learners(limit_eV_per_A=0.02), labeler=labeler, labeling=labeling))
    until_selected(launchpad, work)
    ended = [record["ended"] for record in on_the_fly(store, 1)]
    assert any(sentence.endswith("and its label failed: not_converged") for sentence in ended)
    keys = [key for record in on_the_fly(store, 1) for key in record["keys"]]
    assert store.label_counts(keys)["failed"] >= 1


def test_what_cannot_learn_on_the_fly_is_refused(load: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(BlurredMorsePotential, "check_refit")
    with pytest.raises(InputError, match=r"explorer: the potential 'blurred_morse' cannot learn on the fly"):
        check_campaign(load(**learners()), Settings())
    with pytest.raises(InputError, match=r"potential.compress: found true, expected false"):
        DeepMDPotential(DeepMDOptions(compress=True), Settings()).check_refit()
    with pytest.raises(InputError, match=r"driver: found one, expected none: the committee itself is what learns"):
        load(**learners(driver={"kind": "xtb"}))


def test_a_plan_counts_what_runs_may_ask_for(load: Loader) -> None:
    assert plan_campaign(load(**learners())).labels == [20, 18]
