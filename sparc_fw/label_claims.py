"""The part of the store that keeps two workers from paying for one label at the same moment."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pymongo import UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, PyMongoError

from sparc_fw.mongo import MongoDocument, patient, refuse_all_but_duplicates
from sparc_fw.processes import has_died

logger = logging.getLogger(__name__)


class LabelClaims:
    """Who computes which label now, in the collection ``claims``.

    A claim holds while its owner renews it (`renewing`). One whose owner is silent for ``claim_seconds``, or is known
    to be dead because it ran on this machine, is anybody's: no kill blocks a label. All times are the server's.
    """

    claims: Collection[MongoDocument]
    patience: float
    claim_seconds: float

    @patient
    def claim(self, keys: Sequence[str], owner: str) -> list[str]:
        """Claim labels for `owner` (`sparc_fw.processes.own_mark`); returns the keys that are its own now, in order."""
        wanted = list(dict.fromkeys(keys))
        self._release_dead(wanted)
        free: MongoDocument = {
            "$or": [
                {"$eq": [{"$ifNull": ["$owner", owner]}, owner]},
                {"$lt": ["$expires", "$$NOW"]},
            ]
        }
        # One atomic step per key: take it, or leave it as it is.
        update: list[MongoDocument] = [
            {"$set": {"free": free}},
            {
                "$set": {
                    "owner": {"$cond": ["$free", owner, "$owner"]},
                    "expires": {"$cond": ["$free", self._expiry, "$expires"]},
                }
            },
            {"$unset": ["free"]},
        ]
        try:
            self.claims.bulk_write([UpdateOne({"_id": key}, update, upsert=True) for key in wanted], ordered=False)
        except BulkWriteError as error:
            refuse_all_but_duplicates(error)
        mine = {record["_id"] for record in self.claims.find({"_id": {"$in": wanted}, "owner": owner}, {"_id": 1})}
        return [key for key in wanted if key in mine]

    @patient
    def release(self, keys: Sequence[str], owner: str) -> None:
        """Give up claims of `owner`."""
        self.claims.delete_many({"_id": {"$in": list(keys)}, "owner": owner})

    @contextmanager
    def renewing(self, owner: str) -> Iterator[None]:
        """Renew all claims of `owner` while the context lasts, and give up what is left at its end."""
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(self.claim_seconds / 4):
                try:
                    self._renew(owner)
                except PyMongoError as error:
                    # The calculation goes on, and the next renewal may come in time.
                    logger.warning("claims of %s were not renewed: %s", owner, error)

        thread = threading.Thread(target=renew, name="renew label claims", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            self._release_all(owner)

    @property
    def _expiry(self) -> MongoDocument:
        return {"$add": ["$$NOW", round(1000 * self.claim_seconds)]}

    @patient
    def _renew(self, owner: str) -> None:
        self.claims.update_many({"owner": owner}, [{"$set": {"expires": self._expiry}}])

    @patient
    def _release_all(self, owner: str) -> None:
        self.claims.delete_many({"owner": owner})

    def _release_dead(self, keys: Sequence[str]) -> None:
        """Drop claims of processes of this machine that are gone, without waiting until they expire."""
        query: dict[str, Any] = {"_id": {"$in": list(keys)}}
        for owner in self.claims.distinct("owner", query):
            if has_died(owner):
                self.claims.delete_many({**query, "owner": owner})
