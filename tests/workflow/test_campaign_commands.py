"""The commands that look at campaigns and take things out of the store, on a campaign that ran."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.db
import numpy as np
import pytest
import yaml
from ase.io import read
from fireworks import LaunchPad, Workflow
from typer.testing import Result

from cheap_campaigns import good
from sparc_fw.dataset import training_labels
from sparc_fw.firetasks.start import StartTask
from sparc_fw.loading import LoadedCampaign
from sparc_fw.planning import Costs, Plan, hours
from sparc_fw.settings import Settings
from sparc_fw.store import Store
from sparc_fw.submission import submit
from sparc_fw.workflow import make_firework

Loader = Callable[..., LoadedCampaign]
Work = Callable[..., None]


def test_status_json_has_what_scripts_want(command: Callable[..., Result], finished: str) -> None:
    values = json.loads(good(command("status", finished, "--json")))
    assert values["campaign"] == "trimer"
    assert values["state"] == "completed"
    assert values["verdict"] == "converged"
    row = values["iterations"][0]
    assert row["iteration"] == 0
    assert row["labels"] == 20
    assert row["labels_failed"] == 0
    assert values["description"] == "Three atoms"
    assert row["test"].keys() >= {"force_rmse", "energy_rmse"}
    assert row["scan_rmse"] == pytest.approx(0.0)
    assert row["fractions"].keys() >= {"accurate", "candidate", "failed"}
    assert row["verdict"] == "continue"
    assert row["seconds"].keys() >= {"label", "train", "explore", "select"}
    assert json.loads(good(command("status", "--json"))) == values, "the latest campaign is the default"


def test_status_json_has_all_keys_while_an_iteration_runs(
    command: Callable[..., Result], store: Store, launchpad: LaunchPad, load: Loader, work: Work
) -> None:
    submit(store, launchpad, load())
    work(1)
    (row,) = json_rows(command, "trimer")
    seconds = row["seconds"]
    assert seconds.pop("start") > 0
    assert seconds == dict.fromkeys(("label", "train", "explore", "validate", "check", "select"), 0.0)
    unknown = ("test", "scan_rmse", "fractions", "quantiles", "picks", "verdict")
    assert {name: row[name] for name in unknown} == dict.fromkeys(unknown)


def test_status_table_shows_each_iteration(command: Callable[..., Result], finished: str) -> None:
    text = good(command("status", finished))
    assert text.startswith("Three atoms\ntrimer: completed, ")
    assert "continue" in text
    assert "converged:" in text


def test_an_unknown_campaign_is_bad_input(command: Callable[..., Result], finished: str) -> None:
    for arguments in (("status", "nobody"), ("report", "nobody"), ("pause", "nobody"), ("repair", "nobody")):
        result = command(*arguments)
        assert result.exit_code == 2, arguments
        assert "'nobody': not in the store; the latest are ['trimer']" in result.stderr


def test_a_file_is_no_folder_to_write_into(command: Callable[..., Result], finished: str, tmp_path: Path) -> None:
    file = tmp_path / "taken"
    file.write_text("mine")
    for arguments in (("report", "--to"), ("labels", "--plots"), ("models", "get", "--to")):
        result = command(*arguments[:-1], finished, arguments[-1], str(file))
        assert result.exit_code == 2, arguments
        assert f"{arguments[-1]}: found {file}, which is no folder; expected a folder" in result.stderr
    assert file.read_text() == "mine"


def test_run_in_a_file_stores_nothing(command: Callable[..., Result], store: Store, load: Loader) -> None:
    Path("c.yaml").write_text(yaml.safe_dump(load().campaign.as_dict()))
    result = command("run", "c.yaml", "--folder", "trimer.xyz")
    assert result.exit_code == 2
    assert "--folder: found" in result.stderr
    assert "trimer.xyz, which is no folder" in result.stderr
    assert store.campaigns.count_documents({}) == 0


def test_a_workflow_that_has_not_begun_holds_its_name(
    command: Callable[..., Result], store: Store, launchpad: LaunchPad, load: Loader, work: Work, tmp_path: Path
) -> None:
    values = load().campaign.as_dict()
    start = StartTask(campaign=values, folder=str(tmp_path))
    added = make_firework(start, "trimer", 0, "start", "", "select")
    launchpad.add_wf(Workflow([added]))
    told = good(command("status", "trimer"))
    assert told == "trimer: waiting: its start Firework 1 waits for a worker: start one with 'rlaunch rapidfire'\n"
    assert json.loads(good(command("status", "trimer", "--json")))["start_fw_id"] == 1
    Path("c.yaml").write_text(yaml.safe_dump(values))
    refused = command("submit", "c.yaml")
    assert refused.exit_code == 2
    assert "campaign name 'trimer' is taken by Firework 1 ('trimer 000 start', READY)" in refused.stderr
    assert store.campaigns.count_documents({}) == 0
    work(1)
    assert json.loads(good(command("status", "trimer", "--json")))["state"] == "running"


def test_list_json(command: Callable[..., Result], finished: str) -> None:
    rows = json.loads(good(command("list", "--json")))["campaigns"]
    assert [(row["campaign"], row["state"], row["verdict"]) for row in rows] == [("trimer", "completed", "converged")]


def test_report_has_the_table_and_three_pictures(command: Callable[..., Result], finished: str, tmp_path: Path) -> None:
    paths = [Path(line) for line in good(command("report", finished, "--to", str(tmp_path / "r"))).split()]
    assert [path.name for path in paths] == ["report.md", "force_deviation.png", "scan.png", "force_rmse.png"]
    for picture in paths[1:]:
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.stat().st_size > 10_000
    text = paths[0].read_text()
    assert text.startswith("# Campaign trimer\n\nThree atoms\n")
    assert " validate s | check s | select s |" in text
    assert "Promoted: member" in text
    assert text.count("| continue |") + text.count("| converged |") == len(json_rows(command, finished))


def json_rows(command: Callable[..., Result], campaign: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(good(command("status", campaign, "--json")))["iterations"]
    return rows


@pytest.mark.parametrize("kind", ["extxyz", "ase-db", "deepmd"])
def test_export(command: Callable[..., Result], store: Store, finished: str, kind: str, tmp_path: Path) -> None:
    out = tmp_path / {"extxyz": "labels.extxyz", "ase-db": "labels.db", "deepmd": "systems"}[kind]
    told = json.loads(good(command("export", finished, "--to", kind, "--out", str(out), "--json")))
    labels = [label for part in training_labels(store, finished, 99) for label in part]
    assert told == {"campaign": finished, "format": kind, "file": str(out), "labels": len(labels)}
    energies = [label.energy for label in labels if label.energy is not None]
    if kind == "extxyz":
        frames = read(out, ":")
        assert [frame.get_potential_energy() for frame in frames] == pytest.approx(energies)
        assert frames[3].get_forces() == pytest.approx(labels[3].forces, abs=1e-7)
    elif kind == "ase-db":
        assert [row.energy for row in ase.db.connect(out).select()] == pytest.approx(energies)
    else:
        found = np.concatenate([np.load(path) for path in sorted(out.rglob("energy.npy"))])
        assert sorted(found) == pytest.approx(sorted(energies))
    refused = command("export", finished, "--to", kind, "--out", str(out))
    assert refused.exit_code == 2
    assert "exists already" in refused.stderr


def test_models_get(command: Callable[..., Result], store: Store, finished: str, tmp_path: Path) -> None:
    paths = [Path(p) for p in good(command("models", "get", finished, "--to", str(tmp_path / "m"))).split()]
    names = [path.name for path in paths]
    assert names == ["member-0.json", "member-1.json", "member-2.json", "promoted.json", "models.json"]
    about = json.loads(paths[-1].read_text())
    promoted = store.campaign_record(finished)["promoted"]
    assert about["promoted"] == promoted
    model = store.models.find_one({"_id": promoted["model"]})
    assert model is not None
    assert paths[3].read_bytes() == store.files.get(model["file"])
    single = json.loads(good(command("models", "get", "trimer/0000/1", "--to", str(tmp_path / "one"), "--json")))
    assert single == {"name": "trimer/0000/1", "files": [str(tmp_path / "one" / "member-1.json")]}


def test_pause_resume_and_cancel(
    command: Callable[..., Result], store: Store, launchpad: LaunchPad, load: Loader, work: Work
) -> None:
    submit(store, launchpad, load())
    work(1)
    assert "is paused" in good(command("pause", "trimer"))
    work()
    assert store.labels.count_documents({}) == 0
    good(command("resume", "trimer"))
    work(2)
    assert store.labels.count_documents({}) > 0
    assert "is cancelled" in good(command("cancel", "trimer"))
    refused = command("resume", "trimer")
    assert refused.exit_code == 2
    assert "is cancelled; expected running or paused" in refused.stderr
    assert good(command("repair", "trimer")).strip() == "nothing to mend"


def everything(store: Store) -> dict[str, list[Any]]:
    """All documents of the database; who looks makes indexes, and collections for them."""
    names = sorted(store.database.list_collection_names())
    found = {name: list(store.database[name].find({}).sort("_id", 1)) for name in names}
    return {name: documents for name, documents in found.items() if documents}


@pytest.mark.parametrize("verb", ["submit", "run"])
def test_what_is_refused_stores_nothing(
    command: Callable[..., Result], store: Store, load: Loader, tmp_path: Path, verb: str
) -> None:
    values, file = load().campaign.as_dict(), tmp_path / "campaign.yaml"
    file.write_text(yaml.safe_dump(values | {"systems": [{"name": "h3", "structure": "lost.xyz", "spin": 1}]}))
    before = everything(store)
    refused = command(verb, "campaign.yaml")
    assert refused.exit_code == 2
    assert "lost.xyz" in refused.stderr
    assert everything(store) == before
    file.write_text(yaml.safe_dump(values))
    good(command("submit", "campaign.yaml"))
    before = everything(store)
    refused = command(verb, "campaign.yaml", "--seed", "6")
    assert refused.exit_code == 2
    assert "campaign 'trimer' exists already: go on with it by 'sparc-fw run FILE --resume'" in " ".join(
        refused.stderr.split()
    )
    assert everything(store) == before


def test_steering_commands_tell_scripts_what_they_did(
    command: Callable[..., Result], store: Store, launchpad: LaunchPad, load: Loader, tmp_path: Path
) -> None:
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(load().campaign.as_dict()))
    assert json.loads(good(command("submit", "campaign.yaml", "--json"))) == {
        "campaign": "trimer",
        "state": "running",
        "fireworks": [
            {"fw_id": firework["fw_id"], "name": firework["name"], "state": firework["state"]}
            for firework in launchpad.fireworks.find({}).sort("fw_id", 1)
        ],
        "embedded_mongodb": False,
    }
    assert launchpad.fireworks.count_documents({}) == 2

    def told(name: str) -> Any:
        return json.loads(good(command(name, "trimer", "--json")))

    assert told("pause") == {"campaign": "trimer", "state": "paused"}
    assert told("resume") == {"campaign": "trimer", "state": "running", "mended": []}
    assert told("repair") == {"campaign": "trimer", "mended": []}
    assert told("cancel") == {"campaign": "trimer", "state": "cancelled"}


@pytest.mark.slow
def test_run_for_scripts_prints_the_last_status_and_nothing_else(
    command: Callable[..., Result], store: Store, load: Loader, tmp_path: Path
) -> None:
    sections = {"budget": {"labels": 60, "iterations": 1}, "committee": 2, "test": None}
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(load(**sections).campaign.as_dict()))
    result = command("run", "campaign.yaml", "--json")
    values = json.loads(good(result))
    assert (values["campaign"], values["state"], values["verdict"]) == ("trimer", "completed", "exhausted")
    assert [Path(file).name for file in values["files"]] == ["report.md", "force_deviation.png"]
    assert "trimer: 1 workers in" in result.stderr
    (row,) = values["iterations"]
    assert row["picks"] == 0, "what the last iteration picked nobody labels"
    assert "pick" not in row["fates"] | row["counts"]
    assert row["fates"]["pick_not_labelled"] == row["counts"]["pick_not_labelled"] > 0


def test_plan_counts_what_the_campaign_then_takes(
    command: Callable[..., Result], load: Loader, launchpad: LaunchPad, work: Work, store: Store, tmp_path: Path
) -> None:
    budget = {"labels": 45, "iterations": 4}
    steps = [
        {"kind": "overlap"},
        {"kind": "window", "f_lo": 0.001, "f_hi": 5.0},
        {"kind": "difference", "min_difference_A": 0.02},
        {"kind": "budget", "cap": 10},
    ]
    loaded = load(budget=budget, select=steps)
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(loaded.campaign.as_dict()))
    values = json.loads(good(command("plan", "campaign.yaml", "--json")))
    assert values["labels"] == [20, 10, 10, 5]
    assert values["test_labels"] == 15
    assert store.campaigns.count_documents({}) == 0, "planning stores nothing"
    submit(store, launchpad, loaded)
    work()
    assert launchpad.fireworks.count_documents({}) == values["fireworks"]
    assert values["experience"]["campaigns"] == []
    check_experience(command, store, str(tmp_path / "campaign.yaml"))


def check_experience(command: Callable[..., Result], store: Store, file: str) -> None:
    """Once a campaign has come to its end, a plan of the like knows what it took."""
    known = json.loads(good(command("plan", file, "--workers", "2", "--json")))["experience"]
    assert (known["campaigns"], known["iterations"], known["labels"]) == (["trimer"], 4.0, 45.0)
    trained = [record["finished"] - record["started"] for record in store.stages.find({"stage": "train"})]
    assert known["train_seconds"] == pytest.approx(np.median(trained))
    # Four iterations; three members on two workers are two rounds.
    assert known["hours"]["train"] == pytest.approx(4 * 2 * known["train_seconds"] / 3600)
    assert known["hours"]["label"] == pytest.approx(45 / 2 * known["label_seconds"] / 3600)
    told = good(command("plan", file))
    assert "1 campaign with such labels came to a verdict after 4 iterations and 45 labels (medians)\n" in told


def test_hours_follow_from_the_costs(load: Loader) -> None:
    campaign = load(potential={"kind": "blurred_morse", "steps": 1000}).campaign
    plan = Plan(labels=[20, 10], test_labels=15, fireworks=0)
    costs = Costs(start=100.0, label=2.0, train=(5.0, 0.01), explore=[(1.0, 10.0)])
    found = hours(plan, costs, campaign, 2, Settings())
    seconds = {stage: round(3600 * value, 6) for stage, value in found.items()}
    # Two workers: 45 labels, two rounds for three members of 1,000 steps, one round for two replicas of 1 ps.
    assert seconds == {"start": 50.0, "label": 45.0, "train": 60.0, "explore": 22.0}


def test_plan_times_the_driver_of_start_dynamics(command: Callable[..., Result], load: Loader, tmp_path: Path) -> None:
    pytest.importorskip("tblite", reason="tblite is not installed: pip install 'sparc_fw[xtb]'")
    start = {"kind": "dynamics", "driver": {"kind": "xtb"}, "duration_ps": 0.1, "frames": 4}
    loaded = load(start=[start], systems=[{"name": "h3", "structure": "trimer.xyz", "charge": 1}])
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(loaded.campaign.as_dict()))
    values = json.loads(good(command("plan", "campaign.yaml", "--measure", "--json")))
    assert values["hours"].keys() == {"start", "label", "train", "explore"}
    assert 0 < values["hours"]["start"] < 0.1


@pytest.fixture
def changed(load: Loader, tmp_path: Path) -> str:
    """The file of the campaign 'trimer' with another labeler."""
    values = load(labeler={"kind": "morse", "force_cap": 25.0}, budget={"labels": 90, "iterations": 1}).campaign
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump(values.as_dict()))
    return str(path)


def test_relabel_takes_over_the_frames_of_another_campaign(
    command: Callable[..., Result], store: Store, finished: str, changed: str, work: Work
) -> None:
    refused = command("submit", changed, "--name", "anew", "--relabel", "nobody")
    assert refused.exit_code == 2
    assert "campaign 'nobody': not in the store; the latest are ['trimer']" in refused.stderr
    assert "submitted anew" in good(command("submit", changed, "--name", "anew", "--relabel", finished))
    work()
    values = json.loads(good(command("status", "anew", "--json")))
    frames = {key for keys in store.training_keys(finished, 99) for key in keys}
    assert values["state"] == "completed"
    assert values["relabels"] == finished
    assert values["iterations"][0]["labels"] + values["iterations"][0]["labels_failed"] == len(frames)
    assert not frames & set(store.training_keys("anew", 0)[0]), "other settings, other keys"


def test_resume_with_another_labeler_shows_the_way_to_label_anew(
    command: Callable[..., Result], store: Store, launchpad: LaunchPad, load: Loader, changed: str
) -> None:
    submit(store, launchpad, load())
    refused = command("run", changed, "--resume")
    assert refused.exit_code == 2
    assert "labeler.force_cap: differs from the stored campaign 'trimer'" in refused.stderr
    assert "sparc-fw run FILE --name NEW_NAME --relabel trimer" in refused.stderr
    refused = command("run", changed, "--resume", "--relabel", "other")
    assert refused.exit_code == 2
    assert "campaign 'trimer' exists and does not label 'other' anew; choose a --name" in refused.stderr
