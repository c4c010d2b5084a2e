"""Putting a campaign into the LaunchPad, and pausing, resuming and cancelling it there."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from fireworks import LaunchPad

from sparc_fw.campaign import Campaign
from sparc_fw.errors import InputError
from sparc_fw.launchpad import campaign_workflows
from sparc_fw.loading import LoadedCampaign
from sparc_fw.relabeling import check_relabeling
from sparc_fw.store import Store
from sparc_fw.unregistered import CARRIES, require_free_name
from sparc_fw.workflow import build_campaign

LOCK_SECONDS = 10.0
"""A lock that outlives this is what a killed process left; FireWorks holds it for milliseconds."""
PAUSABLE = ["WAITING", "READY", "RESERVED"]
"""States of Fireworks that FireWorks pauses."""


def submit(store: Store, lpad: LaunchPad, loaded: LoadedCampaign, relabels: str | None = None) -> str:
    """Register a checked campaign and add its Workflow; returns the campaign_id.

    Parameters
    ----------
    relabels : str, optional
        A campaign whose frames the new one takes over and labels anew with its own labeler.

    Raises
    ------
    CampaignExists
        If the name is taken, in the store or by a Workflow that has not begun.
    InputError
        If the frames to take over do not fit the new campaign.
    """
    require_free_name(store, lpad, loaded.campaign.name)
    if relabels is not None:
        check_relabeling(store, loaded.campaign, relabels)
    store.add_campaign(loaded.campaign, loaded.files, relabels=relabels)
    ensure_workflow(lpad, loaded.campaign)
    return loaded.campaign.name


def ensure_workflow(lpad: LaunchPad, campaign: Campaign) -> None:
    """Add the campaign's first Workflow unless it is there: a kill may have come between registering and adding."""
    # Not what `lpad add` put there: that registers a campaign of its own, or is refused when it tries.
    ours = {"spec.campaign_id": campaign.name, "spec.iteration": 0} | {key: {"$exists": False} for key in CARRIES}
    parts = {"start": set[int](), "publish": set[int]()}
    for firework in lpad.fireworks.find(ours | {"spec.stage": {"$in": list(parts)}}, {"fw_id": 1, "spec.stage": 1}):
        parts[firework["spec"]["stage"]].add(firework["fw_id"])
    if lpad.workflows.find_one({"nodes": {"$in": list(parts["start"])}}, {"_id": 1}) is None:
        ids = parts["start"] | parts["publish"]
        for workflow in lpad.workflows.find({"nodes": {"$in": list(ids)}}, {"nodes": 1}):
            ids -= set(workflow["nodes"])
        lpad.fireworks.delete_many({"fw_id": {"$in": list(ids)}})
        lpad.add_wf(build_campaign(campaign))


def unlock(lpad: LaunchPad, campaign_id: str) -> list[str]:
    """Remove locks on the campaign's Workflows that killed processes left; says in a sentence each which."""
    done = []
    for workflow in campaign_workflows(lpad, campaign_id):
        node = workflow["nodes"][0]
        if _stays_locked(lpad, node):
            lpad.workflows.update_one({"nodes": node}, {"$unset": {"locked": ""}})
            done.append(f"unlocked the Workflow of Firework {node}, whose lock was left by a killed process")
    return done


def _stays_locked(lpad: LaunchPad, node: int) -> bool:
    """Whether a Workflow is locked and nobody writes to it for `LOCK_SECONDS`."""
    deadline = time.monotonic() + LOCK_SECONDS
    before = None
    while time.monotonic() < deadline:
        current = lpad.workflows.find_one({"nodes": node}, {"locked": 1, "updated_on": 1})
        if current is None or "locked" not in current:
            return False
        if before is not None and current["updated_on"] != before:
            deadline = time.monotonic() + LOCK_SECONDS  # somebody works: another holder each time
        before = current["updated_on"]
        time.sleep(0.2)
    return True


def pause(store: Store, lpad: LaunchPad, campaign_id: str) -> bool:
    """Let running Fireworks finish and start no more; False where it is so already.

    Raises
    ------
    InputError
        If the campaign has ended.
    """
    waiting = {"spec.campaign_id": campaign_id, "state": {"$in": PAUSABLE}}
    # A kill may have come between the state and the Fireworks.
    if store.campaign_record(campaign_id)["state"] == "paused" and lpad.fireworks.find_one(waiting, {"_id": 1}) is None:
        return False
    _hold_back(store, lpad, campaign_id, "paused", partial(_pause_fireworks, lpad))
    return True


def _pause_fireworks(lpad: LaunchPad, node: int) -> None:
    """Pause what can be paused of a Workflow; FireWorks' own way calls it an error where something runs."""
    workflow = lpad.workflows.find_one({"nodes": node}, {"nodes": 1})
    for firework in lpad.fireworks.find(
        {"fw_id": {"$in": workflow["nodes"]}, "state": {"$in": PAUSABLE}}, {"fw_id": 1}
    ):
        lpad.pause_fw(firework["fw_id"])


def resume(store: Store, lpad: LaunchPad, campaign_id: str) -> None:
    """Let a paused campaign go on, and try again what fizzled.

    Raises
    ------
    InputError
        If the campaign has ended.
    """
    _require(store, campaign_id, ("running", "paused"))
    unlock(lpad, campaign_id)
    store.update_campaign(campaign_id, {"state": "running"})
    for firework in lpad.fireworks.find({"spec.campaign_id": campaign_id, "state": "PAUSED"}, {"fw_id": 1}):
        lpad.resume_fw(firework["fw_id"])
    for firework in lpad.fireworks.find({"spec.campaign_id": campaign_id, "state": "FIZZLED"}, {"fw_id": 1}):
        lpad.rerun_fw(firework["fw_id"])


def cancel(store: Store, lpad: LaunchPad, campaign_id: str) -> None:
    """End a campaign: nothing more is started, what it labelled and learned stays.

    Raises
    ------
    InputError
        If the campaign has ended.
    """
    _hold_back(store, lpad, campaign_id, "cancelled", partial(lpad.defuse_wf, defuse_all_states=False))


def _hold_back(store: Store, lpad: LaunchPad, campaign_id: str, state: str, hold: Callable[[int], Any]) -> None:
    """Set the campaign's state and do to its Workflows what keeps their Fireworks from starting."""
    _require(store, campaign_id, ("running", "paused"))
    # First the state: a select that finishes now must not append what would run on.
    store.update_campaign(campaign_id, {"state": state})
    unlock(lpad, campaign_id)
    for workflow in campaign_workflows(lpad, campaign_id):
        hold(workflow["nodes"][0])


def _require(store: Store, campaign_id: str, states: tuple[str, ...]) -> None:
    state = store.campaign_record(campaign_id)["state"]
    if state not in states:
        raise InputError(f"campaign {campaign_id!r} is {state}; expected {' or '.join(states)}")
