"""The part of the store that keeps which frames a campaign wants labelled, or trains on."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence

from ase import Atoms
from pymongo.collection import Collection

from sparc_fw.documents import IMPORT, ON_THE_FLY, json_hash
from sparc_fw.encoding import pack_frames, unpack_frames
from sparc_fw.mongo import Files, MongoDocument, insert_once, patient, place
from sparc_fw.same_frames import frame_hash

TRAINED = ("train", ON_THE_FLY, IMPORT)
"""Roles of the frame sets that are trained on."""


def on_the_way(frameset: MongoDocument) -> dict[str, str]:
    """The labels that were paid for to make the frames of a set, beside those of the frames; the system of each."""
    # Frame sets of earlier releases do not say; no frames cost labels then.
    return dict(frameset.get("on_the_way", ()))


class FrameRecords:
    """Frame sets by campaign, iteration and role, in the collection ``framesets``.

    The frames that an iteration trains on are settled at one moment, when its frame set ``train`` is written: that
    names the imports that were there. What comes later waits for the next iteration, or members of one committee could
    train on different labels.
    """

    framesets: Collection[MongoDocument]
    files: Files
    patience: float

    @patient
    def add_frames(
        self,
        campaign_id: str,
        iteration: int,
        role: str,
        frames: Sequence[Atoms],
        keys: Sequence[str],
        dropped: dict[str, int] | None = None,
        on_the_way: dict[str, str] | None = None,
    ) -> MongoDocument:
        """Write down which frames an iteration wants labelled, in order; the first one to write wins.

        Parameters
        ----------
        role : str
            ``train``, ``test`` or ``scan``.
        keys : sequence of str
            The label key of each frame.
        dropped : dict, optional
            Frames that were left out, by reason.
        on_the_way : dict of str to str, optional
            Further labels that were paid for to make the frames, and the system of each, by key.
        """
        record = {
            "_id": place(campaign_id, iteration, role),
            "campaign_id": campaign_id,
            "iteration": iteration,
            "role": role,
            "keys": list(keys),
            "frames": self.files.put(pack_frames(frames)),
            "dropped": dropped or {},
            # No mapping: MongoDB takes a dot in a key for a path.
            "on_the_way": [list(pair) for pair in (on_the_way or {}).items()],
            "uid": uuid.uuid4().hex,
        }
        if role == "train":
            record["imports"] = self._waiting(campaign_id)
        return insert_once(self.framesets, record)

    @patient
    def test_hashes(self, campaign_id: str) -> frozenset[str]:
        """`frame_hash` of every frame of the test set, on which nothing is ever trained."""
        known = self.frameset(campaign_id, 0, "test")
        return frozenset() if known is None else frozenset(frame_hash(frame) for frame in self.frames(known))

    @patient
    def add_on_the_fly(
        self,
        campaign_id: str,
        iteration: int,
        replica: int,
        frames: Sequence[Atoms],
        keys: Sequence[str],
        on_the_way: dict[str, str],
        ended: str,
    ) -> None:
        """Write down which frames a replica had labelled while it explored; the first one to write wins.

        The set carries the iteration that trains on it first, which is the next one.

        Parameters
        ----------
        on_the_way : dict of str to str
            Labels that it asked for which nobody shall train on, and the system of each, by key.
        ended : str
            How its run ended.
        """
        record = {
            "_id": place(campaign_id, iteration + 1, ON_THE_FLY, replica),
            "campaign_id": campaign_id,
            "iteration": iteration + 1,
            "role": ON_THE_FLY,
            "replica": replica,
            "keys": list(keys),
            "frames": self.files.put(pack_frames(frames)),
            "on_the_way": [list(pair) for pair in on_the_way.items()],
            "ended": ended,
            "uid": uuid.uuid4().hex,
        }
        insert_once(self.framesets, record)

    @patient
    def frameset(self, campaign_id: str, iteration: int, role: str) -> MongoDocument | None:
        """The record of a frame set, or None."""
        return self.framesets.find_one({"_id": place(campaign_id, iteration, role)})

    @patient
    def framesets_of(self, campaign_id: str, fields: Sequence[str] | None = None) -> list[MongoDocument]:
        """The records of all frame sets of a campaign, in the order of their iterations; imports after what was asked.

        Imports carry the iteration that trains on them first, which is the next one for those that wait. Where `fields`
        are given, the records have these, and what orders them, alone.
        """
        wanted = None if fields is None else [*fields, "role", "iteration", "imports"]
        records = list(self.framesets.find({"campaign_id": campaign_id}, wanted))
        asked = [record for record in records if record["role"] == "train"]
        settled = {name: record["iteration"] for record in asked for name in record.get("imports", ())}
        coming = max((record["iteration"] for record in asked), default=-1) + 1
        for record in records:
            if record["role"] == IMPORT:
                record["iteration"] = settled.get(record["_id"], coming)
        records.sort(key=lambda record: str(record["_id"]))
        records.sort(key=lambda record: str(record["role"]), reverse=True)
        return sorted(records, key=lambda record: int(record["iteration"]))

    def _waiting(self, campaign_id: str) -> list[str]:
        """The imports that no iteration trains on yet."""
        found = list(self.framesets.find({"campaign_id": campaign_id}, {"role": 1, "imports": 1}))
        settled = {name for record in found for name in record.get("imports", ())}
        return sorted(record["_id"] for record in found if record["role"] == IMPORT and record["_id"] not in settled)

    def frames(self, frameset: MongoDocument) -> list[Atoms]:
        """The frames of a frame set, in order."""
        return unpack_frames(self.files.get(frameset["frames"]))

    @patient
    def add_import(self, campaign_id: str, frames: Sequence[Atoms], keys: Sequence[str], paths: Sequence[str]) -> int:
        """Write down labelled frames that files brought, and return the iteration from which on they are trained on.

        Parameters
        ----------
        paths : sequence of str
            Where they came from.
        """
        record = {
            "_id": "/".join([campaign_id, IMPORT, json_hash(list(keys))[:12]]),
            "campaign_id": campaign_id,
            "role": IMPORT,
            "keys": list(keys),
            "frames": self.files.put(pack_frames(frames)),
            "paths": list(paths),
            "created": time.time(),
            "uid": uuid.uuid4().hex,
        }
        name = insert_once(self.framesets, record)["_id"]
        return next(int(other["iteration"]) for other in self.framesets_of(campaign_id) if other["_id"] == name)

    def training_framesets(
        self, campaign_id: str, last_iteration: int, fields: Sequence[str] | None = None
    ) -> list[MongoDocument]:
        """The frame sets to train on of all iterations up to and with `last_iteration`; `fields` as in `framesets_of`.

        An import has a place of its own, so that nothing that was held out before it changes.
        """
        records = self.framesets_of(campaign_id, fields)
        return [r for r in records if r["role"] in TRAINED and r["iteration"] <= last_iteration]

    def _paid_framesets(self, campaign_id: str, last_iteration: int, explored: bool) -> list[MongoDocument]:
        """The frame sets to train on up to an iteration, and what was labelled while it explored."""
        later = self.training_framesets(campaign_id, last_iteration + 1) if explored else []
        asked = [record for record in later if record["role"] == ON_THE_FLY and record["iteration"] > last_iteration]
        return self.training_framesets(campaign_id, last_iteration) + asked

    def paid_keys(self, campaign_id: str, last_iteration: int, explored: bool = True) -> list[str]:
        """The keys that the campaign asked to be labelled, in order, none twice; what was imported is not among them.

        Those that it paid for on the way to its frames are. Of a label that was imported and asked for later, too, the
        first counts: it costs nothing. What was labelled while the last iteration explored is among them, or not yet.
        """
        seen: dict[str, str] = {}
        for record in self._paid_framesets(campaign_id, last_iteration, explored):
            for key in [*record["keys"], *on_the_way(record)]:
                seen.setdefault(key, record["role"])
        return [key for key, role in seen.items() if role != IMPORT]

    def paid_keys_by_system(self, campaign_id: str, last_iteration: int, explored: bool = True) -> dict[str, list[str]]:
        """The keys of `paid_keys` by the system that they were asked for, whoever computed them."""
        systems: dict[str, str] = {}
        for record in self._paid_framesets(campaign_id, last_iteration, explored):
            for key, frame in zip(record["keys"], self.frames(record), strict=True):
                systems.setdefault(key, frame.info["system"])
            systems |= {key: system for key, system in on_the_way(record).items() if key not in systems}
        found: dict[str, list[str]] = {}
        for key in self.paid_keys(campaign_id, last_iteration, explored):
            found.setdefault(systems[key], []).append(key)
        return found

    def training_keys(self, campaign_id: str, last_iteration: int) -> list[list[str]]:
        """Per frame set up to and with `last_iteration`, the keys asked for in order; none twice."""
        seen: set[str] = set()
        result = []
        for record in self.training_framesets(campaign_id, last_iteration):
            keys = [key for key in dict.fromkeys(record["keys"]) if key not in seen]
            seen.update(keys)
            result.append(keys)
        return result
