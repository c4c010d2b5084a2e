"""Dynamics with the labeler itself: every step is a label that costs once."""

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
from ase.units import Hartree
from fireworks import LaunchPad

from sparc_fw.errors import InputError, MissingDependency
from sparc_fw.explorers.plumed import kernel_problem
from sparc_fw.firetasks.base import make_backend
from sparc_fw.geometry.build import build_frames
from sparc_fw.geometry.source_checks import check_sources
from sparc_fw.launchpad import write_launchpad_file
from sparc_fw.loading import LoadedCampaign
from sparc_fw.planning import plan_campaign
from sparc_fw.settings import Settings
from sparc_fw.status import campaign_status
from sparc_fw.store import Store
from sparc_fw.submission import submit
from sparc_fw.testing import LOG
from sparc_fw.workflow import build_campaign

Loader = Callable[..., LoadedCampaign]
Work = Callable[..., None]
LAUNCH = (
    "import sys; from fireworks import FWorker, LaunchPad; from fireworks.core.rocket_launcher import launch_rocket;"
    "launch_rocket(LaunchPad.from_file(sys.argv[1]), FWorker('w'), strm_lvl='ERROR')"
)
WATER = {"symbols": ["O", "H", "H"], "positions_A": [[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]}
HYDROGEN = {"symbols": ["H", "H"], "positions_A": [[0, 0, 0], [0, 0, 0.8]]}
DYNAMICS = {"kind": "dynamics", "timestep_fs": 0.5, "sample_every_fs": 0.5, "choose": "even", "temperature_K": [300.0]}


def sections(structure: Any, fs: float, **dynamics: Any) -> dict[str, Any]:
    return {
        "systems": [{"name": "it", "structure": structure}],
        "start": [{**DYNAMICS, "duration_ps": fs / 1000, **dynamics}],
        "test": None,
    }


def stored(launchpad: LaunchPad, stage: str) -> list[dict[str, Any]]:
    """What the Fireworks of a stage said at their end."""
    ids = [firework["fw_id"] for firework in launchpad.fireworks.find({"spec.stage": stage}).sort("fw_id", 1)]
    launches = [launchpad.launches.find_one({"fw_id": fw_id}, sort=[("launch_id", -1)]) for fw_id in ids]
    return [launch["action"]["stored_data"] for launch in launches if launch is not None]


def test_every_step_of_xtb_is_a_label_that_costs_once(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work
) -> None:
    loaded = load(**sections(WATER, 10.0), labeler={"kind": "xtb"}, labeling={"batch": 50})
    submit(store, launchpad, loaded)
    work(2)
    # 20 steps and the force at the start.
    assert stored(launchpad, "start")[0]["computed"] == 21
    assert store.labels.count_documents({}) == 21
    assert store.labels.count_documents({"revision": 1, "status": "ok"}) == 21
    counts = stored(launchpad, "label")[0]
    assert (counts["computed"], counts["hits"]) == (0, 20)
    assert store.claims.count_documents({}) == 0
    # The start, of which no frame was taken, was paid for, too.
    row = campaign_status(store, launchpad, "trimer")["iterations"][0]
    assert (row["labels"], row["labels_paid_to_train"], row["labels_on_the_way"]) == (20, 21, 1)
    told = store.progress.find_one({"campaign_id": "trimer", "stage": "start"})
    assert told is not None
    assert (told["done"], told["total"]) == (21, 21)
    assert store.count_paid(store.paid_keys("trimer", 0)) == 21
    assert {system: len(keys) for system, keys in store.paid_keys_by_system("trimer", 0).items()} == {"it": 21}
    # They are labels as any others, to the bit.
    labeler = make_backend("labeler", loaded.campaign.labeler, Settings())
    frameset = store.frameset("trimer", 0, "train")
    assert frameset is not None
    frame, key = store.frames(frameset)[7], frameset["keys"][7]
    label, again = store.labels_by_key([key])[key], labeler.label(frame)
    assert label.energy == again.energy
    assert label.forces is not None
    assert np.array_equal(label.forces, again.forces)
    assert frame.info["origin"] == "dynamics"


def test_a_stride_takes_every_so_many_steps_and_counts_all(store: Store, launchpad: LaunchPad, load: Loader) -> None:
    loaded = load(**sections(WATER, 10.0, sample_every_fs=2.0, temperature_K=[200, 400]), labeler={"kind": "xtb"})
    labeler = make_backend("labeler", loaded.campaign.labeler, Settings())
    asked = []

    def label(frame: Any) -> Any:
        asked.append(labeler.key(frame))
        return labeler.label(frame)

    built = build_frames(loaded.campaign.start, loaded.campaign, loaded.files, labeler, Settings(), 1, label)
    assert len(built.frames) == 10
    assert len(asked) == 42
    # Both runs begin at the same place, which is one label.
    assert len(set(asked)) == 41
    assert {labeler.key(frame) for frame in built.frames} < set(asked)
    plan = plan_campaign(loaded)
    assert (plan.labels[0], plan.driven) == (42, 42)


def test_a_killed_start_goes_on_from_what_it_had_labelled(
    store: Store,
    launchpad: LaunchPad,
    load: Loader,
    work: Work,
    mongo_uri: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(LOG, str(tmp_path / "log"))
    # Slow enough for each label to be written before the next one is begun.
    labeler = {"kind": "morse", "seconds": 0.21}
    submit(store, launchpad, load(**sections(HYDROGEN, 4.0), labeler=labeler, labeling={"batch": 50}))
    file = tmp_path / "my_launchpad.yaml"
    write_launchpad_file(mongo_uri, launchpad.name, file)
    process = subprocess.Popen([sys.executable, "-c", LAUNCH, str(file)], cwd=tmp_path)
    while store.labels.count_documents({}) < 3:
        assert process.poll() is None, "the worker was to be killed at work"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = {record["_id"] for record in store.labels.find({}, {"_id": 1})}
    before = Counter((tmp_path / "log").read_text().split())
    launchpad.rerun_fw(launchpad.fireworks.find_one({"spec.stage": "start"})["fw_id"])
    work(2)
    calculated = Counter((tmp_path / "log").read_text().split())
    assert len(calculated) == store.labels.count_documents({}) == 9
    # The one under way may have been computed without being kept.
    assert sum(calculated.values()) - 9 == sum(before.values()) - len(kept) <= 1
    assert stored(launchpad, "start")[0]["computed"] == 9 - len(kept)
    assert stored(launchpad, "label")[0]["hits"] == 8


def test_a_label_that_fails_ends_its_run_and_is_paid(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work
) -> None:
    labeler = {"kind": "morse", "fail_every": 7, "retries": {}}
    submit(store, launchpad, load(**sections(HYDROGEN, 20.0, temperature_K=[100, 200, 300]), labeler=labeler))
    work(1)
    failed = store.labels.count_documents({"status": "failed"})
    frameset = store.frameset("trimer", 0, "train")
    assert frameset is not None
    assert 1 <= failed <= 3
    assert frameset["dropped"]["driver_failed"] + len(frameset["keys"]) == 3 * 40
    assert len(store.paid_keys("trimer", 0)) == store.labels.count_documents({})


def test_steps_beyond_the_budget_are_refused(load: Loader) -> None:
    loaded = load(**sections(WATER, 10.0), labeler={"kind": "xtb"}, budget={"labels": 20})
    labeler = make_backend("labeler", loaded.campaign.labeler, Settings())
    with pytest.raises(InputError, match=r"found 21 frames to label.* = 20.* for shorter dynamics or for a 'driver'"):
        check_sources(loaded.campaign, loaded.files, labeler)


def test_a_start_that_labels_goes_where_labels_go(load: Loader) -> None:
    values = sections(WATER, 10.0)
    values["systems"][0]["resources"] = {"cores": 4, "category": "big"}
    start = build_campaign(load(**values).campaign).fws[0]
    assert (start.spec["_category"], start.spec["_queueadapter"]["cpus_per_task"]) == ("big", 4)
    values["start"][0]["driver"] = {"kind": "xtb"}
    start = build_campaign(load(**values).campaign).fws[0]
    assert (start.spec["_category"], "_queueadapter" in start.spec) == ("select", False)


UMBRELLA = {"kind": "umbrella", "cv": {"kind": "distance", "atoms": [0, 1]}, "centre": 1.3, "stiffness": 20.0}


def test_a_bias_without_a_kernel_is_refused(load: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUMED_KERNEL", "/nowhere/libplumedKernel.so")
    loaded = load(**sections(WATER, 10.0, bias=[UMBRELLA]), labeler={"kind": "xtb"})
    labeler = make_backend("labeler", loaded.campaign.labeler, Settings())
    with pytest.raises(MissingDependency, match=r"dynamics: bias: found no .*conda-forge"):
        check_sources(loaded.campaign, loaded.files, labeler)


@pytest.mark.plumed
def test_a_bias_pulls_but_is_no_part_of_the_labels(load: Loader) -> None:
    problem = kernel_problem()
    if problem is not None:
        pytest.skip(problem)
    loaded = load(**sections(WATER, 30.0, bias=[UMBRELLA]), labeler={"kind": "xtb"}, budget={"labels": 61})
    labeler = make_backend("labeler", loaded.campaign.labeler, Settings())
    check_sources(loaded.campaign, loaded.files, labeler)
    asked: dict[str, float] = {}

    def label(frame: Any) -> Any:
        found = labeler.label(frame)
        asked[found.key] = found.energy
        return found

    built = build_frames(loaded.campaign.start, loaded.campaign, loaded.files, labeler, Settings(), 1, label)
    assert max(frame.get_distance(0, 1) for frame in built.frames) > 1.2
    assert len(asked) == 61
    assert {labeler.key(frame) for frame in built.frames} < set(asked)


@pytest.mark.slow
def test_pyscf_drives_hydrogen(store: Store, launchpad: LaunchPad, load: Loader, work: Work) -> None:
    labeler = {"kind": "pyscf", "functional": "hf", "basis": "sto-3g"}
    submit(store, launchpad, load(**sections(HYDROGEN, 4.0), labeler=labeler, labeling={"batch": 50}))
    work(2)
    assert stored(launchpad, "start")[0]["computed"] == 9
    counts = stored(launchpad, "label")[0]
    assert (counts["computed"], counts["hits"], counts["failed"]) == (0, 8, 0)
    labels = store.labels_by_key(store.paid_keys("trimer", 0)).values()
    found = sorted((label.frame.get_distance(0, 1), label.energy) for label in labels)
    # Restricted Hartree-Fock in this basis has its minimum at 0.712 Å, with -1.1175 Hartree.
    lengths, energies = np.array(found).T
    assert lengths.max() - lengths.min() > 0.02
    assert energies.min() > -1.1176 * Hartree
    curvature, _, lowest = np.polyfit(lengths - 0.712, energies, 2)
    assert curvature > 0
    assert lowest == pytest.approx(-1.1175 * Hartree, abs=0.01)
