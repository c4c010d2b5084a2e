"""StartTask: register a campaign, build its first frames, append iteration 0."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from ase import Atoms
from fireworks import FWAction

from sparc_fw.campaign import Campaign
from sparc_fw.documents import Label
from sparc_fw.errors import CampaignExists, InputError
from sparc_fw.firetasks.base import CampaignTask, with_cores
from sparc_fw.firetasks.stored_labels import StoredLabels
from sparc_fw.geometry.build import build_frames
from sparc_fw.geometry.files import Files
from sparc_fw.geometry.sources import DynamicsSource, Source
from sparc_fw.loading import LoadedCampaign, check_campaign, load_campaign, parse_campaign
from sparc_fw.relabeling import frames_of
from sparc_fw.same_frames import frame_hash
from sparc_fw.seeds import derive_seed
from sparc_fw.settings import Settings
from sparc_fw.store import Store


class StartTask(CampaignTask):
    """Begin a campaign.

    Parameters
    ----------
    campaign : dict, optional
        The campaign, as its YAML file would state it; paths are taken relative to ``folder``.
    campaign_file : str, optional
        A campaign file that the worker can read.
    folder : str, optional
        Where the files that an inline campaign names are; the launch directory where unset.

    With neither, the spec names a campaign that was registered already (``sparc-fw submit`` does so).
    """

    _fw_name = "{{sparc_fw.firetasks.StartTask}}"
    optional_params: ClassVar[list[str]] = ["campaign", "campaign_file", "folder"]

    @property
    def iteration(self) -> int:
        """The start belongs to iteration 0."""
        return 0

    @property
    def campaign_id(self) -> str:
        """The campaign's name, from whichever parameter carries it."""
        loaded = self._given()
        return loaded.campaign.name if loaded is not None else super().campaign_id

    def _given(self) -> LoadedCampaign | None:
        if not hasattr(self, "_loaded"):
            if "campaign_file" in self:
                self._loaded: LoadedCampaign | None = load_campaign(Path(self["campaign_file"]))
            elif "campaign" in self:
                self._loaded = parse_campaign(self["campaign"], Path(self.get("folder", ".")))
            else:
                self._loaded = None
        return self._loaded

    def work(self) -> FWAction:
        """Register, build the start and test frames, and append iteration 0; labels that this takes are counted."""
        from sparc_fw.workflow import append_iteration

        self._register()
        self.computed = 0
        test = self.campaign.test
        sources: dict[str, list[Source]] = {
            "test": list(test.frames) if test is not None else [],
            "scan": [test.scan] if test is not None and test.scan else [],
            "train": list(self.campaign.start),
        }
        # All at once, so that onlookers see from the beginning how much there is.
        self._steps = {role: _Steps(self.progress_reporter("start", role), found) for role, found in sources.items()}
        counts = {role: self._add_frames(role, found) for role, found in sources.items()}
        self.save_stage("start", 0)
        action = FWAction()
        if self.may_append():
            action = append_iteration(self.store, self.lpad, self.campaign, 0, self.fw_id)
        action.stored_data = {
            "campaign_id": self.campaign_id,
            "start_frames": counts["train"],
            "computed": self.computed,
        }
        return action

    def _register(self) -> None:
        loaded = self._given()
        if loaded is None:
            return
        if self.spec.get("campaign_id", loaded.campaign.name) != loaded.campaign.name:
            raise InputError(
                f"spec.campaign_id: found {self.spec['campaign_id']!r}, expected the campaign's name, "
                f"{loaded.campaign.name!r}, in every Firework of the file"
            )
        check_campaign(loaded, self.settings)
        try:
            self.store.create_indexes()
            self.store.add_campaign(loaded.campaign, loaded.files, self.fw_id)
        except CampaignExists:
            # A rerun of this very Firework finds what it registered the first time; anything else is a clash.
            record = self.store.campaign_record(self.campaign_id)
            if record["start_fw_id"] != self.fw_id or record["campaign"] != loaded.campaign.as_dict():
                raise

    @cached_property
    def settings(self) -> Settings:
        """Settings of the machine, with the threads of the system that the labeler drives, if it drives one."""
        settings = super().settings
        # The campaign may still have to be registered, which takes settings.
        given = self._given()
        campaign = given.campaign if given is not None else Store(self.lpad.db, settings).campaign(self.campaign_id)
        return with_cores(settings, campaign.driven_system())

    @cached_property
    def _relabels(self) -> str | None:
        return self.store.campaign_record(self.campaign_id).get("relabels")

    def _take_over(self, role: str, relabels: str) -> int:
        """Write down the frames of the campaign that is labelled anew; returns their number."""
        kept_apart = self.store.test_hashes(self.campaign_id) if role == "train" else frozenset()
        found = frames_of(self.store, relabels, role)
        frames = [frame for frame in found if frame_hash(frame) not in kept_apart]
        if frames:
            dropped = {"in_test_set": len(found) - len(frames)} if len(found) > len(frames) else {}
            keys = [self.labeler.key(frame) for frame in frames]
            self.store.add_frames(self.campaign_id, 0, role, frames, keys, dropped=dropped)
        return len(frames)

    def _add_frames(self, role: str, sources: list[Source]) -> int:
        """Write down the frames of some sources, with the labels that they bring along; returns their number."""
        count = self._written_down(role, sources)
        self._steps[role].finish()
        return count

    def _written_down(self, role: str, sources: list[Source]) -> int:
        known = self.store.frameset(self.campaign_id, 0, role)
        if known is not None:
            return len(known["keys"])
        if self._relabels is not None:
            return self._take_over(role, self._relabels)
        if not sources:
            return 0
        files: Files = self.store.campaign_files(self.campaign_id)
        campaign: Campaign = self.campaign
        seed = derive_seed(campaign.seed, 0, role)
        steps = self._steps[role]
        labels = self._stored_labels(steps.labelled)
        with labels.open():
            built = build_frames(
                sources, campaign, files, self.labeler, self.settings, seed, labels.label, steps.driven
            )
        self.computed += labels.computed
        # Nothing of the test set is ever trained on.
        kept_apart = self.store.test_hashes(self.campaign_id) if role == "train" else frozenset()
        entries = [entry for entry in built.entries if frame_hash(_frame(entry)) not in kept_apart]
        if len(entries) < len(built.entries):
            built.dropped["in_test_set"] = len(built.entries) - len(entries)
        frames = [_frame(entry) for entry in entries]
        keys = []
        for entry in entries:
            if isinstance(entry, Label):
                self.store.save_label(entry, self.campaign_id, 0, self.fw_id)
                keys.append(entry.key)
            else:
                keys.append(self.labeler.key(entry))
        on_the_way = {key: system for key, system in labels.systems.items() if key not in set(keys)}
        self.store.add_frames(self.campaign_id, 0, role, frames, keys, dropped=built.dropped, on_the_way=on_the_way)
        return len(frames)

    def _stored_labels(self, progress: Callable[[int], None]) -> StoredLabels:
        """How the steps of dynamics that the labeler drives come by their labels."""
        return StoredLabels(
            self.store,
            self.labeler,
            (self.campaign_id, 0, self.fw_id),
            self.launch_id,
            Path("label").absolute(),
            progress,
        )


class _Steps:
    """Tells onlookers how many steps of dynamics are done, whoever drives them."""

    def __init__(self, report: Callable[[int, int], None], sources: list[Source]) -> None:
        self._report = report
        self._total = sum(source.calculations for source in sources if isinstance(source, DynamicsSource))
        self._driven = self._labelled = 0
        self._tell()

    def driven(self, more: int) -> None:
        """A driver did so many more."""
        self._driven += more
        self._tell()

    def labelled(self, count: int) -> None:
        """The labeler did so many in all."""
        self._labelled = count
        self._tell()

    def finish(self) -> None:
        """All is done, however early runs ended."""
        self._driven = self._total - self._labelled
        self._tell()

    def _tell(self) -> None:
        if self._total:
            self._report(self._driven + self._labelled, self._total)


def _frame(entry: Atoms | Label) -> Atoms:
    return entry.frame if isinstance(entry, Label) else entry
