"""Labels are paid once, also at the same moment; wrong ones are found; frames can be labelled anew."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from fireworks import LaunchPad

from sparc_fw.batches import label_batches
from sparc_fw.errors import InputError
from sparc_fw.launchpad import write_launchpad_file
from sparc_fw.loading import LoadedCampaign
from sparc_fw.processes import own_mark
from sparc_fw.records import label_to_record
from sparc_fw.registry import backend_classes
from sparc_fw.settings import Settings
from sparc_fw.status import campaign_status
from sparc_fw.store import Store
from sparc_fw.submission import submit
from sparc_fw.testing import LOG, MorseLabeler
from sparc_fw.workflow import build_iteration

Loader = Callable[..., LoadedCampaign]
Work = Callable[..., None]
BLURRED = {"kind": "blurred_morse", "blur": 2.0}
LAUNCH = (
    "import sys; from fireworks import FWorker, LaunchPad; from fireworks.core.rocket_launcher import launch_rocket;"
)
LAUNCH += "launch_rocket(LaunchPad.from_file(sys.argv[1]), FWorker('w'), fw_id=int(sys.argv[2]), strm_lvl='ERROR')"


@pytest.fixture
def twins(store: Store, launchpad: LaunchPad, load: Loader, work: Work) -> list[int]:
    """The first label Fireworks of two campaigns that ask for the same frames."""
    ids = []
    for name in ("one", "two"):
        labeler = {"kind": "morse", "seconds": 0.05, "force_cap": None}
        submit(store, launchpad, load(name=name, labeler=labeler, labeling={"batch": 20}, test=None))
        start = launchpad.fireworks.find_one({"spec.campaign_id": name, "spec.stage": "start"})
        launchpad.set_priority(start["fw_id"], 10**9)
        work(1)
        label = launchpad.fireworks.find_one({"spec.campaign_id": name, "spec.stage": "label"})
        ids.append(int(label["fw_id"]))
    return ids


def test_what_did_not_converge_is_tried_again_by_who_tries_more(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work
) -> None:
    counts = []
    more = {"not_converged": [{"fail_every": 0}]}
    for name, retries in (("as before", {}), ("no more", {}), ("more", more), ("once again", more)):
        labeler = {"kind": "morse", "force_cap": None, "fail_every": 3, "retries": retries}
        campaign = name.replace(" ", "_")
        submit(store, launchpad, load(name=campaign, labeler=labeler, labeling={"batch": 20}, test=None))
        for stage in ("start", "label"):
            firework = launchpad.fireworks.find_one({"spec.campaign_id": campaign, "spec.stage": stage})
            launchpad.set_priority(firework["fw_id"], 10**9)
            work(1)
        counts.append(launchpad.launches.find_one({"fw_id": firework["fw_id"]})["action"]["stored_data"])
    failed = counts[0]["failed"]
    assert 0 < failed < 20
    assert [(count["computed"], count["failed"]) for count in counts] == [
        (20, failed),
        (0, failed),
        (failed, 0),
        (0, 0),
    ]


def start_launch(launchpad: LaunchPad, uri: str, fw_id: int, folder: Path) -> subprocess.Popen[bytes]:
    file = folder / "my_launchpad.yaml"
    write_launchpad_file(uri, launchpad.name, file)
    (folder / str(fw_id)).mkdir(exist_ok=True)
    return subprocess.Popen([sys.executable, "-c", LAUNCH, str(file), str(fw_id)], cwd=folder / str(fw_id))


def test_two_workers_at_the_same_moment_compute_each_label_once(
    store: Store,
    launchpad: LaunchPad,
    twins: list[int],
    mongo_uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(LOG, str(tmp_path / "log"))
    processes = [start_launch(launchpad, mongo_uri, fw_id, tmp_path) for fw_id in twins]
    assert [process.wait() for process in processes] == [0, 0]
    calculated = Counter((tmp_path / "log").read_text().split())
    assert len(calculated) == 20
    assert set(calculated.values()) == {1}
    counts = [launchpad.launches.find_one({"fw_id": fw_id})["action"]["stored_data"] for fw_id in twins]
    assert [count["computed"] + count["hits"] for count in counts] == [20, 20]
    hits = [campaign_status(store, launchpad, name)["label_hits"] for name in ("one", "two")]
    assert sum(hit["labels"] for hit in hits) == 20
    assert sum(hit["seconds"] for hit in hits) >= 20 * 0.05
    assert store.claims.count_documents({}) == 0
    record = store.labels.find_one({})
    assert record is not None
    launch = launchpad.launches.find_one({"fw_id": record["computed_by"]["fw_id"]})
    assert record["computed_by"]["launch_id"] == launch["launch_id"]
    assert record["computed_by"]["directory"] == str(tmp_path / str(record["computed_by"]["fw_id"]))


def test_the_claim_of_a_killed_worker_is_taken_over(
    store: Store, launchpad: LaunchPad, twins: list[int], mongo_uri: str, tmp_path: Path, work: Work
) -> None:
    process = start_launch(launchpad, mongo_uri, twins[0], tmp_path)
    while not (store.labels.count_documents({}) and store.claims.count_documents({})):
        assert process.poll() is None, "the worker was to be killed at work"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = store.labels.count_documents({})
    assert 0 < kept < 20
    assert start_launch(launchpad, mongo_uri, twins[1], tmp_path).wait() == 0
    assert store.labels.count_documents({}) == 20
    stored = launchpad.launches.find_one({"fw_id": twins[1]})["action"]["stored_data"]
    assert (stored["computed"], stored["hits"]) == (20 - kept, kept)


def test_claims_belong_to_one_until_they_expire(store: Store) -> None:
    mine, elsewhere = own_mark(), "another-machine:1:1"
    assert store.claim(["a", "b"], elsewhere) == ["a", "b"]
    assert store.claim(["b", "c"], mine) == ["c"]
    assert store.claim(["c"], mine) == ["c"]
    store.claim_seconds = 0.0
    store._renew(elsewhere)
    assert store.claim(["a", "b", "c"], mine) == ["a", "b", "c"]
    store.release(["a"], elsewhere)
    assert store.claims.count_documents({"owner": mine}) == 3


def spoil(store: Store, key: str, shift: float) -> None:
    """Make a stored label that of a wrong state."""
    record = store.labels.find_one({"_id": key})
    assert record is not None
    forces = np.frombuffer(record["forces"]) + 1.0
    store.labels.update_one({"_id": key}, {"$set": {"energy": record["energy"] + shift, "forces": forces.tobytes()}})


def test_a_wrong_label_is_suspected_computed_again_and_dropped(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work
) -> None:
    start = [{"kind": "displacements", "amplitude_A": 0.1, "frames": 40}]
    labeling = {"batch": 40, "suspects": {"neighbours": 20}}
    budget = {"labels": 40, "iterations": 1}
    submit(store, launchpad, load(start=start, labeling=labeling, potential=BLURRED, budget=budget, test=None))
    work(2)
    keys = store.training_keys("trimer", 0)[0]
    assert store.label_counts(keys)["ok"] == 40
    spoil(store, keys[7], 6.0)
    work()
    status = campaign_status(store, launchpad, "trimer")
    assert status["state"] == "completed"
    row = status["iterations"][0]
    assert row["suspects"] == {"pending": 0, "confirmed": 0, "dropped": 1, "unchecked": 0}
    assert row["label_failures"] == {"wrong_state": 1}
    assert row["seconds"]["check"] > 0
    record = store.labels.find_one({"_id": keys[7]})
    assert record is not None
    assert record["energy"] - record["suspect"]["again"]["energy"] == pytest.approx(6.0)
    checks = list(launchpad.fireworks.find({"spec.stage": "check"}))
    assert [check["state"] for check in checks] == ["COMPLETED"]
    # Rerunning what found it neither finds it again nor appends a second check.
    launchpad.rerun_fw(launchpad.fireworks.find_one({"spec.stage": "validate"})["fw_id"])
    work()
    assert launchpad.fireworks.count_documents({"spec.stage": "check"}) == 1


def test_a_suspect_of_a_labeler_that_knows_one_way_alone_is_counted_and_kept(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MorseLabeler, "rechecks", [])
    start = [{"kind": "displacements", "amplitude_A": 0.1, "frames": 40}]
    labeling = {"batch": 40, "suspects": {"neighbours": 20}}
    budget = {"labels": 40, "iterations": 1}
    submit(store, launchpad, load(start=start, labeling=labeling, potential=BLURRED, budget=budget, test=None))
    work(2)
    keys = store.training_keys("trimer", 0)[0]
    spoil(store, keys[7], 6.0)
    work()
    row = campaign_status(store, launchpad, "trimer")["iterations"][0]
    assert row["suspects"] == {"pending": 0, "confirmed": 0, "dropped": 0, "unchecked": 1}
    assert (row["labels"], row["labels_failed"]) == (40, 0)
    assert launchpad.fireworks.count_documents({"spec.stage": "check"}) == 0
    record = store.labels.find_one({"_id": keys[7]})
    assert record is not None
    assert record["suspect"]["why"] == "no second calculation: the labeler 'morse' knows no other way to numbers"


def test_frames_are_labelled_anew_by_another_labeler(
    store: Store, launchpad: LaunchPad, finished: str, load: Loader, work: Work
) -> None:
    frames = [key for keys in store.training_keys(finished, 99) for key in keys]
    other = {"kind": "morse", "force_cap": 25.0}
    with pytest.raises(InputError, match=rf"budget.labels: found 20, expected at least {len(frames)}"):
        submit(store, launchpad, load(name="anew", labeler=other, budget={"labels": 20}), relabels=finished)
    submit(
        store, launchpad, load(name="anew", labeler=other, budget={"labels": 90, "iterations": 2}), relabels=finished
    )
    work()
    status = campaign_status(store, launchpad, "anew")
    row = status["iterations"][0]
    assert row["labels"] + row["labels_failed"] == len(frames)
    assert status["relabels"] == finished
    assert len(status["label_sources"]) == 1
    assert row["test"]["frames"] == 8


def test_systems_are_apart_and_carry_their_resources(store: Store, launchpad: LaunchPad, load: Loader) -> None:
    big = {"cores": 8, "memory_GB": 16, "wall_time": "02:00:00", "category": "big", "queue": {"account": "chem"}}
    inline = {"symbols": ["H", "H"], "positions_A": [[0, 0, 0], [0, 0, 1.0]]}
    systems = [
        {"name": "h3", "structure": "trimer.xyz", "spin": 1},
        {"name": "h2", "structure": inline, "resources": big},
    ]
    campaign = load(systems=systems).campaign
    frames = []
    for number in range(12):
        name = "h2" if number % 3 == 0 else "h3"
        frame = Atoms(f"H{name[1]}", positions=[[0, 0, 1.0 * i + 0.01 * number] for i in range(int(name[1]))])
        frame.info = {"system": name, "charge": 0, "spin": 0}
        frames.append(frame)
    store.add_frames(campaign.name, 1, "train", frames, [str(i) for i in range(12)])
    labels = [fw for fw in build_iteration(store, campaign, 1) if fw.spec["stage"] == "label"]
    assert [fw.name for fw in labels] == [
        "trimer 001 label train h3 0-6",
        "trimer 001 label train h3 7-7",
        "trimer 001 label train h2 0-3",
    ]
    assert [fw.spec["_category"] for fw in labels] == ["label", "label", "big"]
    assert "_queueadapter" not in labels[0].spec
    words = labels[2].spec["_queueadapter"]
    assert words["cpus_per_task"] == words["ppnode"] == 8
    assert (words["mem"], words["walltime"], words["account"]) == ("16384M", "02:00:00", "chem")


def test_batches_learn_from_what_labels_took(store: Store, load: Loader) -> None:
    campaign = load(labeling={"batch": 4, "batch_seconds": 60.0}).campaign
    labeler: Any = backend_classes("labeler")["morse"](campaign.labeler, Settings())
    frames = [Atoms("H3", positions=[[0, 0, 0], [1.5 + i / 100, 0, 0], [0, 1.5, 0]]) for i in range(10)]
    keyed = [(labeler.key(frame), frame) for frame in frames]
    assert list(label_batches(store, campaign, keyed, ())) == [(0, 4), (4, 8), (8, 10)]
    for seconds in (10.0, 20.0, 500.0):
        frame = Atoms("H3", positions=[[0, 0, 0], [1.5, 0, seconds], [0, 1.5, 0]])
        label = labeler.label(frame)
        label.seconds = seconds
        store.labels.insert_one(label_to_record(label))
    assert list(label_batches(store, campaign, keyed, ())) == [(0, 3), (3, 6), (6, 9), (9, 10)]
    known = {key for key, _ in keyed[:7]}
    assert list(label_batches(store, campaign, keyed, known)) == [(0, 10)]
