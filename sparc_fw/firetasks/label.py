"""LabelTask: compute a batch of labels, each once."""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path

from ase import Atoms
from fireworks import FWAction

from sparc_fw.documents import Label
from sparc_fw.firetasks.base import CampaignTask, with_cores
from sparc_fw.firetasks.stored_labels import WAIT_SECONDS, WRITE_SECONDS, compute, may_come_right
from sparc_fw.mongo import MongoDocument
from sparc_fw.processes import own_mark
from sparc_fw.settings import Settings

CLAIM_SECONDS = 0.5
"""Labels are claimed for about so long a time ahead, and one at least: cheap labels share a round trip to MongoDB."""


class SystemTask(CampaignTask):
    """A task that computes labels of the system that its spec names (``system``), with that system's resources."""

    @cached_property
    def settings(self) -> Settings:
        """Settings of the machine, with the threads that the system asks for."""
        return with_cores(super().settings, self.campaign.system(self.spec["system"]))


class LabelTask(SystemTask):
    """Label the frames ``first`` to ``last`` (exclusive) of ``system`` in a frame set; spec: ``role`` and these."""

    _fw_name = "{{sparc_fw.firetasks.LabelTask}}"

    def work(self) -> FWAction:
        """Label what is not labelled; each label is kept as soon as it is there."""
        frames = self._frames()
        self.counts: dict[str, float] = {"computed": 0, "hits": 0, "failed": 0, "saved_seconds": 0.0}
        self._report = self.progress_reporter(
            "label", f"{self.spec['role']}-{self.spec['system']}-{self.spec['first']}"
        )
        self._total = len(frames)
        left = self._take_known(frames)
        with self.store.renewing(self._owner), self.labeler.open(Path("label").absolute()):
            while left:
                left = self._label_free(left)
                if left:
                    # Somebody who lives computes these; or died a moment ago, which a claim notices.
                    time.sleep(WAIT_SECONDS)
        self._report(self._total, self._total)
        if self.counts["computed"]:
            stage = "label" if self.spec["role"] == "train" else "label_test"
            item = f"{self.spec['role']}-{self.spec['system']}-{self.spec['first']}"
            self.save_stage(stage, item, **self.counts)
        return FWAction(stored_data=self.counts)

    @cached_property
    def _owner(self) -> str:
        return own_mark()

    def _frames(self) -> dict[str, Atoms]:
        """The frames of this Firework by their keys."""
        role, first, last = self.spec["role"], int(self.spec["first"]), int(self.spec["last"])
        frameset = self.store.frameset(self.campaign_id, self.iteration, role)
        assert frameset is not None, f"frame set {role} of iteration {self.iteration} was written before this Firework"
        pairs = zip(frameset["keys"], self.store.frames(frameset), strict=True)
        mine = [(key, frame) for key, frame in pairs if frame.info["system"] == self.spec["system"]]
        return dict(mine[first:last])

    def _take_known(self, frames: dict[str, Atoms]) -> dict[str, Atoms]:
        """Take the labels that are there, and return the frames that have none."""
        known = self.store.ask(frames, self.campaign_id, self.iteration, self.fw_id)
        left = {}
        for key, frame in frames.items():
            if key not in known or self._again(known[key]):
                left[key] = frame
            else:
                self.counts["hits"] += 1
                self.counts["failed"] += known[key]["status"] == "failed"
                self.counts["saved_seconds"] += known[key]["seconds"]
        self._tell_progress()
        return left

    def _label_free(self, frames: dict[str, Atoms]) -> dict[str, Atoms]:
        """Label the frames that nobody else is at, and return the others."""
        keys, ahead = list(frames), 1
        held: dict[str, Atoms] = {}
        while keys:
            chunk, keys = keys[:ahead], keys[ahead:]
            mine = self.store.claim(chunk, self._owner)
            held |= {key: frames[key] for key in chunk if key not in mine}
            # Who held it may have finished between our first look and our claim.
            missing = self._take_known({key: frames[key] for key in mine})
            clock = time.perf_counter()
            self._label(missing)
            self.store.release(mine, self._owner)
            if missing:
                seconds = (time.perf_counter() - clock) / len(missing)
                ahead = max(1, min(4 * ahead, int(CLAIM_SECONDS / seconds)))
        return held

    def _label(self, frames: dict[str, Atoms]) -> None:
        """Compute and keep labels, each as soon as it is there, but for cheap ones that share a write."""
        made: list[Label] = []
        written = time.monotonic()
        try:
            for key, frame in frames.items():
                made.append(compute(self.labeler, key, frame))
                if time.monotonic() - written > WRITE_SECONDS:
                    self._keep(made)
                    written = time.monotonic()
        finally:
            self._keep(made)

    def _keep(self, made: list[Label]) -> None:
        """Write labels down and forget them."""
        if not made:
            return
        place = (self.campaign_id, self.iteration, self.fw_id)
        self.store.save_labels(made, *place, launch_id=self.launch_id, directory=str(Path.cwd()))
        self.counts["computed"] += len(made)
        self.counts["failed"] += sum(label.status == "failed" for label in made)
        made.clear()
        self._tell_progress()

    def _tell_progress(self) -> None:
        self._report(int(self.counts["computed"] + self.counts["hits"]), self._total)

    def _again(self, known: MongoDocument) -> bool:
        """Whether a label failed for a reason that may not come again, before this task began."""
        if known["status"] != "failed" or known["created"] >= self.started:
            return False
        return may_come_right(self.labeler, known["reason"], known.get("effort_hash"))
