"""ValidateTask: measure an iteration's members on labels they never saw. PublishTask: promote the best of all."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from fireworks import FWAction

from sparc_fw.dataset import dataset, reference_labels
from sparc_fw.documents import Errors, Label, Report
from sparc_fw.firetasks.base import CampaignTask
from sparc_fw.geometry.build import frame_of
from sparc_fw.mongo import MongoDocument
from sparc_fw.potentials.base import Evaluator
from sparc_fw.potentials.committee import energies, errors
from sparc_fw.seeds import derive_seed
from sparc_fw.selectors.goals import EnergyDifference
from sparc_fw.suspicion import examined, find_suspects


class ValidateTask(CampaignTask):
    """Errors of every member on the validation set, the test set and the reference scan."""

    _fw_name = "{{sparc_fw.firetasks.ValidateTask}}"

    def work(self) -> FWAction:
        """Store the iteration's report."""
        from sparc_fw.workflow import append_checks

        data = dataset(self.store, self.campaign, self.iteration)
        test = reference_labels(self.store, self.campaign_id, "test")
        scan = reference_labels(self.store, self.campaign_id, "scan")
        committee = self.store.committee(self.campaign_id, self.iteration)
        evaluators = [self.potential.load(self._model_file(model)) for model in committee]
        ends = self._end_states()
        members = [
            _measure(evaluator, data.held_out, test, scan) | {"differences": _differences(evaluator, ends)}
            for evaluator in evaluators
        ]
        report = Report(
            campaign_id=self.campaign_id,
            iteration=self.iteration,
            members=members,
            best=_best(members),
            left_out=data.left_out,
            seconds=time.time() - self.started,
        )
        self.store.save_report(report)
        self.save_stage("validate", 0)
        systems = self._flag_suspects(evaluators, [*data.train, *data.validation])
        action = append_checks(self.store, self.lpad, self.campaign, self.iteration, systems)
        action.stored_data = {"best": report.best}
        return action

    def _end_states(self) -> dict[str, list[Atoms]]:
        """The two structures of every energy difference that convergence asks for, by its place there."""
        files = self.store.campaign_files(self.campaign_id)
        return {
            str(place): [
                frame_of(self.campaign, files, self.campaign.system(goal.system).name, path) for path in goal.of
            ]
            for place, goal in enumerate(self.campaign.convergence.observables)
            if isinstance(goal, EnergyDifference)
        }

    def _flag_suspects(self, evaluators: list[Evaluator], labels: list[Label]) -> set[str]:
        """Note which labels the committee cannot believe; returns the systems that have any to compute again."""
        options = self.campaign.labeling.suspects
        if options is None or not self.labeler.suspected:
            return set()
        frameset = self.store.frameset(self.campaign_id, self.iteration, "train")
        new = set(frameset["keys"]) if frameset is not None else set()
        labels = examined(labels, options.examined, new, derive_seed(self.campaign.seed, self.iteration, "suspects"))
        systems = set()
        judged = self.store.judged_suspects(label.key for label in labels)
        for suspect in find_suspects(evaluators, labels, options, judged):
            system = suspect.label.frame.info["system"]
            found = {name: getattr(suspect, name) for name in ("z_energy", "z_force", "predicted_energy")}
            if not self.store.flag_suspect(suspect.label.key, self.campaign_id, self.iteration, system, found):
                continue
            if self.labeler.rechecks:
                systems.add(system)
            else:
                # The same calculation would only be paid twice.
                why = f"no second calculation: the labeler '{self.labeler.options.kind}' knows no other way to numbers"
                self.store.judge_suspect(suspect.label.key, "unchecked", why, None)
        return systems

    def _model_file(self, model: MongoDocument) -> Path:
        return self.store.files.path(model["file"], model["suffix"])


def _measure(
    evaluator: Evaluator, held_out: Mapping[int, Sequence[Label]], test: list[Label], scan: list[Label]
) -> dict[str, Any]:
    found = {str(iteration): errors(evaluator, labels) for iteration, labels in held_out.items() if labels}
    row: dict[str, Any] = {
        "validation": asdict(Errors.pooled(list(found.values()))) if found else None,
        "held_out": {iteration: asdict(each) for iteration, each in found.items()},
        "test": asdict(errors(evaluator, test)) if test else None,
        "scan": None,
        "scan_rmse": None,
    }
    if scan:
        curve = energies(evaluator, [label.frame for label in scan])
        reference = np.array([label.energy for label in scan], dtype=float)
        row["scan"] = [float(energy) for energy in curve]
        row["scan_rmse"] = scan_rmse(curve, reference)
    return row


def _differences(evaluator: Evaluator, ends: Mapping[str, list[Atoms]]) -> dict[str, float]:
    """Energy of the second structure of each pair above the first, eV."""
    return {place: float(np.subtract(*energies(evaluator, pair)[::-1])) for place, pair in ends.items()}


def scan_rmse(curve: np.ndarray, reference: np.ndarray) -> float:
    """Root-mean-square difference of two energy curves (eV) after their mean offset was taken off.

    A constant offset is no error of a potential energy surface.
    """
    difference = curve - reference
    return float(np.sqrt(np.mean((difference - difference.mean()) ** 2)))


def _best(members: list[dict[str, Any]]) -> int:
    """The member with the least validation force error; the first one where nothing was held out."""
    found = [m["validation"]["force_rmse"] if m["validation"] else np.inf for m in members]
    return int(np.argmin(found))


class PublishTask(ValidateTask):
    """End a campaign: compare all members of all iterations on the last validation set and promote the best.

    It waits for the whole chain of detours. In a chapter that was followed by another it leaves the work to that one.
    """

    _fw_name = "{{sparc_fw.firetasks.PublishTask}}"

    def work(self) -> FWAction:
        """Promote a model and close the campaign."""
        last = self.store.selection_records(self.campaign_id)[-1]
        if last["go_on"]:
            return FWAction(stored_data={"handed_over": "the next chapter goes on"})
        validation = dataset(self.store, self.campaign, last["iteration"]).validation
        models = [
            model
            for iteration in range(last["iteration"] + 1)
            for model in self.store.committee(self.campaign_id, iteration)
        ]
        found = {}
        for model in models:
            evaluator = self.potential.load(self._model_file(model))
            found[model["_id"]] = errors(evaluator, validation).force_rmse if validation else 0.0
        promoted = min(models, key=lambda model: (found[model["_id"]], -model["iteration"], model["member"]))
        # A cancelled campaign stays cancelled, with its best model all the same.
        state = {"state": "completed"} if self.may_append() else {}
        self.store.update_campaign(
            self.campaign_id,
            {
                **state,
                "verdict": last["verdict"],
                "promoted": {
                    "model": promoted["_id"],
                    "iteration": promoted["iteration"],
                    "member": promoted["member"],
                    "validation_force_rmse": found[promoted["_id"]],
                },
            },
        )
        return FWAction(stored_data={"promoted": promoted["_id"], "verdict": last["verdict"]})
