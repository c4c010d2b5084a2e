"""The part of the store that tells what is new in a campaign's training data, without reading what is old."""

from __future__ import annotations

from collections.abc import Iterable

from pymongo.collection import Collection

from sparc_fw.documents import Label
from sparc_fw.mongo import MongoDocument, patient
from sparc_fw.records import label_from_record

FIRST_REVISION = 1
"""``revision`` of a label that is as it was first written. Every change of its status or numbers adds one."""

ASKED_AT_ONCE = 10_000
"""Keys per query: two lists of so many stay far below the 16 MB that MongoDB takes."""


class DatasetRecords:
    """Revisions of labels, and which frame sets ask for which labels."""

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
    def framesets_with(self, keys: Iterable[str]) -> dict[str, list[str]]:
        """Which frame sets, of whatever campaign, ask for which of `keys`: by the id of the frame set."""
        wanted = list(keys)
        result: dict[str, list[str]] = {}
        for first in range(0, len(wanted), ASKED_AT_ONCE):
            part = wanted[first : first + ASKED_AT_ONCE]
            # No further condition, so that MongoDB can only go by the index of the keys.
            pipeline: list[MongoDocument] = [
                {"$match": {"keys": {"$in": part}}},
                {"$project": {"keys": {"$setIntersection": ["$keys", part]}}},
            ]
            for record in self.framesets.aggregate(pipeline):
                result.setdefault(record["_id"], []).extend(record["keys"])
        return result

    @patient
    def labels_with_revisions(self, keys: Iterable[str]) -> dict[str, tuple[Label, int | None]]:
        """The labels that exist among `keys`, each with its revision of that moment."""
        found = self.labels.find({"_id": {"$in": list(keys)}})
        return {record["_id"]: (label_from_record(record), record.get("revision")) for record in found}
