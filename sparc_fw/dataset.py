"""Which labels a campaign trains on, holds out and measures with: always in a fixed order."""

from __future__ import annotations

from sparc_fw.campaign import Campaign
from sparc_fw.documents import Dataset, Label
from sparc_fw.frame_records import IMPORT
from sparc_fw.mongo import MongoDocument
from sparc_fw.seeds import derive_seed
from sparc_fw.store import Store


def training_labels(store: Store, campaign_id: str, last_iteration: int) -> list[list[Label]]:
    """The good labels of each frame set up to and with `last_iteration`, in the order asked for; none twice."""
    seen: set[str] = set()
    result = []
    for frameset in store.training_framesets(campaign_id, last_iteration):
        result.append([label for label in _good(store, frameset) if label.key not in seen])
        seen.update(frameset["keys"])
    return result


def dataset(store: Store, campaign: Campaign, iteration: int) -> Dataset:
    """All good labels up to an iteration; what is held out once stays held out.

    Labels are held out frame set by frame set, the first `validation.fraction` in the order of a seeded permutation, so
    that later labels never change which earlier ones are held out.
    """
    train: list[Label] = []
    held_out: list[Label] = []
    framesets = store.training_framesets(campaign.name, iteration)
    asked = store.training_keys(campaign.name, iteration)
    labels = training_labels(store, campaign.name, iteration)
    for frameset, keys, mine in zip(framesets, asked, labels, strict=True):
        place = frameset["_id"] if frameset["role"] == IMPORT else frameset["iteration"]
        ranked = sorted(keys, key=lambda key: derive_seed(campaign.seed, place, "validation", key))
        chosen = set(ranked[: round(campaign.validation.fraction * len(keys))])
        for label in mine:
            (held_out if label.key in chosen else train).append(label)
    return Dataset(train, held_out)


def reference_labels(store: Store, campaign_id: str, role: str) -> list[Label]:
    """The good labels of the test set (role ``test``) or the reference scan (``scan``), in order."""
    frameset = store.frameset(campaign_id, 0, role)
    return [] if frameset is None else _good(store, frameset)


def _good(store: Store, frameset: MongoDocument) -> list[Label]:
    """The good labels of a frame set, once each, with what this campaign calls their system and origin.

    A label may have been paid by another campaign, which has other names for the same atoms.
    """
    labels = store.labels_by_key(frameset["keys"])
    result = {}
    for key, frame in zip(frameset["keys"], store.frames(frameset), strict=True):
        label = labels.get(key)
        if label is not None and label.status == "ok":
            label.frame.info = dict(frame.info)
            result[key] = label
    return list(result.values())
