"""The part of the store that keeps labels: each once, whoever asks."""

from __future__ import annotations

import time
from collections.abc import Iterable

from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError

from sparc_fw.documents import FROM_FILE, Label
from sparc_fw.mongo import MongoDocument, patient
from sparc_fw.records import label_from_record, label_to_record


class LabelRecords:
    """Labels by key, in the collection ``labels``."""

    labels: Collection[MongoDocument]
    patience: float

    @patient
    def save_label(self, label: Label, campaign_id: str, iteration: int, fw_id: int | None) -> bool:
        """Keep a label under its key; one that is ``ok`` is never replaced. Returns whether it was written."""
        record = label_to_record(label)
        record["asked_by"] = [{"campaign_id": campaign_id, "iteration": iteration, "fw_id": fw_id}]
        record["created"] = time.time()
        try:
            done = self.labels.replace_one({"_id": label.key, "status": "failed"}, record, upsert=True)
        except DuplicateKeyError:
            return False
        return done.upserted_id is not None or done.modified_count == 1

    @patient
    def ask(self, key: str, campaign_id: str, iteration: int, fw_id: int | None) -> Label | None:
        """The label with that key if somebody paid for it already, noting who asked again."""
        asker = {"campaign_id": campaign_id, "iteration": iteration, "fw_id": fw_id}
        record = self.labels.find_one_and_update({"_id": key}, {"$addToSet": {"asked_by": asker}})
        return None if record is None else label_from_record(record)

    @patient
    def labels_by_key(self, keys: Iterable[str]) -> dict[str, Label]:
        """The labels that exist among `keys`."""
        found = self.labels.find({"_id": {"$in": list(keys)}})
        return {record["_id"]: label_from_record(record) for record in found}

    @patient
    def label_counts(self, keys: Iterable[str]) -> dict[str, int]:
        """How many of `keys` are ``ok``, ``failed`` and ``missing``."""
        wanted = list(dict.fromkeys(keys))
        pipeline: list[MongoDocument] = [
            {"$match": {"_id": {"$in": wanted}}},
            {"$group": {"_id": "$status", "n": {"$sum": 1}}},
        ]
        counts = {row["_id"]: int(row["n"]) for row in self.labels.aggregate(pipeline)}
        ok, failed = counts.get("ok", 0), counts.get("failed", 0)
        return {"ok": ok, "failed": failed, "missing": len(wanted) - ok - failed}

    @patient
    def count_paid(self, keys: Iterable[str]) -> int:
        """How many of `keys` somebody had to compute, or will have to: all but those that a file brought."""
        wanted = list(dict.fromkeys(keys))
        return len(wanted) - int(self.labels.count_documents({"_id": {"$in": wanted}, "code": FROM_FILE}))

    @patient
    def failure_reasons(self, keys: Iterable[str]) -> dict[str, int]:
        """How many of `keys` failed, by reason."""
        match = {"_id": {"$in": list(keys)}, "status": "failed"}
        rows = self.labels.aggregate([{"$match": match}, {"$group": {"_id": "$reason", "n": {"$sum": 1}}}])
        return {str(row["_id"]): int(row["n"]) for row in rows}
