"""What a status needs to know of a campaign's labels, in memory: tens of thousands are read once, then what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pymongo.collection import Collection

from sparc_fw.documents import FROM_FILE
from sparc_fw.mongo import MongoDocument, patient
from sparc_fw.suspect_records import JUDGED

OVERLAP = timedelta(seconds=10)
"""A write is seen later than the moment that it carries, by far less than this."""


class Kind(NamedTuple):
    """What is counted of a label; ``suspect`` is the state of a suspicion, or None."""

    status: str
    reason: str | None
    code: str
    version: str
    settings_hash: str
    suspect: str | None


class LabelFacts:
    """The labels of one campaign as they were when `look` was last called.

    Attributes
    ----------
    kinds : dict of str to Kind
        By key.
    """

    def __init__(self, labels: Collection[MongoDocument], campaign_id: str, patience: float) -> None:
        self.labels = labels
        self.patience = patience
        self.kinds: dict[str, Kind] = {}
        self._hits: dict[str, tuple[int, float]] = {}
        self._looked: datetime | None = None
        # How often the campaign asked for a label after the Firework that paid for it.
        payer = {"$ifNull": ["$computed_by.fw_id", {"$first": "$asked_by.fw_id"}]}
        again = {"$and": [{"$eq": ["$$a.campaign_id", campaign_id]}, {"$ne": ["$$a.fw_id", payer]}]}
        fields = ("status", "reason", "code", "version", "settings_hash", "seconds")
        self._projection: dict[str, Any] = {
            **dict.fromkeys(fields, 1),
            "suspect.state": 1,
            "hits": {"$size": {"$filter": {"input": {"$ifNull": ["$asked_by", []]}, "as": "a", "cond": again}}},
        }

    @patient
    def look(self, keys: Iterable[str]) -> None:
        """Bring up to date what is known of `keys`; those without a label have no kind."""
        now = self.labels.database.client.admin.command("hello")["localTime"]
        if self._looked is not None:
            changed = {"changed": {"$gte": self._looked - OVERLAP}}
            self._learn(changed, only=self.kinds.keys())
        unknown = [key for key in dict.fromkeys(keys) if key not in self.kinds]
        if unknown:
            self._learn({"_id": {"$in": unknown}})
        self._looked = now

    def _learn(self, query: MongoDocument, only: Iterable[str] | None = None) -> None:
        for record in self.labels.find(query, self._projection, batch_size=10_000):
            key = record["_id"]
            if only is not None and key not in only:
                continue
            suspect = record.get("suspect", {}).get("state")
            self.kinds[key] = Kind._make([*(record[name] for name in Kind._fields[:-1]), suspect])
            if record["hits"] and record["code"] != FROM_FILE:
                self._hits[key] = (record["hits"], record["hits"] * record["seconds"])

    def hits(self) -> dict[str, float]:
        """How often the campaign was handed a label that somebody had computed already, and the seconds saved."""
        return {
            "labels": sum(count for count, _ in self._hits.values()),
            "seconds": float(sum(seconds for _, seconds in self._hits.values())),
        }


class Tally:
    """Counts over a growing set of label keys."""

    def __init__(self, facts: LabelFacts) -> None:
        self._facts = facts
        self._seen: set[str] = set()
        self._kinds: Counter[Kind | None] = Counter()

    def add(self, keys: Sequence[str]) -> None:
        """Count more keys, each once."""
        new = set(keys) - self._seen
        self._seen |= new
        self._kinds.update(map(self._facts.kinds.get, new))

    def counts(self) -> dict[str, int]:
        """How many are ``ok``, ``failed`` and ``missing``."""
        found = self._by("status")
        return {"ok": found["ok"], "failed": found["failed"], "missing": self._kinds[None]}

    def paid(self) -> int:
        """How many labels somebody had to compute: all but those that a file brought."""
        return sum(n for kind, n in self._kinds.items() if kind is not None and kind.code != FROM_FILE)

    def failures(self) -> dict[str, int]:
        """How many failed, by reason."""
        found: Counter[str] = Counter()
        for kind, count in self._kinds.items():
            if kind is not None and kind.status == "failed":
                found[str(kind.reason)] += count
        return dict(found)

    def suspects(self) -> dict[str, int]:
        """How many are suspects, by state."""
        found = self._by("suspect")
        return {state: found[state] for state in ("pending", *JUDGED)}

    def sources(self) -> list[dict[str, Any]]:
        """Which codes computed them, with which settings: ``code``, ``version``, ``settings_hash``, ``labels``."""
        found: Counter[tuple[str, str, str]] = Counter()
        for kind, count in self._kinds.items():
            if kind is not None:
                found[kind.code, kind.version, kind.settings_hash] += count
        names = ("code", "version", "settings_hash", "labels")
        return [dict(zip(names, (*source, count), strict=True)) for source, count in found.most_common()]

    def _by(self, name: str) -> Counter[str]:
        found: Counter[str] = Counter()
        for kind, count in self._kinds.items():
            if kind is not None:
                found[getattr(kind, name)] += count
        return found
