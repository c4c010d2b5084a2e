"""The part of the store that keeps how long each stage took and how far it is."""

from __future__ import annotations

import time

from pymongo.collection import Collection

from sparc_fw.mongo import MongoDocument, insert_once, patient, place


class StageRecords:
    """Wall time by place, in ``stages``, and what is under way, in ``progress``."""

    stages: Collection[MongoDocument]
    progress: Collection[MongoDocument]
    patience: float

    @patient
    def save_stage(
        self, campaign_id: str, iteration: int, stage: str, item: str, started: float, more: MongoDocument | None = None
    ) -> None:
        """Note when a Firework's work began and ended; a rerun that found all done does not call this."""
        record = {
            "_id": place(campaign_id, iteration, stage, item),
            "campaign_id": campaign_id,
            "iteration": iteration,
            "stage": stage,
            "started": started,
            "finished": time.time(),
            **(more or {}),
        }
        insert_once(self.stages, record)

    @patient
    def report_progress(self, campaign_id: str, iteration: int, stage: str, item: str, done: int, total: int) -> None:
        """Tell onlookers how far a stage is."""
        self.progress.update_one(
            {"_id": place(campaign_id, iteration, stage, item)},
            {
                "$set": {
                    "campaign_id": campaign_id,
                    "iteration": iteration,
                    "stage": stage,
                    "item": item,
                    "done": done,
                    "total": total,
                    "updated": time.time(),
                }
            },
            upsert=True,
        )
