"""``explain`` and ``replay`` on a campaign that ran."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fireworks import LaunchPad
from typer.testing import Result

from cheap_campaigns import good
from sparc_fw.campaign import Campaign
from sparc_fw.loading import LoadedCampaign
from sparc_fw.settings import Settings
from sparc_fw.store import Store
from sparc_fw.submission import submit
from sparc_fw.testing import BlurredMorseOptions, BlurredMorsePotential

Command = Callable[..., Result]
STEPS: list[dict[str, Any]] = [
    {"kind": "overlap"},
    {"kind": "window", "f_lo": 0.001, "f_hi": 5.0},
    {"kind": "difference", "min_difference_A": 0.1},
    {"kind": "budget", "cap": 10},
]


@pytest.fixture
def looked_into(
    store: Store, launchpad: LaunchPad, load: Callable[..., LoadedCampaign], work: Callable[..., None]
) -> Campaign:
    """A campaign of two iterations, the last of which picks what nobody labels; the best pick of the first failed."""
    few = {"committee": 2, "labeling": {"batch": 50}, "test": None}
    loaded = load(select=STEPS, budget={"labels": 60, "iterations": 2}, **few)
    submit(store, launchpad, loaded)
    work()
    key = labelled(store)[0]
    store.labels.update_one({"_id": key}, {"$set": {"status": "failed", "reason": "timeout", "message": "too\nlate"}})
    return loaded.campaign


def labelled(store: Store) -> list[str]:
    """The keys of what the first iteration picked."""
    frameset = store.frameset("trimer", 1, "train")
    assert frameset is not None
    return list(frameset["keys"])


def test_explain(command: Command, store: Store, looked_into: Campaign) -> None:
    first = json.loads(good(command("explain", "trimer", "--iteration", "0", "--json")))
    check_iteration(first, store)
    check_frames(command, first, store)
    last = json.loads(good(command("explain", "trimer", "--json")))
    assert last["iteration"] == 1, "the last one where none is named"
    assert last["fates"]["pick_not_labelled"] == len(last["picks"]) > 0
    assert {(pick["status"], pick["key"], pick["force_error"]) for pick in last["picks"]} == {("none", None, None)}
    check_refusals(command)


def check_iteration(values: dict[str, Any], store: Store) -> None:
    """Fates add up, and picks come in their order with their labels and the error of a model that did not know them."""
    assert values["window"] == [0.001, 5.0]
    assert [sum(replica["fates"].values()) for replica in values["replicas"]] == [200, 200]
    assert sum(values["fates"].values()) == values["frames"] == 400
    picks = values["picks"]
    assert [pick["key"] for pick in picks] == labelled(store)
    judged = [pick["value"] for pick in picks]
    assert judged == sorted(judged, reverse=True)
    assert (picks[0]["status"], picks[0]["reason"], picks[0]["force_error"]) == ("failed", "timeout", None)
    assert {pick["status"] for pick in picks[1:]} == {"ok"}
    report = store.report_records("trimer")[0]
    assert values["member"] == report.best
    model, label = store.model("trimer", 0, report.best), store.labels_by_key([picks[1]["key"]])[picks[1]["key"]]
    assert model is not None
    assert label.forces is not None
    evaluator = BlurredMorsePotential(BlurredMorseOptions(), Settings()).load(
        store.files.path(model["file"], model["suffix"])
    )
    _, forces = evaluator.evaluate(label.frame.numbers, label.frame.positions[None], None)
    assert picks[1]["force_error"] == pytest.approx(np.linalg.norm(forces[0] - label.forces, axis=1).max())


def check_frames(command: Command, values: dict[str, Any], store: Store) -> None:
    """A pick has its label; what was too similar is near another one; both names of a frame are one."""

    def explained(frame: str) -> dict[str, Any]:
        told = good(command("explain", "trimer", "--iteration", "0", "--frame", frame, "--json"))
        return dict(json.loads(told)["frame"])

    best = values["picks"][0]
    picked = explained(f"{best['replica']}:{best['index']}")
    assert picked == explained(str(picked["number"]))
    assert picked["number"] == 200 * best["replica"] + best["index"]
    assert (picked["fate"], picked["turn"], picked["taken_by"], picked["pick"]) == ("pick", 1, None, best)
    assert picked["time_fs"] == 5.0 * (best["index"] + 1)
    assert picked["measures"]["force_max"] == picked["value"] == best["value"]
    assert picked["measures"]["force_mean"] < picked["value"]
    selection = store.selection("trimer", 0)
    assert selection is not None
    similar = next(frame for frame in selection.frames if frame.fate == "too_similar")
    frame = explained(f"{similar.replica}:{similar.index}")
    assert frame["taken_by"] == "select[2] (difference)"
    assert frame["nearest"]["distance_A"] < 0.1
    text = good(command("explain", "trimer", "--iteration", "0", "--frame", f"{similar.replica}:{similar.index}"))
    assert "too_similar: It is too similar to a labelled frame, or to one that came before it.\n" in text
    told = good(command("explain", "trimer", "--iteration", "0", "--frame", f"{best['replica']}:{best['index']}"))
    assert "failed: timeout (late)" in " ".join(told.split())
    assert max(map(len, told.splitlines())) <= 80


def check_refusals(command: Command) -> None:
    """Bad input is told in one sentence."""
    for arguments, told in {
        ("nobody",): "campaign 'nobody': not in the store",
        ("trimer", "--iteration", "9"): "iteration: found 9, expected 0 to 1",
        ("trimer", "--frame", "400"): "frame: found 400, expected 0 to 399",
        ("trimer", "--frame", "2:0"): "frame: found replica 2, expected 0 to 1",
        ("trimer", "--frame", "1:200"): "frame: found 1:200, expected 1:0 to 1:199",
        ("trimer", "--frame", "first"): "frame: found 'first', expected a number such as 812, or REPLICA:INDEX",
    }.items():
        result = command("explain", *arguments)
        assert result.exit_code == 2, arguments
        assert told in result.stderr
        assert result.stderr.count("\n") == 1


def test_replay(command: Command, store: Store, looked_into: Campaign, tmp_path: Path) -> None:
    own, other = tmp_path / "own.yaml", tmp_path / "other.yaml"
    own.write_text(yaml.safe_dump(looked_into.as_dict()))
    counts = {name: store.database[name].count_documents({}) for name in store.database.list_collection_names()}
    for each in replayed(command, own):
        assert each["now"] == each["then"], "a campaign's own steps pick what they picked"
        assert each["common"] == len(each["then"]["picks"]) > 0
    other.write_text(yaml.safe_dump([STEPS[1] | {"f_hi": 1e-9, "f_lo": 1e-10}, {"kind": "budget", "cap": 3}]))
    assert [each["now"]["fractions"]["failed"] for each in replayed(command, other)] == [1.0, 1.0]
    other.write_text(yaml.safe_dump([*STEPS[:3], {"kind": "budget", "cap": 3}]))
    (first,) = replayed(command, other, "--iteration", "0")
    assert first["now"]["picks"] == first["then"]["picks"][:3]
    assert first["common"] == first["now"]["fates"]["pick"] == 3
    text = good(command("replay", "trimer", "--select", str(other)))
    assert max(map(len, text.splitlines()[1:10])) <= 80
    assert {name: store.database[name].count_documents({}) for name in counts} == counts, "nothing is stored"
    for content, told in {
        "- {kind: overlap}\n- {kind: window, f_low: 1.0}\n": "line 2: select[1].f_low: no such key",
        "- {kind: overlap}\n": "expected exactly one step",
        "steps: []\n": "found no steps, expected a list of them, or the key 'select' with one",
        "- {kind: window, f_lo: 0.1, f_hi: 1.0, elements: [Fe]}\n": "select[0]: elements: found 'Fe'",
    }.items():
        other.write_text(content)
        result = command("replay", "trimer", "--select", str(other))
        assert result.exit_code == 2, content
        assert told in result.stderr


def replayed(command: Command, file: Path, *more: str) -> list[dict[str, Any]]:
    """What other steps make of the campaign's explorations."""
    found: dict[str, Any] = json.loads(good(command("replay", "trimer", "--select", str(file), "--json", *more)))
    return list(found["iterations"])
