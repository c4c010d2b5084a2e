"""Two systems and three explorers side by side in one campaign: a shipped one, shortened."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from sparc_fw.biased_runs import PullsFound, biased_runs
from sparc_fw.geometry.overlap import describe_overlap
from sparc_fw.geometry.packing import missing_packmol
from sparc_fw.loading import load_campaign
from sparc_fw.settings import Settings
from whole_campaigns import run_campaign, store_in

pytestmark = pytest.mark.slow

TEMPLATES = Path(__file__).parents[1] / "fw_templates" / "campaigns"
NAME = "nh3bh3_in_ammonia"


def shortened() -> dict[str, Any]:
    """The campaign with one iteration of the same parts: few frames, nets that hardly learn, runs of some 100 steps."""
    campaign: dict[str, Any] = yaml.safe_load((TEMPLATES / f"{NAME}.yaml").read_text())
    for source in campaign["start"]:
        counts = {
            "scan": {"points": 4},
            "displacements": {"frames": 4},
            "file": {"index": ":3"},
            "rattle": {"frames": 3},
        }
        source |= counts[source["kind"]]
    campaign["potential"]["steps"] = 300
    metadynamics, pull, contact = campaign["explorer"]
    metadynamics["duration_ps"] = [0.1]
    pull |= {"duration_ps": [0.1], "relax": False, "equilibrate_ps": 0.02}
    pull["bias"][0] |= {"last": 1.7}
    for phase in contact["phases"]:
        timed = next(run for run in phase["run"] if "duration_ps" in run)
        # So short that even the forces of a potential like this one move no atom into another.
        timed |= {"duration_ps": 0.001, "timestep_fs": 0.1}
        phase |= {"run": [timed], "sampling": {"frames": 5}}
    contact["check_every_fs"] = 0.1
    # A phase can pull, too.
    contact["phases"][1]["bias"] = [pull["bias"][0] | {"first": 1.66, "last": 1.68, "per_ps": [20.0]}]
    # A window that takes every frame in: a potential like this one would fail everywhere.
    steps = {step["kind"]: step for step in campaign["select"]}
    steps["window"] |= {"f_lo": 1e-4, "f_hi": 1000.0}
    steps["budget"]["cap"] = 4
    campaign["budget"] = {"labels": 40, "iterations": 1}
    return campaign


def test_metadynamics_pulls_and_phases_in_one_campaign(tmp_path: Path) -> None:
    lacking = missing_packmol(Settings().packmol_command)
    if lacking is not None:
        pytest.skip(lacking)
    for path in TEMPLATES.glob("nh3bh3*xyz"):
        shutil.copy(path, tmp_path)
    run_campaign(tmp_path, shortened())
    with store_in(tmp_path) as store:
        [selection] = store.selection_records(NAME)
        found = [store.exploration(NAME, 0, replica) for replica in range(4)]
        pulls, in_phase = biased_runs(store, load_campaign(tmp_path / "campaign.yaml").campaign, 1)
    assert selection["verdict"] == "exhausted"
    runs = [(each.explorer, each.trajectories[0].info["system"]) for each in found if each is not None]
    assert runs == [("metadynamics", "molecule"), ("pull", "molecule"), ("pull", "molecule"), ("contact", "liquid")]
    hills, _, _, contact = (each for each in found if each is not None)
    assert hills.trajectories[0].series["bias0_eV"].max() > 0.05

    assert isinstance(pulls, PullsFound)
    assert pulls.place.explorer == "pull"
    assert [barrier.per_ps for barrier in pulls.barriers] == [2.0, 4.0]
    assert all(barrier.centre[-1] == pytest.approx(1.7, abs=1e-3) for barrier in pulls.barriers)
    assert isinstance(in_phase, PullsFound)
    assert in_phase.place.explorer == "contact, phase ammonia_borane"
    assert in_phase.barriers[0].centre[-1] == pytest.approx(1.68, abs=1e-3)

    ammonia, borane, stitched = contact.trajectories
    assert [part.ended for part in contact.trajectories] == ["completed"] * 3
    assert sorted(stitched.numbers) == sorted([*ammonia.numbers, *borane.numbers])
    assert len(stitched) == 5
    assert all(describe_overlap(stitched.frame(index)) is None for index in range(5))
    report = (tmp_path / "runs" / NAME / "report.md").read_text()
    assert "explorer pull, molecule: distance 0-1 pulled at 2 Å/ps and 300 K" in report
