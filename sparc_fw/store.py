"""The only door to MongoDB and GridFS. Every write is keyed, so that doing it twice changes nothing."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import asdict, fields

from pymongo.errors import DuplicateKeyError

from sparc_fw.calibration_store import CalibrationStore
from sparc_fw.campaign import Campaign
from sparc_fw.dataset_records import DatasetRecords
from sparc_fw.documents import Report, Selection, TrainedModel
from sparc_fw.errors import CampaignExists, InputError
from sparc_fw.frame_records import FrameRecords
from sparc_fw.geometry.files import Files as CampaignFiles
from sparc_fw.label_claims import LabelClaims
from sparc_fw.label_facts import LabelFacts
from sparc_fw.label_records import LabelRecords
from sparc_fw.local_cache import LocalCache
from sparc_fw.mongo import Files, MongoDatabase, MongoDocument, insert_once, patient, place
from sparc_fw.records import (
    exploration_from_record,
    exploration_to_record,
    report_from_record,
    selection_from_record,
    selection_to_record,
)
from sparc_fw.settings import Settings
from sparc_fw.stage_records import StageRecords
from sparc_fw.suspect_records import SuspectRecords
from sparc_fw.trajectories import Exploration


def _taken(name: str) -> CampaignExists:
    return CampaignExists(
        f"campaign {name!r} exists already: go on with it by 'sparc-fw run FILE --resume', or choose another name"
    )


class Store(FrameRecords, LabelRecords, LabelClaims, SuspectRecords, DatasetRecords, StageRecords, CalibrationStore):
    """Campaigns, frame sets, labels, models, explorations, selections, reports and how long each stage took.

    Parameters
    ----------
    database : Database
        The LaunchPad's own database; our collections are named ``sparc_…``.
    settings : Settings
    """

    def __init__(self, database: MongoDatabase, settings: Settings) -> None:
        self.database = database
        self.patience = settings.mongo_patience_seconds
        self.chapter_nodes = settings.chapter_nodes
        # As long as a worker may be silent before FireWorks takes it for dead.
        self.claim_seconds = 4.0 * settings.ping_seconds
        self.files = Files(database, self.patience, settings.data_dir / "cache")
        self.label_cache = LocalCache(settings.data_dir / "cache" / "labels", settings.label_cache_GB * 1e9)
        self.campaigns = database["sparc_campaigns"]
        self.framesets = database["sparc_framesets"]
        self.labels = database["sparc_labels"]
        self.claims = database["sparc_claims"]
        self.models = database["sparc_models"]
        self.explorations = database["sparc_explorations"]
        self.selections = database["sparc_selections"]
        self.calibrations = database["sparc_calibrations"]
        self.reports = database["sparc_reports"]
        self.stages = database["sparc_stages"]
        self.progress = database["sparc_progress"]
        self._facts: dict[str, LabelFacts] = {}

    @patient
    def create_indexes(self) -> None:
        """Make the indexes; does nothing where they exist."""
        by_iteration = (self.framesets, self.models, self.explorations, self.selections, self.calibrations)
        for collection in (*by_iteration, self.reports, self.stages):
            collection.create_index([("campaign_id", 1), ("iteration", 1)])
        self.progress.create_index([("campaign_id", 1)])
        self.labels.create_index([("asked_by.campaign_id", 1), ("asked_by.iteration", 1)])
        self.labels.create_index([("changed", 1)])
        self.labels.create_index([("settings_hash", 1), ("formula", 1), ("status", 1), ("seconds", 1)])
        self.labels.create_index([("suspect.campaign_id", 1), ("suspect.iteration", 1)], sparse=True)
        self.labels.create_index([("revision", 1)])
        self.claims.create_index([("owner", 1)])
        self.campaigns.create_index([("created", 1)])

    # Campaigns

    @patient
    def add_campaign(
        self, campaign: Campaign, files: CampaignFiles, start_fw_id: int | None = None, relabels: str | None = None
    ) -> None:
        """Register a campaign under its name.

        Parameters
        ----------
        start_fw_id : int, optional
            The StartTask's Firework, where that one registers it.
        relabels : str, optional
            The campaign whose frames it takes over instead of building its own.

        Raises
        ------
        CampaignExists
            If the name is taken.
        """
        # Nothing is stored for a name that is taken; the insertion below decides where two come at once.
        if self.campaigns.find_one({"_id": campaign.name}, {"_id": 1}) is not None:
            raise _taken(campaign.name)
        record = {
            "_id": campaign.name,
            "campaign": campaign.as_dict(),
            "files": self.files.put(files.pack()),
            "state": "running",
            "start_fw_id": start_fw_id,
            "relabels": relabels,
            "created": time.time(),
        }
        try:
            self.campaigns.insert_one(record)
        except DuplicateKeyError as error:
            raise _taken(campaign.name) from error

    @patient
    def campaign_record(self, campaign_id: str) -> MongoDocument:
        """The stored record of a campaign.

        Raises
        ------
        InputError
            If there is none of that name.
        """
        record = self.campaigns.find_one({"_id": campaign_id})
        if record is None:
            known = [str(r["_id"]) for r in self.campaigns.find({}, {"_id": 1}).sort("created", -1).limit(5)]
            raise InputError(f"campaign {campaign_id!r}: not in the store; the latest are {known or 'none'}")
        return record

    def campaign(self, campaign_id: str) -> Campaign:
        """The campaign as it was registered."""
        return Campaign.model_validate(self.campaign_record(campaign_id)["campaign"])

    def campaign_files(self, campaign_id: str) -> CampaignFiles:
        """The frames of the files that the campaign names."""
        return CampaignFiles.unpack(self.files.get(self.campaign_record(campaign_id)["files"]))

    @patient
    def update_campaign(self, campaign_id: str, values: MongoDocument) -> None:
        """Set values of a campaign's record."""
        self.campaigns.update_one({"_id": campaign_id}, {"$set": values})

    # Labels

    def label_facts(self, campaign_id: str, keys: Iterable[str]) -> LabelFacts:
        """What a status tells of labels; whoever asks again pays for what changed meanwhile."""
        facts = self._facts.setdefault(campaign_id, LabelFacts(self.labels, campaign_id, self.patience))
        facts.look(keys)
        return facts

    # Models

    @patient
    def save_model(
        self, model: TrainedModel, campaign_id: str, iteration: int, member: int, dataset_hash: str, n_labels: int
    ) -> None:
        """Keep a trained member; the first one wins."""
        record = {
            "_id": place(campaign_id, iteration, member),
            "campaign_id": campaign_id,
            "iteration": iteration,
            "member": member,
            "file": self.files.put(model.file),
            "dataset_hash": dataset_hash,
            "labels": n_labels,
            "created": time.time(),
            **{key: value for key, value in vars(model).items() if key != "file"},
        }
        insert_once(self.models, record)

    @patient
    def model(self, campaign_id: str, iteration: int, member: int) -> MongoDocument | None:
        """The record of a member, or None."""
        return self.models.find_one({"_id": place(campaign_id, iteration, member)})

    @patient
    def committee(self, campaign_id: str, iteration: int) -> list[MongoDocument]:
        """The members of an iteration, in order."""
        return list(self.models.find({"campaign_id": campaign_id, "iteration": iteration}).sort("member", 1))

    def trained_models(self, campaign_id: str, iteration: int) -> list[TrainedModel]:
        """The members of an iteration, in order, as their trainings gave them."""
        names = [field.name for field in fields(TrainedModel) if field.name != "file"]
        return [
            TrainedModel(file=self.files.get(record["file"]), **{name: record[name] for name in names})
            for record in self.committee(campaign_id, iteration)
        ]

    # Explorations, selections, reports

    @patient
    def save_exploration(self, exploration: Exploration) -> None:
        """Keep what a replica saw; the first one wins."""
        record, arrays = exploration_to_record(exploration)
        record["_id"] = place(exploration.campaign_id, exploration.iteration, exploration.replica)
        record["file"] = self.files.put(arrays)
        insert_once(self.explorations, record)

    @patient
    def exploration(self, campaign_id: str, iteration: int, replica: int) -> Exploration | None:
        """What a replica saw, or None."""
        record = self.explorations.find_one({"_id": place(campaign_id, iteration, replica)})
        return None if record is None else exploration_from_record(record, self.files.get(record["file"]))

    @patient
    def save_selection(self, selection: Selection) -> Selection:
        """Write down a selection and return the one that counts: the first that was written."""
        record, arrays = selection_to_record(selection)
        record["_id"] = place(selection.campaign_id, selection.iteration)
        record["file"] = self.files.put(arrays)
        stored = insert_once(self.selections, record)
        return selection_from_record(stored, self.files.get(stored["file"]))

    @patient
    def selection(self, campaign_id: str, iteration: int) -> Selection | None:
        """The selection of an iteration, or None."""
        record = self.selections.find_one({"_id": place(campaign_id, iteration)})
        return None if record is None else selection_from_record(record, self.files.get(record["file"]))

    @patient
    def selection_records(self, campaign_id: str) -> list[MongoDocument]:
        """The plain part of every selection, without frames, by iteration."""
        return list(self.selections.find({"campaign_id": campaign_id}).sort("iteration", 1))

    @patient
    def time_factor(self, campaign_id: str, iteration: int) -> float:
        """Fraction of their planned time that the runs of an iteration last, as the selection before it says."""
        record = self.selections.find_one({"_id": place(campaign_id, iteration - 1)}, {"time_factor": 1})
        return 1.0 if record is None else float(record["time_factor"])

    @patient
    def save_report(self, report: Report) -> None:
        """Keep what an iteration's members can do; the first report wins."""
        insert_once(self.reports, {"_id": place(report.campaign_id, report.iteration), **asdict(report)})

    @patient
    def report_records(self, campaign_id: str) -> list[Report]:
        """The reports of all iterations, in order."""
        return [
            report_from_record(record)
            for record in self.reports.find({"campaign_id": campaign_id}).sort("iteration", 1)
        ]
