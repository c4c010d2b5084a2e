"""ExploreTask: one replica of an iteration's exploration, and the committee's opinion of it."""

from __future__ import annotations

import time
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from fireworks import FWAction

from sparc_fw.dataset import dataset, training_labels
from sparc_fw.errors import StageFailed
from sparc_fw.explorers.base import Explorer, ExplorerOptions, Replica
from sparc_fw.firetasks.base import CampaignTask, make_backend, with_cores
from sparc_fw.firetasks.budget import labels_for_replica
from sparc_fw.firetasks.stored_labels import StoredLabels
from sparc_fw.firetasks.teacher import StoredTeacher
from sparc_fw.geometry.build import frame_of, structure_of
from sparc_fw.labelers.base import Labeler
from sparc_fw.potentials.committee import opinion
from sparc_fw.same_frames import frame_hash
from sparc_fw.seeds import derive_seed
from sparc_fw.trajectories import Exploration


class ExploreTask(CampaignTask):
    """Run replica ``replica`` of system ``system`` and evaluate the force deviation of every frame."""

    _fw_name = "{{sparc_fw.firetasks.ExploreTask}}"

    def work(self) -> FWAction:
        """Explore unless this replica's exploration is there already."""
        replica = int(self.spec["replica"])
        known = self.store.exploration(self.campaign_id, self.iteration, replica)
        if known is None:
            factor = self.store.time_factor(self.campaign_id, self.iteration)
            options = self.campaign.explorer[int(self.spec["explorer"])].shortened(self.iteration, factor)
            if options.most_labels:
                known = self._explore_with_labels(replica, options)
            else:
                known = self._explore(replica, options)
            self.store.save_exploration(known)
            self.save_stage("explore", replica, steps=known.steps)
        return FWAction(stored_data={"replica": replica, "frames": len(known), "ended": known.ended})

    @cached_property
    def labeler(self) -> Labeler[Any]:
        """The campaign's labeler, with the threads that the system asks for."""
        settings = with_cores(self.settings, self.campaign.system(self.spec["system"]))
        labeler: Labeler[Any] = make_backend("labeler", self.campaign.labeler, settings)
        return labeler

    def _explore_with_labels(self, replica: int, options: ExplorerOptions) -> Exploration:
        """Explore with somebody who labels; what was labelled is trained on from the next iteration on."""
        stored = StoredLabels(
            self.store,
            self.labeler,
            (self.campaign_id, self.iteration, self.fw_id),
            self.launch_id,
            Path("label").absolute(),
            lambda done: None,
        )
        teacher = StoredTeacher(
            labels_for_replica(
                self.store, self.campaign, self.iteration, int(self.spec["explorer"]), self.spec["system"]
            ),
            stored,
            self.potential,
            self.store.trained_models(self.campaign_id, self.iteration),
            dataset(self.store, self.campaign, self.iteration),
            derive_seed(self.campaign.seed, self.iteration, "lessons", replica),
            Path.cwd(),
        )
        with stored.open():
            exploration = self._explore(replica, options, teacher)
        self._add_labelled(replica, teacher, exploration.ended)
        return exploration

    def _add_labelled(self, replica: int, teacher: StoredTeacher, ended: str) -> None:
        """Write down what was labelled; nothing of the test set is ever trained on."""
        kept_apart = self.store.test_hashes(self.campaign_id)
        found = {label.key: label.frame for label in teacher.labels}
        trained = {key: frame for key, frame in found.items() if frame_hash(frame) not in kept_apart}
        others = {key: str(frame.info["system"]) for key, frame in found.items() if key not in trained}
        self.store.add_on_the_fly(
            self.campaign_id, self.iteration, replica, list(trained.values()), list(trained), others, ended
        )

    def _explore(self, replica: int, options: ExplorerOptions, teacher: StoredTeacher | None = None) -> Exploration:
        models = [
            self.store.files.path(model["file"], model["suffix"])
            for model in self.store.committee(self.campaign_id, self.iteration)
        ]
        seed = derive_seed(self.campaign.seed, self.iteration, "explore", replica)
        explorer: Explorer[Any] = make_backend("explorer", options, self.settings)
        trajectories = explorer.explore(
            Replica(
                start=self._start(options, seed),
                potential=self.potential,
                models=models,
                iteration=self.iteration,
                number=int(self.spec["replica_of_system"]),
                seed=seed,
                directory=Path.cwd(),
                progress=self.progress_reporter("explore", replica),
                files=self.store.campaign_files(self.campaign_id),
                earlier=self._earlier(replica) if options.looks_back else {},
                learned=self._learned(replica) if options.goes_on else {},
                teacher=teacher,
            )
        )
        clock = time.perf_counter()
        # What the run learned, it no longer asks about.
        last = teacher.files if teacher is not None and teacher.files else models
        members = [self.potential.load(model) for model in last]
        opinions = [opinion(members, trajectory) for trajectory in trajectories]
        return Exploration(
            campaign_id=self.campaign_id,
            iteration=self.iteration,
            replica=replica,
            explorer=options.title,
            trajectories=trajectories,
            deviation=np.concatenate([deviation for deviation, _ in opinions]),
            uncertainty=[uncertainty for _, uncertainty in opinions],
            planned_ps=options.planned_ps(self.iteration),
            seed=seed,
            seconds_deviation=time.perf_counter() - clock,
        )

    def _earlier(self, replica: int) -> dict[str, Atoms]:
        """Where the parts of this replica's run ended in the iteration before, by name."""
        known = self.store.exploration(self.campaign_id, self.iteration - 1, replica)
        if known is None:
            return {}
        return {trajectory.name: trajectory.end for trajectory in known.trajectories if trajectory.end is not None}

    def _learned(self, replica: int) -> dict[str, str]:
        """What the bias of this replica's run learned in the iteration before."""
        known = self.store.exploration(self.campaign_id, self.iteration - 1, replica)
        return {} if known is None else known.trajectories[-1].learned

    def _start(self, options: ExplorerOptions, seed: int) -> Atoms:
        """The frame that this replica begins from, as `ExplorerOptions.starts` says."""
        system, number = self.spec["system"], int(self.spec["replica_of_system"])
        path = options.start_file(number)
        if path is not None:
            return frame_of(self.campaign, self.store.campaign_files(self.campaign_id), system, path)
        kind = options.starts[number % len(options.starts)]
        if kind == "structure":
            return self._structure()
        if kind == "last_end":
            return self._last_end()
        last = 0 if kind == "start_frames" else self.iteration
        labels = [label for part in training_labels(self.store, self.campaign_id, last) for label in part]
        candidates = [label.frame for label in labels if label.frame.info["system"] == system]
        if not candidates:
            raise StageFailed(
                f"explorer {options.title!r}, starts: no start frame of {system!r} has a good label to begin from"
            )
        if kind == "nearest":
            return min(candidates, key=lambda frame: options.restraint_energy(frame, number))
        return candidates[int(np.random.default_rng(seed).integers(len(candidates)))]

    def _structure(self) -> Atoms:
        return structure_of(self.campaign, self.store.campaign_files(self.campaign_id), self.spec["system"])

    def _last_end(self) -> Atoms:
        """Where this replica ended in the iteration before, if it came to its end there."""
        before = self.store.exploration(self.campaign_id, self.iteration - 1, int(self.spec["replica"]))
        last = before.trajectories[-1] if before is not None and before.trajectories else None
        if last is None or last.ended != "completed":
            return self._structure()
        return last.frame(len(last) - 1)
