"""Campaigns that ``lpad add`` put into the LaunchPad and that no worker has registered in the store yet."""

from __future__ import annotations

from typing import Any

from fireworks import LaunchPad

from sparc_fw.errors import CampaignExists
from sparc_fw.mongo import MongoDocument
from sparc_fw.status import problems
from sparc_fw.store import Store

CARRIES = ("spec._tasks.campaign", "spec._tasks.campaign_file")
"""Where the StartTask of a Workflow for ``lpad add`` has its campaign; that of ``sparc-fw submit`` has none."""
GIVEN_UP = ["COMPLETED", "DEFUSED", "ARCHIVED"]


def unregistered_start(store: Store, lpad: LaunchPad, campaign_id: str) -> MongoDocument | None:
    """The Firework that will register a campaign of that name; None where the store has it, or nobody will."""
    if store.campaigns.find_one({"_id": campaign_id}, {"_id": 1}) is not None:
        return None
    # A spec may leave the name to the campaign within.
    named = {"$or": [{"spec.campaign_id": campaign_id}, {"spec._tasks.campaign.name": campaign_id}]}
    carries = {"$or": [{key: {"$exists": True}} for key in CARRIES]}
    query = {"$and": [named, carries], "state": {"$nin": GIVEN_UP}}
    found: MongoDocument | None = lpad.fireworks.find_one(
        query, {"fw_id": 1, "name": 1, "state": 1}, sort=[("fw_id", 1)]
    )
    return found


def require_free_name(store: Store, lpad: LaunchPad, campaign_id: str) -> None:
    """Raise `CampaignExists` where a Workflow that has not begun holds the name: one of both could never run."""
    start = unregistered_start(store, lpad, campaign_id)
    if start is not None:
        raise CampaignExists(
            f"campaign name {campaign_id!r} is taken by Firework {start['fw_id']} ({start['name']!r}, "
            f"{start['state']}), which 'lpad add' put into the LaunchPad and which registers it once a worker begins: "
            "let 'rlaunch rapidfire' run that one, choose another name (--name), or remove it with "
            f"'lpad delete_wflows -i {start['fw_id']}'"
        )


def unregistered_status(store: Store, lpad: LaunchPad, campaign_id: str) -> dict[str, Any] | None:
    """What there is to say of a campaign before it is registered, as plain values; None where it is, or is unknown."""
    start = unregistered_start(store, lpad, campaign_id)
    if start is None:
        return None
    found = problems(lpad, campaign_id)
    state = start["state"]
    about = {
        "READY": "waits for a worker: start one with 'rlaunch rapidfire'",
        "RUNNING": "runs and has not registered the campaign yet",
        "FIZZLED": f"fizzled before it registered the campaign: {found[0]['reason'] if found else 'no reason known'}",
    }.get(state, f"is {state}")
    return {
        "campaign": campaign_id,
        "state": "failed" if state == "FIZZLED" else "waiting",
        "verdict": None,
        "sentence": f"its start Firework {start['fw_id']} {about}",
        "start_fw_id": start["fw_id"],
        "iterations": [],
        "problems": found,
    }
