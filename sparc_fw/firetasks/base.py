"""What all Firetasks share: how they reach the LaunchPad, the store and the campaign."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

from fireworks import FiretaskBase, FWAction, LaunchPad

from sparc_fw.campaign import Campaign, System
from sparc_fw.errors import StageFailed
from sparc_fw.labelers.base import Labeler
from sparc_fw.potentials.base import Potential
from sparc_fw.registry import Group, backend_classes
from sparc_fw.selectors.base import Step
from sparc_fw.settings import Settings, load_settings
from sparc_fw.store import Store

PROGRESS_SECONDS = 1.0
"""Least time between two progress reports of one task, s."""


def make_backend(group: Group, options: Any, settings: Settings) -> Any:
    """The backend that some options belong to."""
    return backend_classes(group)[options.kind](options, settings)


def with_cores(settings: Settings, system: System | None) -> Settings:
    """Settings of the machine, with the threads that the labels of a system ask for."""
    cores = None if system is None else system.resources.cores
    return settings if cores is None else settings.model_copy(update={"threads": cores})


class CampaignTask(FiretaskBase):
    """A Firetask of one campaign: loads by id, calls a backend, saves, returns ids.

    What it works on is in its spec (``campaign_id``, ``iteration`` and the place within it), so that a Firework can be
    read, queried and rerun alone; it has no parameters of its own.
    """

    required_params: ClassVar[list[str]] = []
    # FireWorks lets misspelt parameters pass silently unless this is a list.
    optional_params: ClassVar[list[str]] = []

    # Set by FireWorks because the spec says `_add_launchpad_and_fw_id`.
    launchpad: LaunchPad | None = None
    fw_id: int | None = None

    def run_task(self, fw_spec: dict[str, Any]) -> FWAction:
        """Run the task on the place that the spec names."""
        self.spec = fw_spec
        self.started = time.time()
        return self.work()

    def may_append(self) -> bool:
        """Whether the campaign wants another iteration; a paused one is given it when it resumes."""
        return bool(self.store.campaign_record(self.campaign_id)["state"] == "running")

    @abstractmethod
    def work(self) -> FWAction:
        """Do the work."""

    @property
    def campaign_id(self) -> str:
        """Whose work this is."""
        return str(self.spec["campaign_id"])

    @property
    def iteration(self) -> int:
        """Which turn of the loop."""
        return int(self.spec["iteration"])

    @cached_property
    def settings(self) -> Settings:
        """Settings of the machine that runs the task."""
        return load_settings()

    @cached_property
    def lpad(self) -> LaunchPad:
        """The LaunchPad that launched the task."""
        if self.launchpad is None:
            raise StageFailed(
                "the Firework's spec lacks '_add_launchpad_and_fw_id: true', without which the task cannot reach "
                "the store"
            )
        return self.launchpad

    @cached_property
    def store(self) -> Store:
        """The store, in the LaunchPad's own database."""
        return Store(self.lpad.db, self.settings)

    @cached_property
    def launch_id(self) -> int | None:
        """The launch that this task runs in."""
        running = {"fw_id": self.fw_id, "state": "RUNNING"}
        launch = self.lpad.launches.find_one(running, {"launch_id": 1}, sort=[("launch_id", -1)])
        return None if launch is None else int(launch["launch_id"])

    @cached_property
    def campaign(self) -> Campaign:
        """The campaign."""
        return self.store.campaign(self.campaign_id)

    @cached_property
    def labeler(self) -> Labeler[Any]:
        """The campaign's labeler."""
        labeler: Labeler[Any] = make_backend("labeler", self.campaign.labeler, self.settings)
        return labeler

    @cached_property
    def potential(self) -> Potential[Any]:
        """The campaign's potential."""
        potential: Potential[Any] = make_backend("potential", self.campaign.potential, self.settings)
        return potential

    @cached_property
    def steps(self) -> list[Step[Any]]:
        """The steps of the campaign's selection."""
        return [make_backend("step", options, self.settings) for options in self.campaign.select]

    def progress_reporter(self, stage: str, item: str | int) -> Callable[[int, int], None]:
        """A callback (done, total) that tells onlookers about progress, at most once a second."""
        last = 0.0

        def report(done: int, total: int) -> None:
            nonlocal last
            now = time.monotonic()
            if done >= total or now - last >= PROGRESS_SECONDS:
                last = now
                self.store.report_progress(self.campaign_id, self.iteration, stage, str(item), done, total)

        return report

    def save_stage(self, stage: str, item: str | int, **more: Any) -> None:
        """Note how long the work took."""
        self.store.save_stage(
            self.campaign_id, self.iteration, stage, str(item), self.started, {"fw_id": self.fw_id, **more}
        )
