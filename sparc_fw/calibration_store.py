"""The part of the store that keeps what labels told of the committee's deviation."""

from __future__ import annotations

from dataclasses import fields

from pymongo.collection import Collection

from sparc_fw.encoding import pack_arrays, unpack_arrays
from sparc_fw.mongo import Files, MongoDocument, insert_once, patient, place
from sparc_fw.selectors.calibration_records import Calibration, Pairs


class CalibrationStore:
    """By iteration and system, in ``calibrations``: thresholds that frames are judged by, and what they rest on.

    Beside a calibration lie the labels that it was the first to know of, which are those of the iteration before: of
    all calibrations of a system together, every label once.
    """

    calibrations: Collection[MongoDocument]
    files: Files
    patience: float

    @patient
    def save_calibration(self, campaign_id: str, iteration: int, found: Calibration, new: Pairs) -> Calibration:
        """Write down a calibration with its new labels, and return the one that counts: the first that was written."""
        record = {
            "_id": place(campaign_id, iteration, found.system),
            "campaign_id": campaign_id,
            "iteration": iteration,
            "calibration": found.document(),
            "labels": self.files.put(pack_arrays({one.name: getattr(new, one.name) for one in fields(Pairs)})),
        }
        return Calibration.from_document(insert_once(self.calibrations, record)["calibration"])

    @patient
    def calibrations_of(self, campaign_id: str) -> dict[int, dict[str, Calibration]]:
        """All calibrations of a campaign, by iteration and system."""
        found: dict[int, dict[str, Calibration]] = {}
        for record in self._of(campaign_id):
            calibration = Calibration.from_document(record["calibration"])
            found.setdefault(record["iteration"], {})[calibration.system] = calibration
        return found

    @patient
    def calibrated_labels(self, campaign_id: str, system: str) -> dict[int, Pairs]:
        """The labels of one system that each of its calibrations was the first to know of, by iteration."""
        mine = [record for record in self._of(campaign_id) if record["calibration"]["system"] == system]
        return {record["iteration"]: Pairs(**unpack_arrays(self.files.get(record["labels"]))) for record in mine}

    def _of(self, campaign_id: str) -> list[MongoDocument]:
        return list(self.calibrations.find({"campaign_id": campaign_id}).sort([("iteration", 1), ("_id", 1)]))
