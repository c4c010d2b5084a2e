"""The part of the store that keeps labels: each once, whoever asks."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError

from sparc_fw.documents import FROM_FILE, Label
from sparc_fw.mongo import MongoDocument, patient, refuse_all_but_duplicates
from sparc_fw.records import label_from_record, label_to_record

CHANGED: MongoDocument = {"$currentDate": {"changed": True}}
"""Part of every write to a label, by which `sparc_fw.label_facts` finds what is new: the server's clock."""

ASKED = ("status", "reason", "seconds", "created", "effort_hash")
"""What somebody who asks for a label is told of it."""

PROVENANCE = ("computed_by", *(f"suspect.{name}" for name in ("state", "why", "z_energy", "z_force")))
PROVENANCE += ("suspect.predicted_energy", *(f"suspect.again.{name}" for name in ("energy", "reason", "message")))
"""Who computed a label, and what became of a suspicion, without arrays."""


class LabelRecords:
    """Labels by key, in the collection ``labels``."""

    labels: Collection[MongoDocument]
    patience: float

    def save_label(self, label: Label, campaign_id: str, iteration: int, fw_id: int | None) -> None:
        """Keep one label; see `save_labels`."""
        self.save_labels([label], campaign_id, iteration, fw_id)

    @patient
    def save_labels(
        self,
        labels: Sequence[Label],
        campaign_id: str,
        iteration: int,
        fw_id: int | None,
        launch_id: int | None = None,
        directory: str | None = None,
    ) -> None:
        """Keep labels under their keys, all in one round trip; one that is ``ok`` is never replaced.

        Parameters
        ----------
        campaign_id, iteration, fw_id, launch_id, directory
            Who computed them, and in which folder.
        """
        if not labels:
            return
        asker = {"campaign_id": campaign_id, "iteration": iteration, "fw_id": fw_id}
        payer = {**asker, "launch_id": launch_id, "directory": directory}
        writes = []
        for label in labels:
            record = label_to_record(label) | {"computed_by": payer, "created": time.time()}
            change = {
                "$set": record,
                "$inc": {"revision": 1},
                "$addToSet": {"asked_by": asker},
                "$unset": {"suspect": ""},
                **CHANGED,
            }
            writes.append(UpdateOne({"_id": label.key, "status": "failed"}, change, upsert=True))
        try:
            self.labels.bulk_write(writes, ordered=False)
        except BulkWriteError as error:
            refuse_all_but_duplicates(error)

    @patient
    def ask(self, keys: Iterable[str], campaign_id: str, iteration: int, fw_id: int | None) -> dict[str, MongoDocument]:
        """What is known of labels that somebody paid for already, noting who asks again.

        Returns
        -------
        dict of dict
            By key: ``status``, ``reason``, ``seconds``, ``created`` and ``effort_hash``.
        """
        query = {"_id": {"$in": list(keys)}}
        asker = {"campaign_id": campaign_id, "iteration": iteration, "fw_id": fw_id}
        self.labels.update_many({**query, "asked_by": {"$ne": asker}}, {"$addToSet": {"asked_by": asker}, **CHANGED})
        found = self.labels.find(query, dict.fromkeys(ASKED, 1))
        return {record["_id"]: record for record in found}

    @patient
    def labels_by_key(self, keys: Iterable[str]) -> dict[str, Label]:
        """The labels that exist among `keys`."""
        found = self.labels.find({"_id": {"$in": list(keys)}})
        return {record["_id"]: label_from_record(record) for record in found}

    @patient
    def provenance(self, keys: Iterable[str]) -> dict[str, MongoDocument]:
        """By key, who computed each label (``computed_by``) and whether it was suspected (``suspect``)."""
        found = self.labels.find({"_id": {"$in": list(keys)}}, dict.fromkeys(PROVENANCE, 1))
        return {record["_id"]: record for record in found}

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

    @patient
    def typical_seconds(self, settings_hash: str, formula: str) -> float | None:
        """Median wall seconds of the good labels of a composition with these settings; None where there are none."""
        query = {"settings_hash": settings_hash, "formula": formula, "status": "ok"}
        count = self.labels.count_documents(query)
        if count == 0:
            return None
        middle = self.labels.find(query, {"_id": 0, "seconds": 1}).sort("seconds", 1).skip(count // 2).limit(1)
        return float(next(middle)["seconds"])

    @patient
    def statuses(self, keys: Iterable[str]) -> dict[str, str]:
        """``ok`` or ``failed`` of each of `keys` that is there."""
        found = self.labels.find({"_id": {"$in": list(keys)}}, {"status": 1})
        return {record["_id"]: record["status"] for record in found}
