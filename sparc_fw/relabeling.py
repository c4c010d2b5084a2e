"""A campaign that takes over the frames of another one and labels them anew: the way to another labeler."""

from __future__ import annotations

from typing import Any

from ase import Atoms

from sparc_fw.campaign import Campaign
from sparc_fw.errors import InputError
from sparc_fw.same_frames import frame_hash
from sparc_fw.store import Store

LAST = 10**9
"""Later than any iteration."""


def frames_of(store: Store, campaign_id: str, role: str) -> list[Atoms]:
    """Every frame that a campaign asked labels for in a role (``train``, ``test``, ``scan``), once, in order."""
    if role == "train":
        framesets = store.training_framesets(campaign_id, LAST)
    else:
        framesets = [record for record in [store.frameset(campaign_id, 0, role)] if record is not None]
    found: dict[str, Atoms] = {}
    for frameset in framesets:
        for frame in store.frames(frameset):
            # Whether frames with exchanged atoms are one is for the keys of the new labeler to say.
            found.setdefault(frame_hash(frame, like_atoms_alike=False), frame)
    return list(found.values())


def check_relabeling(store: Store, campaign: Campaign, relabels: str) -> None:
    """Check that a campaign can take over the frames of `relabels`.

    Raises
    ------
    InputError
        If there is no such campaign or it has no frames yet, a system of theirs is not one of the new campaign, or its
        budget is too small for them.
    """
    store.campaign_record(relabels)
    frames = frames_of(store, relabels, "train")
    if not frames:
        raise InputError(f"--relabel: campaign {relabels!r} has no frames yet; expected one that has begun")
    systems = {(str(f.info["system"]), int(f.info["charge"]), int(f.info["spin"])) for f in frames}
    known = {(system.name, system.charge, system.spin) for system in campaign.systems}
    if not systems <= known:
        raise InputError(
            f"systems: found {sorted(known)} (name, charge, spin), expected those of the frames of {relabels!r} among "
            f"them, {sorted(systems)}"
        )
    if len(frames) > campaign.budget.labels:
        raise InputError(
            f"budget.labels: found {campaign.budget.labels}, expected at least {len(frames)}, the frames of "
            f"{relabels!r} that are to be labelled anew"
        )
    for names, limit in campaign.label_limits():
        found = sum(frame.info["system"] in names for frame in frames)
        if found > limit:
            raise InputError(
                f"systems: label_share: found room for {limit} labels of {' and '.join(sorted(names))}, expected at "
                f"least {found}, the frames of {relabels!r} that are to be labelled anew"
            )


def changed_keys(stored: dict[str, Any], given: dict[str, Any], prefix: str = "") -> list[str]:
    """The keys, dotted, in which two campaigns differ."""
    found = []
    for key in sorted(stored.keys() | given.keys()):
        before, after = stored.get(key), given.get(key)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            found += changed_keys(before, after, f"{prefix}{key}.")
        else:
            found.append(prefix + key)
    return found
