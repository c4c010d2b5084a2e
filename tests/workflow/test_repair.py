"""A worker or MongoDB dies between FireWorks' writes or inside a task; repaired, the campaign ends as undisturbed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fireworks import FWorker, LaunchPad

import sparc_fw.repair
import sparc_fw.submission
from sparc_fw.launchpad import write_launchpad_file
from sparc_fw.loading import LoadedCampaign
from sparc_fw.repair import repair, worker_name
from sparc_fw.status import campaign_status
from sparc_fw.store import Store
from sparc_fw.submission import submit

Loader = Callable[..., LoadedCampaign]
Work = Callable[..., None]
SCRIPT = Path(__file__).with_name("die_at.py")

ACCIDENTS = [
    *[("start", f"end:{point}") for point in ("unlocked", "locked", "fireworks_written", "workflow_written")],
    *[("select", f"end:{point}") for point in ("unlocked", "locked", "fireworks_written", "workflow_written")],
    *[("label", f"take:{point}") for point in ("unlocked", "fireworks_written", "workflow_written")],
    ("label", "end:unlocked"),
    ("label", "end:fireworks_written"),
    ("label", "take-cut:refreshed"),
    ("select", "end-cut:refreshed"),
    ("label", "label_saved"),
    ("train", "end:fireworks_written"),
    ("train", "model_trained"),
    ("train", "model_saved"),
    ("explore", "exploration_saved"),
    ("select", "selection_made"),
    ("select", "selection_saved"),
    ("select", "frames_added"),
]


@pytest.fixture(scope="module")
def undisturbed() -> dict[str, Any]:
    """The outcome of a run that nobody killed, filled in by the first test that needs it."""
    return {}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparc_fw.submission, "LOCK_SECONDS", 0.5)
    monkeypatch.setattr(sparc_fw.repair, "ADD_SECONDS", 0.1)


def outcome(store: Store, lpad: LaunchPad, campaign_id: str) -> dict[str, Any]:
    """Everything that must not depend on who was killed: labels and picks to the bit, and the numbers of the end."""
    labels = {r["_id"]: (r["energy"], r["forces"]) for r in store.labels.find({})}
    selections = [store.selection(campaign_id, r["iteration"]) for r in store.selection_records(campaign_id)]
    picks = [[frame.positions.tobytes() for frame in s.picks] for s in selections if s is not None]
    status = campaign_status(store, lpad, campaign_id)
    tests = [row["test"] for row in status["iterations"]]
    return {"labels": labels, "picks": picks, "tests": tests, "verdict": status["verdict"], "state": status["state"]}


def accident_at(stage: str, point: str, launchpad: LaunchPad, uri: str, work: Work, folder: Path) -> str:
    """Work until a Firework of `stage` is next, and let a worker meet with an accident; returns the worker's name."""
    for _ in range(30):
        ready = list(launchpad.fireworks.find({"state": "READY"}, {"spec.stage": 1, "fw_id": 1}))
        if any(fw["spec"]["stage"] == stage for fw in ready):
            break
        work(1)
    for fw in ready:
        if fw["spec"]["stage"] != stage:
            launchpad.set_priority(fw["fw_id"], 0)
    file = folder / "my_launchpad.yaml"
    write_launchpad_file(uri, launchpad.name, file)
    # The name of a worker whose process is gone: nobody here started at the first tick after boot.
    parts = worker_name(0).split(":")
    name = ":".join([*parts[:3], "1", parts[4]])
    process = subprocess.run([sys.executable, str(SCRIPT), str(file), point, name], cwd=folder, check=False)
    if "cut" not in point:
        assert process.returncode == -signal.SIGKILL, "the worker was to die at that point"
    return name


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "point"), ACCIDENTS)
def test_an_accident_costs_nothing(
    stage: str,
    point: str,
    store: Store,
    launchpad: LaunchPad,
    load: Loader,
    work: Work,
    mongo_uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: dict[str, Any],
) -> None:
    log = tmp_path / "calculations"
    monkeypatch.setenv("MORSE_LOG", str(log))
    campaign = load(budget={"labels": 30, "iterations": 2})
    submit(store, launchpad, campaign)
    if not undisturbed:
        work()
        undisturbed |= outcome(store, launchpad, "trimer")
        assert undisturbed["state"] == "completed"
        for name in launchpad.db.list_collection_names():
            launchpad.db[name].delete_many({})
        launchpad.fw_id_assigner.insert_one({"next_fw_id": 1, "next_launch_id": 1})
        log.unlink()
        submit(store, launchpad, campaign)
    accident_at(stage, point, launchpad, mongo_uri, work, tmp_path)
    repairs = repair(store, launchpad, "trimer").done
    assert repairs, "an accident leaves something to mend"
    assert repair(store, launchpad, "trimer").done == [], "one repair is enough"
    work()
    assert outcome(store, launchpad, "trimer") == undisturbed
    calculations = log.read_text().split()
    # What was computed but not yet saved when the worker died is the one thing that is computed again.
    assert len(calculations) == len(set(calculations))
    every = list(launchpad.fireworks.find({}, {"name": 1, "state": 1}))
    assert max(Counter(fw["name"] for fw in every).values()) == 1, "no Firework exists twice"
    assert {fw["state"] for fw in every} == {"COMPLETED"}


def test_repair_finds_nothing_wrong_with_a_healthy_campaign(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work
) -> None:
    submit(store, launchpad, load())
    for launches in (1, 4, 5):
        work(launches)
        assert repair(store, launchpad, "trimer").done == []


def test_a_campaign_registered_without_its_workflow_gets_it(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work
) -> None:
    loaded = load()
    store.add_campaign(loaded.campaign, loaded.files)
    store.update_campaign("trimer", {"created": 0.0})
    repair(store, launchpad, "trimer")
    work()
    assert campaign_status(store, launchpad, "trimer")["state"] == "completed"


def test_a_firework_that_was_reserved_by_a_worker_that_died_is_rerun(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit(store, launchpad, load())
    work(1)
    reserved = launchpad._get_a_fw_to_run()
    repair(store, launchpad, "trimer")
    state = launchpad.get_fw_dict_by_id(reserved.fw_id)["state"]
    assert state == "RESERVED", "its launch may come any moment"
    monkeypatch.setattr(sparc_fw.repair, "CHECKOUT_SECONDS", -1.0)
    assert "died while it took it" in " ".join(repair(store, launchpad, "trimer").done)
    assert launchpad.get_fw_dict_by_id(reserved.fw_id)["state"] == "READY"
    work()
    assert campaign_status(store, launchpad, "trimer")["state"] == "completed"


def test_a_worker_of_another_boot_is_dead_when_it_was_silent_for_long(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work, tmp_path: Path
) -> None:
    submit(store, launchpad, load())
    work(1)
    prefix, kernel, *rest = worker_name(0).split(":")
    elsewhere = ":".join([prefix, kernel.replace("@", "@0"), *rest])
    alive, _ = launchpad.checkout_fw(FWorker(worker_name(1)), str(tmp_path))
    other, _ = launchpad.checkout_fw(FWorker(elsewhere), str(tmp_path))
    assert repair(store, launchpad, "trimer").done == []
    store.claim_seconds = 0.0
    done = repair(store, launchpad, "trimer").done
    assert done == [f"reran {other.name!r}, whose worker is dead"]
    assert launchpad.get_fw_dict_by_id(other.fw_id)["state"] == "READY"
    assert launchpad.get_fw_dict_by_id(alive.fw_id)["state"] == "RUNNING"
