"""Which labels a campaign trains on, holds out and measures with: always in a fixed order.

The labels of a frame set are read out of MongoDB once per machine and kept as arrays in a file. The file carries the
hash of all that decides its content, the revisions of its labels included; where that is no longer so, it is made anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms

from sparc_fw.campaign import Campaign
from sparc_fw.dataset_records import FIRST_REVISION
from sparc_fw.documents import Dataset, Label, json_hash
from sparc_fw.key_arrays import in_common, key_array
from sparc_fw.label_arrays import Kept, LabelBlock, Labels, aligned
from sparc_fw.local_cache import LocalCache
from sparc_fw.mongo import MongoDocument
from sparc_fw.seeds import derive_seed
from sparc_fw.store import Store

LAYOUT = 3
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
    changed = store.changed_labels()
    # The labels of a frame set depend on those before it, which may ask for the same ones.
    collection = chain = json_hash(
        [LAYOUT, campaign.name, campaign.seed, campaign.validation.fraction, campaign.labeling.energy_window_eV]
    )
    chains = [chain := json_hash([chain, one["_id"], one.get("uid"), one["frames"]]) for one in framesets]
    files = [KeptPart.read(store.label_cache, chain) for chain in chains]
    # One search for the keys of all: a hundred small ones would take longer than reading the files.
    found = iter(in_common(key_array(list(changed)), [file.keys for file in files if file]))
    parts: list[Part] = []
    complete = True
    for frameset, chain, file in zip(framesets, chains, files, strict=True):
        before = parts[-1].lowest if parts else {}
        revisions = [(key, changed[key]) for key in next(found)] if file else []
        if file and file.header["identity"] == _identity(chain, before, revisions):
            parts.append(file.part(store.label_cache, collection))
        else:
            parts.append(_make(store, campaign, frameset, parts, collection, chain))
            complete = False
    if not complete:
        store.label_cache.trim()
    held_out: dict[int, list[LabelBlock]] = {}
    for frameset, part in zip(framesets, parts, strict=True):
        held_out.setdefault(frameset["iteration"], []).append(part.held_out)
    return Dataset(
        Labels([part.train for part in parts]),
        Labels([part.held_out for part in parts]),
        sum(part.left_out for part in parts),
        {iteration: Labels(blocks) for iteration, blocks in held_out.items()},
    )


@dataclass(frozen=True)
class KeptPart:
    """A file of a part: what decides its content, the keys that it asks for, and where its blocks begin."""

    header: dict[str, Any]
    keys: np.ndarray
    data: bytes
    place: int

    @classmethod
    def read(cls, cache: LocalCache, chain: str) -> KeptPart | None:
        """The file of a frame set, if there is one."""
        data = cache.get(chain)
        if data is None:
            return None
        end = data.index(b"\n") + 1
        header = json.loads(data[:end])
        place = len(aligned(data[:end]))
        keys = np.frombuffer(data, f"S{header['width']}", header["keys"], place)
        return cls(header, keys, data, place + len(aligned(keys.tobytes())))

    def part(self, cache: LocalCache, collection: str) -> Part:
        """What the file keeps."""
        train, end = LabelBlock.from_bytes(self.data, self.place)
        held_out = LabelBlock.from_bytes(self.data, end)[0]
        part = Part(self.keys, self.header["left_out"], self.header["lowest"], train, held_out)
        part.lies_in(cache, collection, self.header["identity"])
        return part


def _identity(chain: str, before: Mapping[str, float], changed: Sequence[tuple[str, int | None]]) -> str:
    """What decides the content of a part.

    Parameters
    ----------
    chain : str
        Of its frame set and those before it.
    before : mapping of str to float
        The lowest energies before it.
    changed : sequence of (str, int or None)
        Keys and revisions of its labels, but those of the first revision, which cannot differ.
    """
    return json_hash([chain, before, changed])


def _make(
    store: Store, campaign: Campaign, frameset: MongoDocument, earlier: list[Part], collection: str, chain: str
) -> Part:
    """Read the labels of a frame set but those that earlier ones asked for, and keep them in a file."""
    whole = {**frameset, "keys": store.frameset_keys(frameset["_id"])}
    keys = list(dict.fromkeys(whole["keys"]))
    found = store.labels_with_revisions(keys)
    place = frameset["iteration"] if frameset["role"] == "train" else frameset["_id"]
    asked = key_array(keys)
    seen = {key for common in in_common(asked, [part.keys for part in earlier]) for key in common}
    own = [key for key in keys if key not in seen]
    ranked = sorted(own, key=lambda key: derive_seed(campaign.seed, place, "validation", key))
    chosen = set(ranked[: round(campaign.validation.fraction * len(own))])
    good = _named(store, whole, {key: label for key, (label, _) in found.items() if key not in seen})
    before = earlier[-1].lowest if earlier else {}
    lowest = _lowest(good, before)
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
    revisions = {key: revision for key, (_, revision) in found.items() if revision != FIRST_REVISION}
    identity = _identity(chain, before, sorted(revisions.items()))
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
    """The good ones of `labels` in the order of a frame set, each as that of the frame that this campaign asked for."""
    result = {}
    for key, frame in zip(frameset["keys"], store.frames(frameset), strict=True):
        label = labels.get(key)
        if label is not None and label.status == "ok":
            result[key] = label.for_frame(frame)
    return list(result.values())
