"""Mending what a kill leaves behind in the LaunchPad and FireWorks itself does not mend.

FireWorks writes a finished launch in several steps: the launch, the lock on the Workflow, the Fireworks (with those of
a detour), the Workflow, the unlocking. Each gap between two of them leaves another wreck. `repair` compares the store,
``fireworks`` and ``workflows`` and puts the campaign into the state from which it goes on. It is safe while workers
run: it changes a Workflow only under FireWorks' own lock.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone

from fireworks import LaunchPad
from fireworks.core.launchpad import WFLock

from sparc_fw.launchpad import campaign_workflows
from sparc_fw.mongo import MongoDocument
from sparc_fw.processes import has_died, own_mark, ran_here
from sparc_fw.store import Store
from sparc_fw.submission import ensure_workflow, unlock

ADD_SECONDS = 1.0
"""Longest time between FireWorks' writing the Fireworks of a new Workflow and the Workflow itself."""

AWAY = ("AutoReconnect", "ServerSelectionTimeoutError", "NetworkTimeout", "ConnectionFailure", "NotPrimaryError")
"""Exceptions of pymongo that say nothing about the task that they hit."""

CHECKOUT_SECONDS = 20.0
"""Far longer than FireWorks takes from reserving a Firework to writing its launch."""

WORKER_PREFIX = "sparc-fw"


def worker_name(number: int) -> str:
    """Name of a worker of this process, by which `repair` can tell that it is dead."""
    return f"{WORKER_PREFIX}:{own_mark()}:{number}"


def _is_dead(launch: MongoDocument, silence_seconds: float) -> bool:
    """Whether a worker of ours is gone: as the kernel says where it ran under this one, or for its long silence.

    Another host, or this one before it was booted again, is known by its pings alone, which come in every quarter of
    `silence_seconds`. A machine that slept has not heard its own workers either, and asks its kernel.
    """
    prefix, _, rest = launch["fworker"]["name"].partition(":")
    mark = rest.rpartition(":")[0]
    if prefix != WORKER_PREFIX or ran_here(mark):
        return prefix == WORKER_PREFIX and has_died(mark)
    latest = launch["state_history"][-1]
    return _age_seconds(latest.get("updated_on", latest["created_on"])) > silence_seconds


@dataclass
class Repairs:
    """What was mended: one sentence each."""

    done: list[str] = field(default_factory=list)

    def note(self, sentence: str) -> None:
        """Add a sentence."""
        self.done.append(sentence)


def repair(store: Store, lpad: LaunchPad, campaign_id: str, dead_workers: tuple[str, ...] = ()) -> Repairs:
    """Mend a campaign's Workflows.

    Parameters
    ----------
    dead_workers : tuple of str
        Names of workers that the caller knows to be dead; others of this host are recognised by their process.
    """
    repairs = Repairs()
    record = store.campaign_record(campaign_id)
    if record["start_fw_id"] is None and time.time() - record["created"] > ADD_SECONDS:
        ensure_workflow(lpad, store.campaign(campaign_id))
    repairs.done += unlock(lpad, campaign_id)
    _delete_orphans(lpad, campaign_id, repairs)
    for workflow in campaign_workflows(lpad, campaign_id):
        _agree_on_states(lpad, workflow["nodes"][0], repairs)
    _rerun_dead(store, lpad, campaign_id, dead_workers, repairs)
    _rerun_cut_off(lpad, campaign_id, repairs)
    _refresh_finished(lpad, campaign_id, repairs)
    _reapply_selections(store, lpad, campaign_id, repairs)
    return repairs


def _delete_orphans(lpad: LaunchPad, campaign_id: str, repairs: Repairs) -> None:
    """Delete Fireworks that are in no Workflow: a detour whose Workflow was never written."""
    with ExitStack() as locks:
        for workflow in campaign_workflows(lpad, campaign_id):
            locks.enter_context(WFLock(lpad, workflow["nodes"][0]))  # an append that is under way holds it
        orphans = _orphans(lpad, campaign_id)
        if not orphans:
            return
        # A chapter is added without a lock, Fireworks first: give it the time to write its Workflow.
        time.sleep(ADD_SECONDS)
        orphans &= _orphans(lpad, campaign_id)
        if orphans:
            lpad.fireworks.delete_many({"fw_id": {"$in": sorted(orphans)}})
            repairs.note(f"deleted {len(orphans)} Fireworks that were in no Workflow")


def _orphans(lpad: LaunchPad, campaign_id: str) -> set[int]:
    ids = {firework["fw_id"] for firework in lpad.fireworks.find({"spec.campaign_id": campaign_id}, {"fw_id": 1})}
    for workflow in campaign_workflows(lpad, campaign_id):
        ids.difference_update(workflow["nodes"])
    return ids


def _agree_on_states(lpad: LaunchPad, node: int, repairs: Repairs) -> None:
    """Make ``workflows.fw_states`` say what ``fireworks.state`` says."""
    with WFLock(lpad, node):
        workflow = lpad.workflows.find_one({"nodes": node}, {"fw_states": 1, "nodes": 1})
        found = lpad.fireworks.find({"fw_id": {"$in": workflow["nodes"]}}, {"fw_id": 1, "state": 1})
        actual = {str(firework["fw_id"]): firework["state"] for firework in found}
        wrong = {key: state for key, state in actual.items() if workflow["fw_states"].get(key) != state}
        if wrong:
            lpad.workflows.update_one(
                {"nodes": node}, {"$set": {f"fw_states.{key}": state for key, state in wrong.items()}}
            )
            repairs.note(f"corrected the state of {len(wrong)} Fireworks in the Workflow of Firework {node}")


def _rerun_dead(
    store: Store, lpad: LaunchPad, campaign_id: str, dead_workers: tuple[str, ...], repairs: Repairs
) -> None:
    """Rerun Fireworks whose worker is dead, without waiting for their ping to expire."""
    # FIZZLED too: FireWorks says so when MongoDB goes away while it takes a Firework, and leaves the launch RUNNING.
    taken = {"spec.campaign_id": campaign_id, "state": {"$in": ["RUNNING", "RESERVED", "FIZZLED"]}}
    for firework in list(lpad.fireworks.find(taken, {"fw_id": 1, "launches": 1, "name": 1, "state": 1})):
        launch = lpad.launches.find_one({"launch_id": {"$in": firework["launches"]}}, sort=[("launch_id", -1)])
        if launch is None:
            # Reserved this moment, and the launch comes next; or its worker died in between.
            reserved = lpad.fireworks.find_one({"fw_id": firework["fw_id"], "state": "RESERVED", "launches": []})
            if reserved is not None and _age_seconds(reserved["updated_on"]) > CHECKOUT_SECONDS:
                lpad.rerun_fw(firework["fw_id"])
                repairs.note(f"reran {firework['name']!r}, whose worker died while it took it")
            continue
        dead = launch["fworker"]["name"] in dead_workers or _is_dead(launch, store.claim_seconds)
        if launch["state"] in ("RUNNING", "RESERVED") and dead:
            lpad.mark_fizzled(launch["launch_id"])
            lpad.rerun_fw(firework["fw_id"])
            if store.campaign_record(campaign_id)["state"] == "paused":
                lpad.pause_fw(firework["fw_id"])
            repairs.note(f"reran {firework['name']!r}, whose worker is dead")


def _age_seconds(moment: datetime | str) -> float:
    """Seconds since a moment as FireWorks stores it: a datetime of MongoDB or an ISO string, both in UTC."""
    then = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return (datetime.now(timezone.utc) - then.replace(tzinfo=timezone.utc)).total_seconds()


def is_cut_off(text: str) -> bool:
    """Whether a traceback or message tells of a MongoDB that went away."""
    return any(f"pymongo.errors.{name}" in text for name in AWAY)


def _rerun_cut_off(lpad: LaunchPad, campaign_id: str, repairs: Repairs) -> None:
    """Rerun Fireworks that fizzled because MongoDB went away while FireWorks itself was reading or writing."""
    for firework in list(lpad.fireworks.find({"spec.campaign_id": campaign_id, "state": "FIZZLED"})):
        launch = lpad.launches.find_one({"launch_id": {"$in": firework["launches"]}}, sort=[("launch_id", -1)])
        stored = ((launch or {}).get("action") or {}).get("stored_data") or {}
        exception = stored.get("_exception") or {}
        # One that never ran has failed at nothing: FireWorks says FIZZLED where it could not refresh a Workflow.
        if launch is None or is_cut_off(str(exception.get("_stacktrace"))):
            lpad.rerun_fw(firework["fw_id"])
            repairs.note(f"reran {firework['name']!r}, which was cut off from MongoDB")


def _refresh_finished(lpad: LaunchPad, campaign_id: str, repairs: Repairs) -> None:
    """Refresh Fireworks whose launch ended without their hearing of it, and those whose parents are all done."""
    active = {"spec.campaign_id": campaign_id, "state": {"$in": ["RUNNING", "RESERVED", "WAITING", "FIZZLED"]}}
    for firework in list(lpad.fireworks.find(active, {"fw_id": 1, "launches": 1, "name": 1, "state": 1})):
        ends = ["COMPLETED"] if firework["state"] == "FIZZLED" else ["COMPLETED", "FIZZLED"]
        ended = {"launch_id": {"$in": firework["launches"]}, "state": {"$in": ends}}
        if firework["state"] == "WAITING":
            parents = _parent_states(lpad, firework["fw_id"])
            if not parents or any(state != "COMPLETED" for state in parents):
                continue
        elif lpad.launches.find_one(ended, {"_id": 1}) is None:
            continue
        lpad._refresh_wf(firework["fw_id"])
        after = lpad.fireworks.find_one({"fw_id": firework["fw_id"]}, {"state": 1})["state"]
        if after != firework["state"]:
            repairs.note(f"refreshed {firework['name']!r}: {firework['state']} -> {after}")


def _parent_states(lpad: LaunchPad, fw_id: int) -> list[str]:
    workflow = lpad.workflows.find_one({"nodes": fw_id}, {"parent_links": 1, "fw_states": 1})
    return [workflow["fw_states"][str(parent)] for parent in workflow["parent_links"].get(str(fw_id), [])]


def _reapply_selections(store: Store, lpad: LaunchPad, campaign_id: str, repairs: Repairs) -> None:
    """Rerun a COMPLETED select (or start) whose stored record asks for an iteration that is not there."""
    from sparc_fw.workflow import iteration_exists

    if store.campaign_record(campaign_id)["state"] != "running":
        return
    query = {"spec.campaign_id": campaign_id, "state": "COMPLETED", "spec.stage": {"$in": ["start", "select"]}}
    for firework in list(lpad.fireworks.find(query, {"fw_id": 1, "spec": 1, "name": 1})):
        stage, iteration = firework["spec"]["stage"], firework["spec"]["iteration"]
        wanted = 0 if stage == "start" else iteration + 1
        if stage == "select":
            selection = store.selection(campaign_id, iteration)
            if selection is None or not selection.go_on:
                continue
        with WFLock(lpad, firework["fw_id"]):  # an append that is under way ends first
            exists = iteration_exists(lpad, campaign_id, wanted)
        if not exists:
            lpad.rerun_fw(firework["fw_id"])
            repairs.note(f"reran {firework['name']!r}, whose iteration {wanted} was never appended")
