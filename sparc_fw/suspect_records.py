"""The part of the store that keeps which labels were suspected, and what became of them."""

from __future__ import annotations

import time
from collections.abc import Iterable

from pymongo.collection import Collection

from sparc_fw.documents import Label
from sparc_fw.label_records import CHANGED
from sparc_fw.mongo import MongoDocument, patient
from sparc_fw.records import label_from_record, label_to_record

AGAIN = ("status", "energy", "forces", "stress", "reason", "message", "seconds", "attempts", "settings_hash", "version")
"""What is kept of the second calculation."""

JUDGED = ("confirmed", "dropped", "unchecked")
"""What becomes of a suspicion. One that no second calculation can clear up is left standing: the label stays good, and
whoever asks is told how many there are."""


class SuspectRecords:
    """Suspicions, inside the label's own record: ``suspect`` with ``state`` pending or one of `JUDGED`."""

    labels: Collection[MongoDocument]
    patience: float

    @patient
    def flag_suspect(self, key: str, campaign_id: str, iteration: int, system: str, found: MongoDocument) -> bool:
        """Note that a label is suspected; False where it was judged already, which counts for good.

        Parameters
        ----------
        found : dict
            ``z_energy``, ``z_force`` and ``predicted_energy``.
        """
        suspect = {"state": "pending", "campaign_id": campaign_id, "iteration": iteration, "system": system, **found}
        query = {"_id": key, "status": "ok", "suspect.state": {"$in": [None, "pending"]}}
        return self.labels.update_one(query, {"$set": {"suspect": suspect}, **CHANGED}).matched_count == 1

    @patient
    def pending_suspects(self, campaign_id: str, iteration: int, system: str) -> list[tuple[Label, float]]:
        """The suspects that a campaign's iteration found and nobody judged, with the committee's energy, eV."""
        place = {"suspect.campaign_id": campaign_id, "suspect.iteration": iteration, "suspect.system": system}
        found = self.labels.find({**place, "suspect.state": "pending"}).sort("_id", 1)
        return [(label_from_record(record), float(record["suspect"]["predicted_energy"])) for record in found]

    @patient
    def judge_suspect(self, key: str, state: str, why: str, again: Label | None) -> None:
        """Note what became of a suspect (`JUDGED`); the numbers of both calculations stay in its record."""
        values: MongoDocument = {"suspect.state": state, "suspect.why": why, "suspect.judged": time.time()}
        if again is not None:
            record = label_to_record(again)
            values["suspect.again"] = {name: record[name] for name in AGAIN}
        change: MongoDocument = {"$set": values}
        if state == "dropped":
            values |= {"status": "failed", "reason": "wrong_state", "message": why}
            change["$inc"] = {"revision": 1}
        self.labels.update_one({"_id": key, "suspect.state": "pending"}, {**change, **CHANGED})

    @patient
    def judged_suspects(self, keys: Iterable[str]) -> set[str]:
        """Those of `keys` that were suspected once and judged."""
        query = {"_id": {"$in": list(keys)}, "suspect.state": {"$in": JUDGED}}
        return {record["_id"] for record in self.labels.find(query, {"_id": 1})}
