"""TrainTask: train one member of an iteration's committee."""

from __future__ import annotations

import shutil
from pathlib import Path

from fireworks import FWAction

from sparc_fw.dataset import dataset as build_dataset
from sparc_fw.documents import FROM_FILE, Dataset, TrainedModel
from sparc_fw.errors import StageFailed, TrainingDiverged
from sparc_fw.firetasks.base import CampaignTask
from sparc_fw.label_arrays import content_hash, settings_counts
from sparc_fw.label_import import SAME_REFERENCE, typical_energies
from sparc_fw.seeds import derive_seed

MAX_SEEDS = 2
"""A training that diverges is repeated with the next seed, once."""


class TrainTask(CampaignTask):
    """Train member ``member`` on all good labels up to this iteration."""

    _fw_name = "{{sparc_fw.firetasks.TrainTask}}"

    def work(self) -> FWAction:
        """Train unless the member is there already."""
        member = int(self.spec["member"])
        if self.store.model(self.campaign_id, self.iteration, member) is not None:
            return FWAction(stored_data={"member": member, "reused": True})
        self._check_labels()
        dataset = build_dataset(self.store, self.campaign, self.iteration)
        self._refuse_mixed_settings(dataset)
        if self.iteration == 0:
            # Later ones are compared when they are imported.
            self._refuse_other_references(dataset)
        model = self._train(dataset, member)
        n_labels = len(dataset.train)
        self.store.save_model(model, self.campaign_id, self.iteration, member, content_hash(dataset), n_labels)
        self.save_stage("train", member, steps=model.steps)
        return FWAction(stored_data={"member": member, "labels": n_labels, "seed": model.seed})

    def _check_labels(self) -> None:
        """Refuse to go on with too few good labels; missing ones mean that a label Firework was skipped."""
        frameset = self.store.frameset(self.campaign_id, self.iteration, "train")
        keys = frameset["keys"] if frameset is not None else []
        if not keys:
            return  # an iteration that only confirms the last one asks for no labels
        counts = self.store.label_counts(keys)
        if counts["missing"]:
            raise StageFailed(f"iteration {self.iteration}: {counts['missing']} of {len(keys)} labels are missing")
        fraction = counts["ok"] / len(keys)
        limit = self.campaign.labeling.min_label_fraction
        if fraction < limit:
            failures = self.store.failure_reasons(keys)
            raise StageFailed(
                f"iteration {self.iteration}: {counts['ok']} of {len(keys)} labels succeeded ({fraction:.0%}), "
                f"expected at least {limit:.0%} (labeling.min_label_fraction); failures: {failures}. Mend the "
                "labeler's options in a new campaign, or lower the limit"
            )

    def _refuse_mixed_settings(self, dataset: Dataset) -> None:
        """Refuse labels that are not of one method: a model of two potential energy surfaces is one of none."""
        counts = settings_counts(dataset)
        if len(counts) > 1:
            found = ", ".join(f"{count} of hash {settings[:12]}…" for settings, count in sorted(counts.items()))
            raise StageFailed(
                f"labels up to iteration {self.iteration}: found different settings of the labeler ({found}), expected "
                "one hash; another version of the package may have other defaults. Label all frames alike in a new "
                f"campaign: sparc-fw run FILE --relabel {self.campaign_id}"
            )

    def _refuse_other_references(self, dataset: Dataset) -> None:
        """Refuse labels of the start that files brought on trust, where their energies cannot be the labeler's."""
        labels = [*dataset.train, *dataset.validation]
        typical = typical_energies([label for label in labels if label.code != FROM_FILE])
        brought = typical_energies([label for label in labels if label.code == FROM_FILE])
        for formula in sorted(typical.keys() & brought.keys()):
            if abs(brought[formula] - typical[formula]) > SAME_REFERENCE:
                raise StageFailed(
                    f"labels of the start: found a median energy of {brought[formula]:.3f} eV/atom for {formula} in "
                    f"files, expected it near that of the labels computed here, {typical[formula]:.3f} eV/atom: "
                    "another method, unit or zero of energy; begin a new campaign without them"
                )

    def _train(self, dataset: Dataset, member: int) -> TrainedModel:
        report = self.progress_reporter("train", member)
        for attempt in range(MAX_SEEDS):
            seed = derive_seed(self.campaign.seed, self.iteration, "train", member, attempt)
            directory = Path(f"train-{attempt}").absolute()
            # What a killed launch left in a directory that is used again would mix two trainings.
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir()
            try:
                return self.potential.train(dataset, seed, directory, report)
            except TrainingDiverged as error:
                reason = error
        raise TrainingDiverged(
            f"member {member} of iteration {self.iteration} diverged with {MAX_SEEDS} seeds; the last time: {reason}"
        )
