"""What a campaign has done so far, as plain values: the source of the table, of ``status --json`` and of the report."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import asdict
from typing import Any

from fireworks import LaunchPad

from sparc_fw.documents import IMPORT, ON_THE_FLY, Report
from sparc_fw.frame_records import on_the_way
from sparc_fw.label_facts import LabelFacts, Tally
from sparc_fw.launchpad import campaign_workflows
from sparc_fw.measure_names import FORCE_MAX
from sparc_fw.mongo import MongoDocument
from sparc_fw.selectors.forgetting import memories
from sparc_fw.store import Store

STAGES = ("label", "train", "explore", "validate", "check", "select")
TABLE_STAGES = {
    "start": "start",
    "label": "label",
    "label_test": "test labels",
    "train": "train",
    "explore": "explore",
    "validate": "validate",
    "check": "check",
    "select": "select",
}
"""The stages whose seconds are shown, with their headings; start and test labels belong to the first iteration."""
ENDED = ("completed", "cancelled")


_CHAIN = re.compile(
    r"^(?:During handling of the above exception, another exception occurred|"
    r"The above exception was the direct cause of the following exception):$",
    re.MULTILINE,
)
"""What Python writes between the tracebacks of chained exceptions."""


def campaign_state(store: Store, lpad: LaunchPad, campaign_id: str) -> str:
    """One of running, paused, cancelled, completed, or failed, where a Firework fizzled and none can go on."""
    state = str(store.campaign_record(campaign_id)["state"])
    if state != "running":
        return state
    mine = {"spec.campaign_id": campaign_id}
    if lpad.fireworks.find_one({**mine, "state": {"$in": ["READY", "RESERVED", "RUNNING"]}}, {"_id": 1}) is not None:
        return state
    return "failed" if lpad.fireworks.find_one({**mine, "state": "FIZZLED"}, {"_id": 1}) is not None else state


def has_ended(store: Store, lpad: LaunchPad, campaign_id: str) -> bool:
    """Whether nothing more will happen: the campaign is not running, and what was running when it ended is done."""
    if campaign_state(store, lpad, campaign_id) == "running":
        return False
    # A worker says of its Firework that it is done before it has written all that follows from it.
    if any("locked" in workflow for workflow in campaign_workflows(lpad, campaign_id)):
        return False
    active = {"spec.campaign_id": campaign_id, "state": {"$in": ["RESERVED", "RUNNING"]}}
    return lpad.fireworks.find_one(active, {"_id": 1}) is None


def campaign_status(store: Store, lpad: LaunchPad, campaign_id: str) -> dict[str, Any]:
    """Everything about a campaign in JSON-able values; eV, eV/Å, s."""
    record = store.campaign_record(campaign_id)
    framesets = store.framesets_of(campaign_id)
    facts = store.label_facts(
        campaign_id, (key for record in framesets for key in [*record["keys"], *on_the_way(record)])
    )
    trained = Tally(facts)
    reports = store.report_records(campaign_id)
    iterations = _iterations(store, record, framesets, reports, trained, Tally(facts))
    for frameset in framesets:
        if frameset["role"] == IMPORT:
            trained.add(frameset["keys"])
    spent = iterations[-1]["labels_paid"] if iterations else 0
    last = next((row for row in reversed(iterations) if row["verdict"]), None)
    return {
        "campaign": campaign_id,
        "description": record["campaign"]["description"],
        "state": campaign_state(store, lpad, campaign_id),
        "verdict": record.get("verdict") or (last["verdict"] if last else None),
        "sentence": last["sentence"] if last else None,
        "labels_spent": spent,
        "labels_budget": record["campaign"]["budget"]["labels"],
        "label_hits": facts.hits(),
        "label_sources": trained.sources(),
        "relabels": record.get("relabels"),
        "created": record["created"],
        "promoted": record.get("promoted"),
        "iterations": iterations,
        "fixed_sets": [asdict(memory) | {"forgetting": memory.ratio} for memory in memories(reports)],
        "reference": {role: _reference(framesets, facts, role) for role in ("test", "scan")},
        "running": _running(lpad, campaign_id),
        "problems": problems(lpad, campaign_id),
    }


def campaign_rows(store: Store, lpad: LaunchPad) -> list[dict[str, Any]]:
    """One row per campaign, oldest first: what a list shows."""
    rows = []
    for record in store.campaigns.find({}, {"campaign": 0}).sort("created", 1):
        name = record["_id"]
        asked = {"campaign_id": name, "role": {"$in": ["train", ON_THE_FLY]}}
        framesets = list(store.framesets.find(asked, {"keys": 1, "role": 1}))
        last = store.selections.find_one({"campaign_id": name}, {"verdict": 1}, sort=[("iteration", -1)])
        rows.append(
            {
                "campaign": name,
                "state": campaign_state(store, lpad, name),
                "verdict": last["verdict"] if last else None,
                "iterations": sum(frameset["role"] == "train" for frameset in framesets),
                "labels": store.label_counts(key for frameset in framesets for key in frameset["keys"])["ok"],
                "created": record["created"],
            }
        )
    return rows


def _running(lpad: LaunchPad, campaign_id: str) -> dict[str, int]:
    """How many Fireworks of each stage run now."""
    mine = {"spec.campaign_id": campaign_id, "state": "RUNNING"}
    return dict(Counter(firework["spec"]["stage"] for firework in lpad.fireworks.find(mine, {"spec.stage": 1})))


def problems(lpad: LaunchPad, campaign_id: str) -> list[dict[str, Any]]:
    """The FIZZLED Fireworks of a campaign, each with the last line of its traceback."""
    found = []
    for firework in lpad.fireworks.find({"spec.campaign_id": campaign_id, "state": "FIZZLED"}):
        launch = lpad.launches.find_one({"launch_id": {"$in": firework["launches"]}}, sort=[("launch_id", -1)])
        trace = (((launch or {}).get("action") or {}).get("stored_data", {}).get("_exception") or {}).get("_stacktrace")
        found.append(
            {
                "fw_id": firework["fw_id"],
                "name": firework["name"],
                "reason": _last_words(trace) if trace else "lost: its worker died",
                "directory": launch["launch_dir"] if launch else None,
            }
        )
    return found


def _last_words(trace: str) -> str:
    """The message of the exception that a traceback ends with; the message may quote another traceback."""
    last = _CHAIN.split(trace.strip())[-1].splitlines()
    header = next((number for number, line in enumerate(last) if line.startswith("Traceback ")), -1)
    first = next((number for number in range(header + 1, len(last)) if not last[number].startswith(" ")), 0)
    return "\n".join(last[first:])


def _iterations(
    store: Store,
    campaign: MongoDocument,
    framesets: list[MongoDocument],
    reports: list[Report],
    tally: Tally,
    asked: Tally,
) -> list[dict[str, Any]]:
    """One row for each iteration.

    `tally` and `asked` are empty. At the end they have counted all frames to train on, and these with what else was
    paid for: on the way to them, and while the last iteration explored.
    """
    campaign_id = campaign["_id"]
    selections = {record["iteration"]: record for record in store.selection_records(campaign_id)}
    by_iteration = {report.iteration: report for report in reports}
    rows = []
    seconds, calibrations = stage_seconds(store, campaign_id), store.calibrations_of(campaign_id)
    imports = [frameset for frameset in framesets if frameset["role"] == IMPORT]
    begun = {frameset["iteration"] for frameset in framesets if frameset["role"] == "train"}
    learned: dict[int, list[MongoDocument]] = {}
    for frameset in framesets:
        if frameset["role"] == ON_THE_FLY:
            learned.setdefault(frameset["iteration"], []).append(frameset)
    for frameset in framesets:
        if frameset["role"] != "train":
            continue
        iteration = frameset["iteration"]
        while_exploring = learned.get(iteration + 1, [])
        for record in [frameset, *learned.get(iteration, [])]:
            tally.add(record["keys"])
        asked.add([*frameset["keys"], *on_the_way(frameset)])
        paid_to_train = asked.paid()
        for record in while_exploring:
            asked.add([*record["keys"], *on_the_way(record)])
        counts = tally.counts()
        report = by_iteration.get(iteration)
        best = report.members[report.best] if report else {}
        selection = selections.get(iteration, {})
        labelled = iteration + 1 in begun or (bool(selection.get("go_on")) and campaign["state"] not in ENDED)
        rows.append(
            {
                "iteration": iteration,
                "labels": counts["ok"],
                "labels_failed": counts["failed"],
                "labels_imported": sum(len(record["keys"]) for record in imports if record["iteration"] <= iteration),
                "labels_paid": asked.paid(),
                "labels_paid_to_train": paid_to_train,
                "labels_on_the_way": asked.paid() - tally.paid(),
                "learned": [
                    {"replica": record["replica"], "labels": len(record["keys"]), "ended": record["ended"]}
                    for record in while_exploring
                ],
                "label_failures": tally.failures(),
                "suspects": tally.suspects(),
                "frames_dropped": frameset.get("dropped", {}),
                "labels_left_out": report.left_out if report else 0,
                "test": _errors(best.get("test")),
                "validation": _errors(best.get("validation")),
                "scan_rmse": best.get("scan_rmse"),
                "members": [_member(member) for member in report.members] if report else [],
                "best_member": report.best if report else None,
                "quantiles": selection_quantiles(selection),
                "fractions": selection.get("fractions"),
                "counts": _fates(selection.get("counts"), labelled),
                "fates": _fates(selection.get("fates"), labelled),
                "picks": selection.get("picks") if labelled or not selection else 0,
                "copies": selection.get("copies", 0) if labelled else 0,
                "copies_dropped": selection.get("copies_dropped", {}),
                "window": selection.get("window"),
                "windows": {name: ends for name, *ends in selection.get("windows", [])},
                "drawn": selection.get("drawn", 0) if labelled or not selection else 0,
                "calibrations": [found.document() for found in calibrations.get(iteration, {}).values()],
                "measure": selection.get("measure"),
                "verdict": selection.get("verdict"),
                "sentence": selection.get("sentence"),
                # A stage that is still to come, or found all its work done, took no time.
                "seconds": dict.fromkeys(STAGES, 0.0) | seconds.get(iteration, {}),
            }
        )
    return rows


def _fates(counts: dict[str, int] | None, labelled: bool) -> dict[str, int] | None:
    """Frames by fate; picks that no iteration was there for have another one than those that were labelled."""
    if counts is None or labelled:
        return counts
    return {"pick_not_labelled" if fate == "pick" else fate: number for fate, number in counts.items()}


def _reference(framesets: list[MongoDocument], facts: LabelFacts, role: str) -> dict[str, Any]:
    """How many frames of the test set or the reference scan have a label, and why the others have none."""
    tally, dropped = Tally(facts), {}
    for frameset in framesets:
        if frameset["role"] == role:
            tally.add(frameset["keys"])
            dropped = frameset["dropped"]
    return {**tally.counts(), "failures": tally.failures(), "dropped": dropped}


def measure_of(status: dict[str, Any]) -> str:
    """What the campaign's frames are judged by; the force deviation while no selection has said so."""
    return next((row["measure"] for row in status["iterations"] if row["measure"]), FORCE_MAX)


def selection_quantiles(selection: dict[str, Any]) -> dict[str, float] | None:
    """Quantiles of the measure that a selection's record carries; None for an empty record."""
    return json.loads(selection["quantiles"]) if selection else None


def _errors(errors: dict[str, Any] | None) -> dict[str, float] | None:
    if errors is None:
        return None
    return {key: errors[key] for key in ("force_rmse", "force_mae", "energy_rmse", "frames")}


def _member(member: dict[str, Any]) -> dict[str, Any]:
    return {
        "test": _errors(member["test"]),
        "validation": _errors(member["validation"]),
        "held_out": {iteration: _errors(errors) for iteration, errors in member["held_out"].items()},
        "scan_rmse": member["scan_rmse"],
    }


def stage_seconds(store: Store, campaign_id: str) -> dict[int, dict[str, float]]:
    """By iteration the wall seconds of each stage so far, from the first Firework's begin to the last one's end."""
    spans: dict[int, dict[str, list[float]]] = {}
    for record in store.stages.find({"campaign_id": campaign_id}):
        begun, ended = record["started"], record["finished"]
        span = spans.setdefault(record["iteration"], {}).setdefault(record["stage"], [begun, ended])
        span[0], span[1] = min(span[0], begun), max(span[1], ended)
    return {n: {stage: span[1] - span[0] for stage, span in stages.items()} for n, stages in spans.items()}


def picks_cell(row: dict[str, Any]) -> str:
    """Picks of an iteration and, where there are any, their copies: ``"40 + 80"``."""
    return f"{row['picks']} + {row['copies']}" if row["copies"] else str(row["picks"])


def seconds_cells(row: dict[str, Any]) -> list[str]:
    """The wall seconds of an iteration as a table shows them: 0 of what was all done already, – of what was not yet."""
    seconds, under_way = row["seconds"], row["verdict"] is None
    return [
        "–" if stage not in seconds or (under_way and not seconds[stage]) else f"{seconds[stage]:.0f}"
        for stage in TABLE_STAGES
    ]
