"""Which labels a campaign trains on, holds out and measures with: always in a fixed order.

The labels of a frame set are read out of MongoDB once per machine and kept as arrays in a file, whose name is the hash
of all that decides its content. A file is never out of date: what changes gets another name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from sparc_fw.campaign import Campaign
from sparc_fw.dataset_records import FIRST_REVISION
from sparc_fw.documents import Dataset, Label, json_hash
from sparc_fw.label_arrays import LabelBlock, Labels
from sparc_fw.mongo import MongoDocument
from sparc_fw.seeds import derive_seed
from sparc_fw.store import IMPORT, Store

LAYOUT = 1
"""Of the files; another number keeps another version of this package from reading them."""

Part = tuple[LabelBlock, LabelBlock]
"""The labels of one frame set: to train on, and held out."""


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
    framesets = store.training_framesets(campaign.name, iteration, fields=("uid", "frames", "role", "iteration"))
    revisions = store.changed_labels()
    # The labels of a frame set depend on those before it, which may ask for the same ones.
    chain = json_hash([LAYOUT, campaign.seed, campaign.validation.fraction])
    seen: set[str] = set()
    parts: list[Part] = []
    complete = True
    for frameset in framesets:
        chain = json_hash([chain, frameset["_id"], frameset.get("uid"), frameset["frames"]])
        keys = _keys(store, frameset)
        part = _cached(store, _name(chain, {key: revisions[key] for key in keys if key in revisions}))
        if part is None:
            part = _make(store, campaign, frameset, keys, seen, chain)
            complete = False
        parts.append(part)
        seen.update(keys)
    if not complete:
        store.label_cache.trim()
    return Dataset(Labels([train for train, _ in parts]), Labels([held_out for _, held_out in parts]))


def _keys(store: Store, frameset: MongoDocument) -> list[str]:
    """The keys that a frame set asks for, once each; they never change."""
    name = json_hash([LAYOUT, frameset["_id"], frameset.get("uid"), frameset["frames"]]) + ".keys.json"
    known = store.label_cache.get(name)
    if known is None:
        known = json.dumps(list(dict.fromkeys(store.frameset_keys(frameset["_id"])))).encode()
        store.label_cache.put(name, known)
    keys: list[str] = json.loads(known)
    return keys


def _name(chain: str, changed: Mapping[str, int | None]) -> str:
    """Name of the file of a frame set; labels of the first revision need not be named, since they cannot differ."""
    return json_hash([chain, sorted(changed.items())])


def _cached(store: Store, name: str) -> Part | None:
    data = store.label_cache.get(name)
    if data is None:
        return None
    train, end = LabelBlock.from_bytes(data)
    return _placed(store, name, (train, LabelBlock.from_bytes(data, end)[0]))


def _placed(store: Store, name: str, part: Part) -> Part:
    for block, role in zip(part, ("train", "held_out"), strict=True):
        block.lies_in(store.label_cache, f"{name}.{role}")
    return part


def _make(
    store: Store, campaign: Campaign, frameset: MongoDocument, keys: list[str], seen: set[str], chain: str
) -> Part:
    """Read the labels of a frame set but those that earlier ones asked for, and keep them in a file."""
    found = store.labels_with_revisions(keys)
    place = frameset["_id"] if frameset["role"] == IMPORT else frameset["iteration"]
    own = [key for key in keys if key not in seen]
    ranked = sorted(own, key=lambda key: derive_seed(campaign.seed, place, "validation", key))
    chosen = set(ranked[: round(campaign.validation.fraction * len(own))])
    whole = {**frameset, "keys": store.frameset_keys(frameset["_id"])}
    good = _named(store, whole, {key: label for key, (label, _) in found.items() if key not in seen})
    part = (
        LabelBlock.of([label for label in good if label.key not in chosen]),
        LabelBlock.of([label for label in good if label.key in chosen]),
    )
    if len(found) < len(keys):
        return part  # a label that is missing will be there one day, which nothing would tell
    # The name is made of what was read just now: a label may have changed since anybody looked.
    changed = {key: revision for key, (_, revision) in found.items() if revision != FIRST_REVISION}
    store.label_cache.put(_name(chain, changed), b"".join(block.to_bytes() for block in part))
    return _placed(store, _name(chain, changed), part)


def reference_labels(store: Store, campaign_id: str, role: str) -> list[Label]:
    """The good labels of the test set (role ``test``) or the reference scan (``scan``), in order."""
    frameset = store.frameset(campaign_id, 0, role)
    return [] if frameset is None else _good(store, frameset)


def _good(store: Store, frameset: MongoDocument) -> list[Label]:
    """The good labels of a frame set, once each."""
    return _named(store, frameset, store.labels_by_key(frameset["keys"]))


def _named(store: Store, frameset: MongoDocument, labels: Mapping[str, Label]) -> list[Label]:
    """The good ones of `labels` in the order of a frame set, with what this campaign calls their system and origin.

    A label may have been paid by another campaign, which has other names for the same atoms.
    """
    result = {}
    for key, frame in zip(frameset["keys"], store.frames(frameset), strict=True):
        label = labels.get(key)
        if label is not None and label.status == "ok":
            label.frame.info = dict(frame.info)
            result[key] = label
    return list(result.values())
