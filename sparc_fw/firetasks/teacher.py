"""Labels and lessons for a run that learns on the fly."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ase import Atoms

from sparc_fw.documents import ON_THE_FLY, Dataset, Label, TrainedModel
from sparc_fw.firetasks.stored_labels import StoredLabels
from sparc_fw.potentials.base import Potential
from sparc_fw.seeds import derive_seed


class StoredTeacher:
    """Labels by the store, and a committee that learns them for this run alone.

    The same labels and seed make the same models, so that a run that was killed comes the same way again.

    Parameters
    ----------
    allowed : int
        Labels that the run may ask for.
    potential : Potential
    models : sequence of TrainedModel
        The iteration's committee.
    dataset : Dataset
        What it was trained on.
    directory : Path
        Gets a folder for each lesson.

    Attributes
    ----------
    labels : list of Label
        All that were asked for, in order.
    files : list of Path
        The members after the last lesson; empty before the first.
    """

    def __init__(
        self,
        allowed: int,
        stored: StoredLabels,
        potential: Potential[Any],
        models: Sequence[TrainedModel],
        dataset: Dataset,
        seed: int,
        directory: Path,
    ) -> None:
        self.allowed = allowed
        self.labels: list[Label] = []
        self.files: list[Path] = []
        self._stored = stored
        self._potential = potential
        self._models = models
        self._dataset = dataset
        self._seed = seed
        self._directory = directory

    def label(self, frame: Atoms) -> Label:
        """The label of a frame; failures are labels, too."""
        frame.info["origin"] = ON_THE_FLY
        label = self._stored.label(frame)
        self.labels.append(label)
        return label

    def learn(self, steps: int) -> list[Path]:
        """Teach every member of the iteration's committee all good labels so far."""
        new = [label for label in self.labels if label.status == "ok"]
        lesson = len(self.labels)
        directory = self._directory / f"lesson-{lesson}"
        # What a killed launch left in a directory that is used again would mix two trainings.
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        seeds = [derive_seed(self._seed, "lesson", lesson, member) for member in range(len(self._models))]
        taught = self._potential.refit(
            self._models, self._dataset, new, steps, seeds, directory, lambda done, total: None
        )
        self.files = []
        for member, model in enumerate(taught):
            file = directory / f"taught-{member}{model.suffix}"
            file.write_bytes(model.file)
            self.files.append(file)
        return self.files
