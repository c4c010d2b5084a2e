"""CheckTask: compute suspect labels once more, and confirm or drop them."""

from __future__ import annotations

from pathlib import Path

from fireworks import FWAction

from sparc_fw.firetasks.label import SystemTask
from sparc_fw.suspect_records import JUDGED
from sparc_fw.suspicion import judge


class CheckTask(SystemTask):
    """Compute the suspects of ``system`` that `ValidateTask` found in this iteration again from another guess.

    A dropped label is ``failed`` with reason ``wrong_state`` from then on; what is trained later leaves it out.
    """

    _fw_name = "{{sparc_fw.firetasks.CheckTask}}"

    def work(self) -> FWAction:
        """Judge the suspects that nobody judged."""
        options = self.campaign.labeling.suspects
        assert options is not None, "who asks for no suspects gets no such Firework"
        suspects = self.store.pending_suspects(self.campaign_id, self.iteration, self.spec["system"])
        report = self.progress_reporter("check", self.spec["system"])
        counts = dict.fromkeys((*JUDGED, "undecided"), 0)
        with self.labeler.open(Path("check").absolute()):
            for number, (label, predicted) in enumerate(suspects):
                report(number, len(suspects))
                again = self.labeler.recheck(label.frame)
                verdict, why = judge(label, again, predicted, options)
                if verdict != "undecided":
                    self.store.judge_suspect(label.key, verdict, why, again)
                counts[verdict] += 1
        report(len(suspects), len(suspects))
        if suspects:
            self.save_stage("check", self.spec["system"], **counts)
        return FWAction(stored_data=counts)
