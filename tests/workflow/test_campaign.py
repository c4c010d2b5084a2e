"""A whole campaign on a real LaunchPad, with cheap backends."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from fireworks import LaunchPad

from sparc_fw.dataset import training_labels
from sparc_fw.documents import Dataset
from sparc_fw.errors import CampaignExists, InputError
from sparc_fw.loading import LoadedCampaign
from sparc_fw.potentials.deepmd import DeepMDPotential
from sparc_fw.repair import repair
from sparc_fw.seeds import derive_seed
from sparc_fw.status import campaign_rows, campaign_state, campaign_status, picks_cell
from sparc_fw.store import Store
from sparc_fw.submission import cancel, pause, resume, submit
from sparc_fw.testing import morse

Loader = Callable[..., LoadedCampaign]
Work = Callable[..., None]


def states(lpad: LaunchPad, campaign_id: str) -> Counter[str]:
    return Counter(fw["state"] for fw in lpad.fireworks.find({"spec.campaign_id": campaign_id}, {"state": 1}))


def fireworks_of(lpad: LaunchPad, **spec: Any) -> list[dict[str, Any]]:
    query = {f"spec.{key}": value for key, value in spec.items()}
    return list(lpad.fireworks.find(query).sort("fw_id", 1))


def snapshot(store: Store) -> dict[str, Any]:
    """All records of the store, but for who asked for a label and how far a stage is."""
    names = ("campaigns", "framesets", "labels", "models", "explorations", "selections", "reports", "stages")
    found = {name: {r["_id"]: r for r in store.database[f"sparc_{name}"].find({})} for name in names}
    for record in found["labels"].values():
        del record["asked_by"]
    return found


def test_runs_until_the_committee_agrees(store: Store, launchpad: LaunchPad, finished: str) -> None:
    status = campaign_status(store, launchpad, finished)
    assert status["state"] == "completed"
    assert status["verdict"] == "converged"
    assert set(states(launchpad, finished)) == {"COMPLETED"}
    rows = status["iterations"]
    assert [row["iteration"] for row in rows] == list(range(len(rows)))
    assert [row["verdict"] for row in rows[:-1]] == ["continue"] * (len(rows) - 1)
    assert len(rows) >= 2
    # Each iteration labelled what the one before it picked, and not a frame more.
    for before, after in itertools.pairwise(rows):
        asked = [row["labels"] + row["labels_failed"] for row in (before, after)]
        assert asked[1] == asked[0] + before["picks"]
    for row in rows:
        assert sum(row["fractions"][name] for name in ("accurate", "candidate", "failed")) == pytest.approx(1)
        assert sum(row["fates"].values()) == 2 * 200
    assert rows[-1]["fractions"]["candidate"] <= 0.05
    assert rows[-1]["test"]["force_rmse"] < rows[0]["test"]["force_rmse"]
    assert rows[0]["test"]["frames"] == 8


def test_promotes_the_best_on_validation(store: Store, launchpad: LaunchPad, finished: str) -> None:
    promoted = campaign_status(store, launchpad, finished)["promoted"]
    reports = store.report_records(finished)
    best = min(m["validation"]["force_rmse"] for m in reports[-1].members)
    assert promoted["validation_force_rmse"] <= best
    assert store.models.find_one({"_id": promoted["model"]}) is not None


def test_names_categories_and_metadata_read_well(store: Store, launchpad: LaunchPad, finished: str) -> None:
    workflow = launchpad.workflows.find_one({"nodes": 1})
    assert workflow["name"] == "trimer"
    assert workflow["metadata"] == {"campaign_id": "trimer", "chapter": 0}
    names = [fw["name"] for fw in fireworks_of(launchpad, campaign_id="trimer", iteration=0)]
    assert "trimer 000 label train 0-6" in names
    assert "trimer 000 train member 2" in names
    assert "trimer 000 explore replica 1" in names
    categories = {fw["spec"]["stage"]: fw["spec"]["_category"] for fw in fireworks_of(launchpad, campaign_id="trimer")}
    assert categories == {
        "start": "select", "publish": "select", "select": "select", "validate": "select",
        "label": "label", "train": "train", "explore": "explore",
    }  # fmt: skip
    priorities = {fw["spec"]["iteration"]: fw["spec"]["_priority"] for fw in fireworks_of(launchpad)}
    assert priorities[0] > priorities[1]


def test_specs_are_small_and_plain(store: Store, launchpad: LaunchPad, finished: str) -> None:
    for fw in fireworks_of(launchpad, campaign_id="trimer"):
        assert len(str(fw["spec"])) < 600, fw["name"]
        if fw["spec"]["stage"] != "start":
            assert fw["spec"]["_tasks"][0].keys() == {"_fw_name"}


@pytest.mark.parametrize("stage", ["start", "label", "train", "explore", "validate", "select", "publish"])
def test_rerunning_a_firework_changes_nothing(
    store: Store, launchpad: LaunchPad, finished: str, work: Work, stage: str
) -> None:
    before, count = snapshot(store), launchpad.fireworks.count_documents({})
    first = fireworks_of(launchpad, stage=stage)[0]
    launchpad.rerun_fw(first["fw_id"])
    assert states(launchpad, finished)["COMPLETED"] < count
    work()
    assert set(states(launchpad, finished)) == {"COMPLETED"}
    assert launchpad.fireworks.count_documents({}) == count
    assert snapshot(store) == before


def test_the_same_seed_gives_the_same_campaign_and_labels_are_paid_once(
    store: Store, launchpad: LaunchPad, finished: str, load: Loader, work: Work
) -> None:
    labels = store.labels.count_documents({})
    submit(store, launchpad, load(name="again"))
    work()
    first = campaign_status(store, launchpad, finished)["iterations"]
    second = campaign_status(store, launchpad, "again")["iterations"]
    assert [row["quantiles"] for row in first] == [row["quantiles"] for row in second]
    assert store.labels.count_documents({}) == labels
    computed = store.stages.find_one({"campaign_id": "again", "stage": "label"})
    assert computed is None, "every label was a hit"


def test_another_seed_gives_another_campaign(
    store: Store, launchpad: LaunchPad, finished: str, load: Loader, work: Work
) -> None:
    submit(store, launchpad, load(name="other", seed=6))
    work()
    first = campaign_status(store, launchpad, finished)["iterations"][0]
    assert campaign_status(store, launchpad, "other")["iterations"][0]["quantiles"] != first["quantiles"]


def test_failed_labels_are_counted_and_the_campaign_goes_on(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work
) -> None:
    submit(store, launchpad, load(labeler={"kind": "morse", "fail_every": 4}))
    work()
    row = campaign_status(store, launchpad, "trimer")["iterations"][0]
    assert row["labels_failed"] > 0
    assert row["labels"] + row["labels_failed"] == 20
    assert row["label_failures"] == {"not_converged": row["labels_failed"]}
    model = store.model("trimer", 0, 0)
    assert model is not None
    assert model["labels"] < row["labels"]  # some are held out, none of the failed ones is trained on


def test_too_many_failed_labels_fizzle_with_the_numbers(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work
) -> None:
    labeling = {"batch": 7, "min_label_fraction": 0.9}
    submit(store, launchpad, load(labeler={"kind": "morse", "fail_every": 4}, labeling=labeling))
    work()
    status = campaign_status(store, launchpad, "trimer")
    assert status["state"] == "failed"
    assert {p["name"] for p in status["problems"]} == {f"trimer 000 train member {m}" for m in range(3)}
    reason = status["problems"][0]["reason"]
    assert "of 20 labels succeeded" in reason
    assert "not_converged" in reason
    assert "at least 90%" in reason


def test_a_training_that_diverges_once_takes_the_next_seed(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work
) -> None:
    submit(store, launchpad, load(potential={"kind": "blurred_morse", "diverge": 1}))
    work()
    assert campaign_state(store, launchpad, "trimer") == "completed"
    seeds = [model["seed"] for model in store.committee("trimer", 0)]
    assert seeds == [derive_seed(5, 0, "train", member, 1) for member in range(3)]


@pytest.mark.slow
def test_a_deep_potential_that_diverges_once_is_trained_with_the_next_seed(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = DeepMDPotential.train

    def first_too_fast(self: DeepMDPotential, dataset: Dataset, seed: int, directory: Path, progress: Any) -> Any:
        # Which seeds diverge at a bearable rate depends on the machine.
        fast = self.options.model_copy(update={"learning_rate": 1e30})
        potential = DeepMDPotential(fast, self.settings) if directory.name == "train-0" else self
        return train(potential, dataset, seed, directory, progress)

    monkeypatch.setattr(DeepMDPotential, "train", first_too_fast)
    nets = {"descriptor_neurons": [4, 8], "axis_neurons": 2, "fitting_neurons": [8, 8]}
    submit(store, launchpad, load(potential={"kind": "deepmd", "steps": 30, **nets}, committee=2, test=None))
    while launchpad.fireworks.find_one({"spec.stage": "train", "state": {"$in": ["COMPLETED", "FIZZLED"]}}) is None:
        work(1)
    (model,) = store.committee("trimer", 0)
    assert model["seed"] == derive_seed(5, 0, "train", model["member"], 1)
    attempts = sorted(path.name for path in (tmp_path / "launches").glob("*/train-*"))
    assert attempts == ["train-0", "train-1"]


def test_a_training_that_diverges_twice_fizzles_with_the_reason(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work
) -> None:
    submit(store, launchpad, load(potential={"kind": "blurred_morse", "diverge": 2}))
    work()
    status = campaign_status(store, launchpad, "trimer")
    assert status["state"] == "failed"
    assert "diverged with 2 seeds" in status["problems"][0]["reason"]
    assert "chosen to diverge" in status["problems"][0]["reason"]


def test_what_fizzled_is_tried_again_on_resume(store: Store, launchpad: LaunchPad, load: Loader, work: Work) -> None:
    submit(store, launchpad, load())
    work(1)
    broken = launchpad.fireworks.find_one({"spec.stage": "label"})
    launchpad.fireworks.update_one({"fw_id": broken["fw_id"]}, {"$set": {"spec.role": "nonsense"}})
    work()
    assert campaign_state(store, launchpad, "trimer") == "failed"
    launchpad.fireworks.update_one({"fw_id": broken["fw_id"]}, {"$set": {"spec.role": broken["spec"]["role"]}})
    resume(store, launchpad, "trimer")
    work()
    assert campaign_status(store, launchpad, "trimer")["verdict"] == "converged"


def test_the_label_budget_is_never_passed(store: Store, launchpad: LaunchPad, load: Loader, work: Work) -> None:
    steps = [
        {"kind": "overlap"},
        {"kind": "window", "f_lo": 0.001, "f_hi": 5.0},
        {"kind": "difference", "min_difference_A": 0.02},
        {"kind": "budget", "cap": 15},
    ]
    submit(store, launchpad, load(select=steps, budget={"labels": 42, "iterations": 9}))
    work()
    status = campaign_status(store, launchpad, "trimer")
    assert status["verdict"] == "exhausted"
    assert status["labels_spent"] == 42
    assert [row["labels"] for row in status["iterations"]] == [20, 35, 42]


def brought(folder: Path, count: int, lower_by: float = 0.0) -> list[dict[str, Any]]:
    """Start frames of which so many are labels in a file, their energies lower by so many eV, and eight are not."""
    frames = []
    for shift in np.linspace(0.0, 0.3, count):
        frame = Atoms("H3", positions=[[0, 0, 0], [1.5 + shift, 0, 0], [0, 1.5, 0]])
        energies, forces = morse(frame.positions[None])
        frame.calc = SinglePointCalculator(frame, energy=energies[0] - lower_by, forces=forces[0])
        frames.append(frame)
    write(folder / "known.extxyz", frames)
    known = {"kind": "labelled", "path": "known.extxyz", "trust_settings": True}
    return [known, {"kind": "displacements", "amplitude_A": 0.1, "frames": 8}]


def test_labels_that_a_file_brings_cost_nothing(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work, tmp_path: Path
) -> None:
    start = brought(tmp_path, 12)
    submit(store, launchpad, load(start=start, budget={"labels": 10, "iterations": 1}))
    work()
    status = campaign_status(store, launchpad, "trimer")
    assert status["iterations"][0]["labels"] == 20
    assert status["labels_spent"] == 8
    assert store.labels.count_documents({"code": "file"}) == 12


def test_brought_labels_of_another_reference_are_not_trained_on(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work, tmp_path: Path
) -> None:
    start = brought(tmp_path, 4, lower_by=100.0)
    submit(store, launchpad, load(start=start, budget={"labels": 10, "iterations": 1}))
    work()
    status = campaign_status(store, launchpad, "trimer")
    assert status["state"] == "failed"
    [failed] = launchpad.get_fw_ids({"state": "FIZZLED", "name": {"$regex": "train.*0$"}})
    text = launchpad.get_fw_by_id(failed).launches[-1].action.stored_data["_exception"]["_stacktrace"]
    assert "another method, unit or zero of energy" in text


def test_nothing_of_the_test_set_is_trained_on(store: Store, launchpad: LaunchPad, load: Loader, work: Work) -> None:
    scan = {"kind": "scan", "atoms": [0, 1], "first": 1.2, "last": 3.0, "points": 10}
    test = {"frames": [{**scan, "first": 1.2, "last": 1.6, "points": 3}]}
    submit(store, launchpad, load(start=[scan], test=test, budget={"labels": 20, "iterations": 1}))
    work()
    row = campaign_status(store, launchpad, "trimer")["iterations"][0]
    assert row["labels"] == 7
    assert row["frames_dropped"] == {"in_test_set": 3}
    assert row["test"]["frames"] == 3


def test_a_run_that_dies_early_is_not_converged(store: Store, launchpad: LaunchPad, load: Loader, work: Work) -> None:
    explorer = {"kind": "random_walk", "replicas": 2, "duration_ps": [1.0], "explode": True}
    submit(store, launchpad, load(explorer=explorer, potential={"kind": "blurred_morse", "blur": 0.0}))
    work()
    status = campaign_status(store, launchpad, "trimer")
    assert status["iterations"][0]["fractions"]["accurate"] == 1.0
    assert status["verdict"] == "stalled"
    assert "50 % of the time was survived" in status["sentence"]


@pytest.mark.parametrize("kind", ["noisy_copies", "normal_modes"])
def test_picks_are_labelled_with_copies_within_the_budget(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work, kind: str
) -> None:
    augment = {"kind": kind, "copies": 3}
    submit(store, launchpad, load(augment=augment, test=None, budget={"labels": 55, "iterations": 2}))
    work()
    first, second = campaign_status(store, launchpad, "trimer")["iterations"]
    # Of 35 labels 10 are for picks; 25 copies are as many as the budget allows of 30.
    assert (first["picks"], first["copies"]) == (10, 25)
    dropped = {"noisy_copies": {"over_budget": 4, "overlap": 1}, "normal_modes": {"over_budget": 5}}[kind]
    assert first["copies_dropped"] == dropped
    assert f"; 25 copies of the picks beside them (left out: over_budget {dropped['over_budget']}" in first["sentence"]
    assert second["labels"] + second["labels_failed"] == second["labels_paid"] == 55
    assert sum(first["fates"].values()) == 400
    frameset = store.frameset("trimer", 1, "train")
    assert frameset is not None
    frames = store.frames(frameset)
    assert [frame.info["origin"] for frame in frames] == ["pick"] * 10 + ["augmented"] * 25
    assert (second["picks"], second["copies"]) == (0, 0)
    assert picks_cell(first) == "10 + 25"


def test_an_exploded_iteration_labels_where_runs_fail_and_shortens_the_next(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work
) -> None:
    select = [{"kind": "overlap"}, {"kind": "window", "f_lo": 0.001, "f_hi": 0.02}, {"kind": "difference"}]
    convergence = {"max_exploded": 3}
    campaign = load(select=select, convergence=convergence, labeling={"suspects": None}, test=None)
    submit(store, launchpad, campaign)
    work()
    rows = campaign_status(store, launchpad, "trimer")["iterations"]
    assert [row["verdict"] for row in rows] == ["exploded"] * 3
    explored = [store.exploration("trimer", iteration, 0) for iteration in range(3)]
    assert [(each.planned_ps, len(each)) for each in explored if each] == [(1.0, 200), (0.5, 100), (0.25, 50)]
    # The first frames fail already: of each of two replicas the first one is labelled that no label is like.
    for row, selection in zip(rows, (store.selection("trimer", iteration) for iteration in range(3)), strict=True):
        assert selection is not None
        picked = [(frame.replica, frame.frame_class) for frame in selection.frames if frame.fate == "pick"]
        assert picked == [(0, "failed"), (1, "failed")]
        assert "the first failure came after 0.005 ps (replica 0)" in row["sentence"]
    assert [row["labels"] for row in rows] == [20, 22, 24]
    assert rows[0]["sentence"].endswith("going on with 2 picks, and with runs of 50 % of the planned time")
    assert "stopped after 3 exploded iteration(s) in a row: explore shorter or colder" in rows[2]["sentence"]


def test_phases_with_other_atoms_are_explored_judged_and_labelled(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work, tmp_path: Path
) -> None:
    files = [{"kind": "file", "path": "dimer.xyz"}, {"kind": "file", "path": "trimer.xyz"}]
    run = {"kind": "nvt", "duration_ps": 0.2, "timestep_fs": 0.5, "temperature_K": 2000.0}
    earlier = {"kind": "end", "phase": "first", "iteration": "last", "otherwise": files[0]}
    phases = [
        {"name": "first", "geometry": files[1], "run": [run], "sampling": {"frames": 15}},
        {"name": "second", "geometry": earlier, "run": [run], "sampling": {"frames": 15}},
    ]
    Atoms("H2", [(0, 0, 0), (1.5, 0, 0)]).write(tmp_path / "dimer.xyz")
    explorer = {"kind": "phases", "phases": phases, "max_force": 1000.0}
    submit(store, launchpad, load(explorer=explorer, test=None, budget={"labels": 60, "iterations": 2}))
    work()
    explored = [store.exploration("trimer", iteration, 0) for iteration in (0, 1)]
    seen = [[(t.name, len(t.numbers), len(t), t.ended) for t in e.trajectories] for e in explored if e]
    assert seen[0] == [("first", 3, 15, "completed"), ("second", 2, 15, "completed")]
    # In the next iteration the second phase goes on from where the first one ended.
    assert seen[1] == [("first", 3, 15, "completed"), ("second", 3, 15, "completed")]
    selection = store.selection("trimer", 0)
    assert selection is not None
    assert selection.counts["frames"] == 30
    assert {len(frame) for frame in selection.picks} == {2, 3}
    assert "all of 0.4 ps survived" in campaign_status(store, launchpad, "trimer")["iterations"][0]["sentence"]


def test_several_explorers_and_systems_side_by_side(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work
) -> None:
    systems = [
        {"name": "h3", "structure": "trimer.xyz", "spin": 1},
        {"name": "cation", "structure": "trimer.xyz", "charge": 1},
    ]
    explorers = [
        {"kind": "random_walk", "duration_ps": [0.5], "replicas": 2, "systems": ["h3"], "name": "short"},
        {"kind": "random_walk", "duration_ps": [1.0]},
    ]
    # Labels of the cation are those of the radical: what this potential says does not depend on the charge.
    campaign = load(systems=systems, explorer=explorers, test=None, budget={"labels": 60, "iterations": 2})
    submit(store, launchpad, campaign)
    work()
    status = campaign_status(store, launchpad, "trimer")
    assert status["state"] == "completed"
    assert sorted(fw["name"] for fw in fireworks_of(launchpad, stage="explore", iteration=0)) == [
        "trimer 000 explore replica 0 short h3",
        "trimer 000 explore replica 1 short h3",
        "trimer 000 explore replica 2 random_walk h3",
        "trimer 000 explore replica 3 random_walk cation",
    ]
    explored = [store.exploration("trimer", 0, replica) for replica in range(4)]
    info = [(e, e.trajectories[0].info) for e in explored if e]
    found = [(e.explorer, e.planned_ps, seen["system"], seen["charge"]) for e, seen in info]
    assert found == [
        ("short", 0.5, "h3", 0),
        ("short", 0.5, "h3", 0),
        ("random_walk", 1.0, "h3", 0),
        ("random_walk", 1.0, "cation", 1),
    ]
    assert "all of 3.0 ps survived" in status["iterations"][0]["sentence"]


def test_replicas_go_on_where_they_ended_and_options_follow_the_schedule(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work
) -> None:
    explorer = {
        "kind": "random_walk",
        "replicas": 3,
        "starts": ["last_end", "labels", "structure"],
        "schedule": {1: {"duration_ps": [0.5]}, 2: {"duration_ps": [0.25], "step_A": 0.01}},
    }
    submit(store, launchpad, load(explorer=explorer, budget={"labels": 60, "iterations": 3}))
    work()
    explored = [[store.exploration("trimer", n, replica) for replica in range(3)] for n in range(3)]
    assert [[e.planned_ps for e in row if e] for row in explored] == [[1.0] * 3, [0.5] * 3, [0.25] * 3]
    structure, labelled = explored[0][2], explored[0][1]
    assert structure is not None
    assert labelled is not None
    for before, after in itertools.pairwise(row[0] for row in explored):
        assert before is not None
        assert after is not None
        np.testing.assert_array_equal(after.trajectories[0].positions[0], before.trajectories[0].positions[-1])
    first = explored[0][0]
    assert first is not None
    np.testing.assert_array_equal(first.trajectories[0].positions[0], structure.trajectories[0].positions[0])
    known = [label.frame.positions for part in training_labels(store, "trimer", 0) for label in part]
    assert any(np.array_equal(positions, labelled.trajectories[0].positions[0]) for positions in known)
    last = explored[2][2]
    assert last is not None
    assert np.abs(np.diff(last.trajectories[0].positions, axis=0)).std() < 0.01


def test_chapters_are_one_campaign(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARC_FW_CHAPTER_NODES", "20")
    steps = [
        {"kind": "overlap"},
        {"kind": "window", "f_lo": 0.001, "f_hi": 5.0},
        {"kind": "difference", "min_difference_A": 0.02},
        {"kind": "budget", "cap": 5},
    ]
    submit(store, launchpad, load(select=steps, budget={"labels": 45, "iterations": 5}))
    work()
    chapters = [wf["metadata"]["chapter"] for wf in launchpad.workflows.find({}).sort("nodes", 1)]
    assert chapters == list(range(len(chapters)))
    assert len(chapters) >= 3
    assert max(len(wf["nodes"]) for wf in launchpad.workflows.find({})) <= 20 + 1
    status = campaign_status(store, launchpad, "trimer")
    assert status["state"] == "completed"
    assert [row["iteration"] for row in status["iterations"]] == [0, 1, 2, 3, 4]
    promotions = list(fireworks_of(launchpad, stage="publish"))
    assert len(promotions) == len(chapters)
    last_select = fireworks_of(launchpad, stage="select")[-1]
    count = launchpad.fireworks.count_documents({})
    launchpad.rerun_fw(fireworks_of(launchpad, stage="select")[0]["fw_id"])
    launchpad.rerun_fw(last_select["fw_id"])
    work()
    assert launchpad.fireworks.count_documents({}) == count


def test_a_paused_campaign_appends_nothing_and_goes_on_when_resumed(
    store: Store, launchpad: LaunchPad, load: Loader, work: Work
) -> None:
    submit(store, launchpad, load())
    work(1)
    assert pause(store, launchpad, "trimer")
    assert campaign_state(store, launchpad, "trimer") == "paused"
    assert not pause(store, launchpad, "trimer"), "it is so already"
    work()
    assert store.labels.count_documents({}) == 0
    resume(store, launchpad, "trimer")
    repair(store, launchpad, "trimer")
    work()
    assert campaign_status(store, launchpad, "trimer")["verdict"] == "converged"


def test_cancelled_means_no_more_work(store: Store, launchpad: LaunchPad, load: Loader, work: Work) -> None:
    submit(store, launchpad, load())
    work(1)
    cancel(store, launchpad, "trimer")
    work()
    assert store.models.count_documents({}) == 0
    assert campaign_state(store, launchpad, "trimer") == "cancelled"
    with pytest.raises(InputError, match="is cancelled"):
        resume(store, launchpad, "trimer")


def test_a_name_can_be_taken_once(store: Store, launchpad: LaunchPad, load: Loader) -> None:
    submit(store, launchpad, load())
    count = launchpad.fireworks.count_documents({})
    with pytest.raises(CampaignExists, match=r"'trimer' exists already: go on with it by 'sparc-fw run FILE --resume'"):
        submit(store, launchpad, load())
    assert launchpad.fireworks.count_documents({}) == count


def test_list_is_oldest_first(store: Store, launchpad: LaunchPad, finished: str, load: Loader) -> None:
    submit(store, launchpad, load(name="alone"))
    rows = campaign_rows(store, launchpad)
    assert [(row["campaign"], row["state"]) for row in rows] == [("trimer", "completed"), ("alone", "running")]
