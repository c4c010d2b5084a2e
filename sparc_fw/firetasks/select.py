"""SelectTask: judge what was explored, write it down, and only then append the next iteration."""

from __future__ import annotations

import time
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np
from ase import Atoms
from fireworks import FWAction

from sparc_fw.biased_runs import biased_runs_of
from sparc_fw.calibrating import calibrations_for
from sparc_fw.documents import PICK, Report, Selection
from sparc_fw.firetasks.base import CampaignTask
from sparc_fw.firetasks.budget import labels_spent
from sparc_fw.firetasks.selection_inputs import context_of, explorations_of
from sparc_fw.geometry.normal_modes import ForcesOf
from sparc_fw.mongo import MongoDocument
from sparc_fw.observed import Seen, changes, observe, unreached
from sparc_fw.potentials.base import Evaluator
from sparc_fw.seeds import derive_seed
from sparc_fw.selectors.augmentation import ModeCopies, NoisyCopies, augmented
from sparc_fw.selectors.base import Choice, Context
from sparc_fw.selectors.calibration_records import Calibration
from sparc_fw.selectors.convergence import Outcome, Progress, conclude
from sparc_fw.selectors.forgetting import memories
from sparc_fw.selectors.goals import FromExplorer
from sparc_fw.selectors.observables import Observed
from sparc_fw.selectors.pipeline import select
from sparc_fw.sentences import counted
from sparc_fw.trajectories import Exploration

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


class SelectTask(CampaignTask):
    """Select frames for the next iteration from the explorations of this one."""

    _fw_name = "{{sparc_fw.firetasks.SelectTask}}"

    def work(self) -> FWAction:
        """Store the selection (or find the stored one) and act on it."""
        from sparc_fw.workflow import append_iteration

        selection = self.store.selection(self.campaign_id, self.iteration)
        if selection is None:
            selection = self.store.save_selection(self._select())
            self.save_stage("select", 0)
        stored: dict[str, Any] = {"verdict": selection.verdict, "sentence": selection.sentence}
        stored |= {"picks": len(selection.picks), "copies": len(selection.copies)}
        if not (selection.go_on and self.may_append()):
            return FWAction(stored_data=stored)
        frames = [*selection.picks, *selection.copies]
        keys = [self.labeler.key(frame) for frame in frames]
        self.store.add_frames(self.campaign_id, self.iteration + 1, "train", frames, keys)
        action = append_iteration(self.store, self.lpad, self.campaign, self.iteration + 1, self.fw_id)
        action.stored_data = stored
        return action

    def _select(self) -> Selection:
        explorations = explorations_of(self.store, self.campaign, self.iteration)
        calibration = calibrations_for(self.store, self.campaign, self.potential, self.iteration)
        context = context_of(self.store, self.campaign, self.iteration, calibration)
        choice = select(explorations, self.steps, context)
        reports = [r for r in self.store.report_records(self.campaign_id) if r.iteration <= self.iteration]
        seen = self._seen(choice, explorations, reports)
        observed = observe(self.campaign, seen)
        outcome = self._conclude(choice, seen, observed, reports, list(calibration.values()))
        selection = self._selection(choice, outcome, explorations)
        if outcome.go_on and self.campaign.augment is not None:
            self._augment(selection, self.campaign.augment, context)
        selection.observed = [{"key": key, **asdict(each)} for key, each in observed.items()]
        return selection

    def _augment(self, selection: Selection, options: NoisyCopies | ModeCopies, context: Context) -> None:
        """Add copies of the picks, and say so."""
        copied = augmented(
            selection.picks,
            options,
            context.limit,
            context.shares,
            derive_seed(self.campaign.seed, self.iteration, "augment"),
            self._surface_of,
        )
        selection.copies, selection.copies_dropped = copied.frames, copied.dropped
        left_out = f" (left out: {counted(copied.dropped)})" if copied.dropped else ""
        selection.sentence += f"; {len(copied.frames)} copies of the picks beside them{left_out}"

    def _surface_of(self, frame: Atoms) -> ForcesOf:
        """Forces of the committee's first member on the atoms of a frame."""

        def forces(positions: np.ndarray) -> np.ndarray:
            cells = np.repeat(frame.cell.array[None], len(positions), axis=0) if frame.pbc.any() else None
            return self._first_member.evaluate(frame.numbers, positions, cells)[1]

        return forces

    @cached_property
    def _first_member(self) -> Evaluator:
        model = self.store.committee(self.campaign_id, self.iteration)[0]
        return self.potential.load(self.store.files.path(model["file"], model["suffix"]))

    def _seen(self, choice: Choice, explorations: list[Exploration], reports: list[Report]) -> Seen:
        """What there is to see of the observables that the campaign names."""
        failed = {exploration.replica: np.zeros(len(exploration), dtype=bool) for exploration in explorations}
        for frame in choice.frames:
            failed[frame.replica][frame.index] = frame.frame_class == "failed"
        asked = any(isinstance(observable, FromExplorer) for observable in self.campaign.convergence.observables)
        biased = biased_runs_of(self.store, self.campaign, self.iteration) if asked else []
        return Seen(biased, explorations, failed, reports[-1] if reports else None)

    def _conclude(
        self,
        choice: Choice,
        seen: Seen,
        observed: dict[str, Observed],
        reports: list[Report],
        calibrations: list[Calibration],
    ) -> Outcome:
        planned = sum(exploration.planned_ps for exploration in seen.explorations)
        survived = sum(exploration.survived_ps for exploration in seen.explorations)
        record = self.store.campaign_record(self.campaign_id)
        earlier = [r for r in self.store.selection_records(self.campaign_id) if r["iteration"] < self.iteration]
        before = {values["key"]: _observed(values) for values in (earlier[-1]["observed"] if earlier else [])}
        return conclude(
            choice,
            Progress(
                iteration=self.iteration,
                labels_spent=labels_spent(self.store, self.campaign, self.iteration),
                hours=(time.time() - record["created"]) / 3600,
                planned_ps=planned,
                survived_ps=survived,
                earlier=[(r["fractions"], r["verdict"]) for r in earlier],
                calm=[r["calm"] for r in earlier],
                memories=memories(reports),
                unreached=unreached(self.campaign, seen),
                changes=changes(self.campaign, before, observed),
                calibrations=calibrations,
            ),
            self.campaign.convergence,
            self.campaign.budget,
        )

    def _selection(self, choice: Choice, outcome: Outcome, explorations: list[Exploration]) -> Selection:
        deviations = np.array([frame.deviation for frame in choice.frames])
        finite = deviations[np.isfinite(deviations)]
        quantiles = {str(q): float(np.quantile(finite, q)) for q in QUANTILES} if len(finite) else {}
        by_replica = {exploration.replica: exploration for exploration in explorations}
        picks = [by_replica[replica].frame(index) for replica, index in choice.picks]
        for frame in picks:
            frame.info["origin"] = PICK
        return Selection(
            campaign_id=self.campaign_id,
            iteration=self.iteration,
            frames=choice.frames,
            picks=picks,
            fractions=outcome.fractions,
            counts=outcome.counts,
            quantiles=quantiles,
            window=choice.window,
            measure=choice.measure,
            windows=choice.windows,
            places=choice.picks,
            verdict=outcome.verdict,
            sentence=outcome.sentence,
            go_on=outcome.go_on,
            calm=outcome.calm,
            time_factor=outcome.time_factor,
        )


def _observed(values: MongoDocument) -> Observed:
    """An observable as a selection's record keeps it."""
    return Observed(**{name: value for name, value in values.items() if name != "key"})
