"""LabelTask: compute a batch of labels, each once."""

from __future__ import annotations

from pathlib import Path

from fireworks import FWAction

from sparc_fw.documents import Label
from sparc_fw.firetasks.base import CampaignTask

FINAL_REASONS = frozenset({"not_converged", "overlap", "force_cap", "nan", "wrong_state", "bad_input"})
"""Failures that would come again; a rerun repeats only the others."""


class LabelTask(CampaignTask):
    """Label the frames ``first`` to ``last`` (exclusive) of a frame set; spec: ``role``, ``first``, ``last``."""

    _fw_name = "{{sparc_fw.firetasks.LabelTask}}"

    def work(self) -> FWAction:
        """Label what is not labelled; each label is kept as soon as it is there."""
        role, first, last = self.spec["role"], int(self.spec["first"]), int(self.spec["last"])
        frameset = self.store.frameset(self.campaign_id, self.iteration, role)
        assert frameset is not None, f"frame set {role} of iteration {self.iteration} was written before this Firework"
        keys = frameset["keys"][first:last]
        frames = self.store.frames(frameset)[first:last]
        report = self.progress_reporter("label", f"{role}-{first}")
        counts = {"computed": 0, "hits": 0, "failed": 0}
        with self.labeler.open(Path("label").absolute()):
            for number, (key, frame) in enumerate(zip(keys, frames, strict=True)):
                report(number, len(keys))
                known = self.store.ask(key, self.campaign_id, self.iteration, self.fw_id)
                if known is None or self._again(known):
                    known = self.labeler.label(frame)
                    self.store.save_label(known, self.campaign_id, self.iteration, self.fw_id)
                    counts["computed"] += 1
                else:
                    counts["hits"] += 1
                counts["failed"] += known.status == "failed"
        report(len(keys), len(keys))
        if counts["computed"]:
            stage = "label" if role == "train" else "label_test"
            self.save_stage(stage, f"{role}-{first}", **counts)
        return FWAction(stored_data=counts)

    @staticmethod
    def _again(label: Label) -> bool:
        return label.status == "failed" and label.reason not in FINAL_REASONS
