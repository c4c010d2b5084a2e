"""What campaigns that came to an end tell of one that is planned."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sparc_fw.campaign import Campaign
from sparc_fw.geometry.build import structure_of
from sparc_fw.loading import LoadedCampaign
from sparc_fw.mongo import MongoDocument
from sparc_fw.registry import backend_classes
from sparc_fw.settings import Settings
from sparc_fw.store import Store


@dataclass(frozen=True)
class Experience:
    """Medians over what the store has of the same labeler's labels of the same atoms; None where it has nothing.

    Attributes
    ----------
    campaigns : list of str
        Completed ones that labelled all of the compositions.
    iterations, labels : float or None
        Of these campaigns, up to their verdict; labels without those of the test set.
    label_seconds : float or None
        Wall time of a good label, whoever asked for it, s; the mean of the medians of all compositions.
    train_seconds : float or None
        Wall time of a member's training in those of them that have the same potential, s.
    explore_seconds : float or None
        Wall time of a replica in those of them that have the same explorers, s.
    """

    campaigns: list[str]
    iterations: float | None
    labels: float | None
    label_seconds: float | None
    train_seconds: float | None
    explore_seconds: float | None

    def hours(self, campaign: Campaign, workers: int) -> dict[str, float]:
        """Hours of each stage that is known, all iterations together, with so many workers."""
        if self.iterations is None or self.labels is None:
            return {}
        replicas = sum(1 for _ in campaign.runs())
        rounds = {
            "label": (self.label_seconds, self.labels / workers),
            "train": (self.train_seconds, self.iterations * math.ceil(campaign.committee / workers)),
            "explore": (self.explore_seconds, self.iterations * math.ceil(replicas / workers)),
        }
        return {stage: one * count / 3600 for stage, (one, count) in rounds.items() if one is not None}


def experience(store: Store, loaded: LoadedCampaign, settings: Settings) -> Experience:
    """Look for campaigns like a planned one; writes nothing."""
    campaign = loaded.campaign
    labeler: Any = backend_classes("labeler")[campaign.labeler.kind](campaign.labeler, settings)
    formulas = {structure_of(campaign, loaded.files, x.name).get_chemical_formula() for x in campaign.systems}
    alike = _alike(store, labeler.settings_hash, formulas)
    names = [str(record["_id"]) for record in alike]
    seconds = [store.typical_seconds(labeler.settings_hash, formula) for formula in sorted(formulas)]
    own = campaign.as_dict()
    ends = [store.selection_records(name)[-1]["iteration"] for name in names]
    return Experience(
        campaigns=names,
        iterations=_median(end + 1 for end in ends),
        labels=_median(
            store.count_paid(store.paid_keys(name, end)) for name, end in zip(names, ends, strict=True)
        ),
        label_seconds=None if None in seconds else statistics.fmean(each for each in seconds if each is not None),
        train_seconds=_stage_seconds(store, "train", _same(alike, own, "potential")),
        explore_seconds=_stage_seconds(store, "explore", _same(alike, own, "explorer")),
    )  # fmt: skip


def _alike(store: Store, settings_hash: str, formulas: Iterable[str]) -> list[MongoDocument]:
    """Completed campaigns that asked this labeler for labels of all the compositions, oldest first."""
    asked = [
        set(store.labels.distinct("asked_by.campaign_id", {"settings_hash": settings_hash, "formula": formula}))
        for formula in formulas
    ]
    wanted = {"_id": {"$in": sorted(set.intersection(*asked))}, "state": "completed"}
    return list(store.campaigns.find(wanted).sort("created", 1))


def _same(records: Iterable[MongoDocument], own: dict[str, Any], key: str) -> list[str]:
    """The campaigns in which a section says the same as in the planned one."""
    return [str(record["_id"]) for record in records if record["campaign"][key] == own[key]]


def _stage_seconds(store: Store, stage: str, campaigns: list[str]) -> float | None:
    """Median wall time of a Firework of a stage, s."""
    found = store.stages.find({"campaign_id": {"$in": campaigns}, "stage": stage}, {"started": 1, "finished": 1})
    return _median(record["finished"] - record["started"] for record in found)


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return float(statistics.median(found)) if found else None
