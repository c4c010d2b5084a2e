"""Which labels a campaign trains on, holds out and measures with: always in a fixed order.

The labels of a frame set are read out of MongoDB once per machine and kept as arrays in a file. The file carries the
hash of all that decides its content, the revisions of its labels included; where that is no longer so, it is made anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms

from sparc_fw.campaign import Campaign
from sparc_fw.dataset_records import FIRST_REVISION
from sparc_fw.documents import Dataset, Label, json_hash
from sparc_fw.label_arrays import Kept, LabelBlock, Labels, aligned
from sparc_fw.local_cache import LocalCache
from sparc_fw.mongo import MongoDocument
from sparc_fw.seeds import derive_seed
from sparc_fw.store import Store

LAYOUT = 2
"""Of the files; another number keeps another version of this package from reading them."""


@dataclass(frozen=True)
class Part:
    """The keys that a frame set asks for (ASCII, sorted), and its labels: to train on, and held out.

    `left_out` good ones are in neither: those above the energy window, which begins at the lowest energy of all parts
    up to this one (eV), by composition, charge and spin.
    """

    keys: np.ndarray
    left_out: int
    lowest: dict[str, float]
    train: LabelBlock
    held_out: LabelBlock

    def lies_in(self, cache: LocalCache, collection: str, identity: str) -> None:
        """Say where the blocks are kept."""
        self.train.kept = Kept(cache, collection, f"{identity}.train")
        self.held_out.kept = Kept(cache, collection, f"{identity}.held_out")


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
    changed = Changed.of(store.changed_labels())
    # The labels of a frame set depend on those before it, which may ask for the same ones.
    collection = chain = json_hash(
        [LAYOUT, campaign.name, campaign.seed, campaign.validation.fraction, campaign.labeling.energy_window_eV]
    )
    parts: list[Part] = []
    complete = True
    for frameset in framesets:
        chain = json_hash([chain, frameset["_id"], frameset.get("uid"), frameset["frames"]])
        part = _kept(store, collection, chain, changed)
        if part is None:
            part = _make(store, campaign, frameset, parts, collection, chain)
            complete = False
        parts.append(part)
    if not complete:
        store.label_cache.trim()
    return Dataset(
        Labels([part.train for part in parts]),
        Labels([part.held_out for part in parts]),
        sum(part.left_out for part in parts),
    )


@dataclass(frozen=True)
class Changed:
    """Keys of labels that are not of the first revision (ASCII, sorted), and their revisions."""

    keys: np.ndarray
    revisions: list[int | None]

    @classmethod
    def of(cls, revisions: Mapping[str, int | None]) -> Changed:
        """From revisions by key."""
        keys = sorted(revisions)
        return cls(_ascii(keys), [revisions[key] for key in keys])

    def among(self, keys: np.ndarray) -> list[tuple[str, int | None]]:
        """Those that are among some sorted keys, with their revisions."""
        return [(self.keys[i].decode(), self.revisions[i]) for i in np.flatnonzero(_found(keys, self.keys))]


def _ascii(keys: Sequence[str]) -> np.ndarray:
    """Keys as bytes of equal width, which numpy compares without making an object of each."""
    width = max(map(len, keys), default=1)
    return np.array(keys, dtype=f"S{width + -width % 8}")


def _found(among: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Which of `keys` are in the sorted array `among`."""
    found = np.zeros(len(keys), dtype=bool)
    if len(among):
        # Integers are compared ten times faster than text, and hashes nearly always differ in their first 8 bytes.
        likely = np.flatnonzero(_member(_beginnings(among), _beginnings(keys)))
        found[likely] = _member(among, keys[likely])
    return found


def _beginnings(keys: np.ndarray) -> np.ndarray:
    """The first 8 bytes of keys as integers of the same order."""
    return np.ascontiguousarray(keys).view(">u8")[:: keys.itemsize // 8].astype(np.uint64)


def _member(among: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Which of `values` are in the sorted array `among`, which is not empty."""
    places = np.searchsorted(among, values)
    result: np.ndarray = among[np.minimum(places, len(among) - 1)] == values
    return result


def _identity(chain: str, keys: np.ndarray, changed: Changed) -> str:
    """What decides the content of a part; labels of the first revision need not be named, since they cannot differ."""
    return json_hash([chain, changed.among(keys)])


def _kept(store: Store, collection: str, chain: str, changed: Changed) -> Part | None:
    """The part of a frame set as it was kept, unless there is none or a label of it has changed."""
    data = store.label_cache.get(chain)
    if data is None:
        return None
    end = data.index(b"\n") + 1
    header = json.loads(data[:end])
    place = len(aligned(data[:end]))
    keys = np.frombuffer(data, f"S{header['width']}", header["keys"], place)
    if header["identity"] != _identity(chain, keys, changed):
        return None
    train, end = LabelBlock.from_bytes(data, place + len(aligned(keys.tobytes())))
    part = Part(keys, header["left_out"], header["lowest"], train, LabelBlock.from_bytes(data, end)[0])
    part.lies_in(store.label_cache, collection, header["identity"])
    return part


def _make(
    store: Store, campaign: Campaign, frameset: MongoDocument, earlier: list[Part], collection: str, chain: str
) -> Part:
    """Read the labels of a frame set but those that earlier ones asked for, and keep them in a file."""
    whole = {**frameset, "keys": store.frameset_keys(frameset["_id"])}
    keys = list(dict.fromkeys(whole["keys"]))
    found = store.labels_with_revisions(keys)
    place = frameset["iteration"] if frameset["role"] == "train" else frameset["_id"]
    asked = _ascii(sorted(keys))
    seen = {key.decode() for part in earlier for key in asked[_found(part.keys, asked)]}
    own = [key for key in keys if key not in seen]
    ranked = sorted(own, key=lambda key: derive_seed(campaign.seed, place, "validation", key))
    chosen = set(ranked[: round(campaign.validation.fraction * len(own))])
    good = _named(store, whole, {key: label for key, (label, _) in found.items() if key not in seen})
    lowest = _lowest(good, earlier[-1].lowest if earlier else {})
    window = campaign.labeling.energy_window_eV
    inside = [x for x in good if window is None or (x.energy or 0.0) - lowest[surface(x.frame)] <= window]
    part = Part(
        asked,
        len(good) - len(inside),
        lowest,
        LabelBlock.of([label for label in inside if label.key not in chosen]),
        LabelBlock.of([label for label in inside if label.key in chosen]),
    )
    if len(found) < len(keys):
        return part  # a label that is missing will be there one day, which nothing would tell
    # From what was read just now: a label may have changed since anybody looked.
    changed = Changed.of({key: revision for key, (_, revision) in found.items() if revision != FIRST_REVISION})
    identity = _identity(chain, asked, changed)
    header = {"identity": identity, "left_out": part.left_out, "lowest": lowest}
    line = json.dumps({**header, "keys": len(asked), "width": asked.itemsize}).encode() + b"\n"
    pieces = [aligned(line), aligned(asked.tobytes()), part.train.to_bytes(), part.held_out.to_bytes()]
    store.label_cache.put(chain, b"".join(pieces))
    part.lies_in(store.label_cache, collection, identity)
    return part


def _lowest(labels: Sequence[Label], before: Mapping[str, float]) -> dict[str, float]:
    """The lowest energy on each surface, of labels and of what was known before."""
    lowest = dict(before)
    for label in labels:
        name = surface(label.frame)
        lowest[name] = min(float(label.energy or 0.0), lowest.get(name, np.inf))
    return lowest


def surface(frame: Atoms) -> str:
    """The potential energy surface that a frame lies on: its atoms in whatever order, charge and spin."""
    charge, spin = (int(frame.info.get(name, 0)) for name in ("charge", "spin"))
    return f"{Atoms(np.sort(frame.numbers)).symbols}_{charge}_{spin}"


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
