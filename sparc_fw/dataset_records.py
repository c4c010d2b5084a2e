"""The part of the store that tells what is new in a campaign's training data, without reading what is old."""

from __future__ import annotations

from collections.abc import Iterable

from pymongo.collection import Collection

from sparc_fw.documents import Label
from sparc_fw.errors import StoreError
from sparc_fw.mongo import MongoDocument, patient
from sparc_fw.records import label_from_record

FIRST_REVISION = 1
"""``revision`` of a label that is as it was first written. Every change of its status or numbers adds one."""


class DatasetRecords:
    """Revisions of labels, and the keys of frame sets."""

    labels: Collection[MongoDocument]
    framesets: Collection[MongoDocument]
    patience: float

    @patient
    def changed_labels(self) -> dict[str, int | None]:
        """Revision by key of every label that was changed after it was first written.

        They are few: failures that were tried again, and suspects that were dropped. None stands for labels of before
        there were revisions.
        """
        found = self.labels.find({"revision": {"$ne": FIRST_REVISION}}, {"revision": 1})
        return {record["_id"]: record.get("revision") for record in found}

    @patient
    def frameset_keys(self, frameset_id: str) -> list[str]:
        """The keys of a frame set, in order; one may occur twice."""
        record = self.framesets.find_one({"_id": frameset_id}, {"keys": 1})
        if record is None:
            raise StoreError(f"frame set {frameset_id} vanished from the store, expected it to stay")
        keys: list[str] = record["keys"]
        return keys

    @patient
    def labels_with_revisions(self, keys: Iterable[str]) -> dict[str, tuple[Label, int | None]]:
        """The labels that exist among `keys`, each with its revision of that moment."""
        found = self.labels.find({"_id": {"$in": list(keys)}})
        return {record["_id"]: (label_from_record(record), record.get("revision")) for record in found}
