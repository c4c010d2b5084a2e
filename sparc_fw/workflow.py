"""Campaign -> Workflow: only the wiring of the graph, and the guard that no iteration is appended twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ase import Atoms
from fireworks import Firework, FWAction, LaunchPad, Workflow

from sparc_fw.batches import label_batches
from sparc_fw.campaign import Campaign, System
from sparc_fw.errors import StoreError
from sparc_fw.firetasks.base import CampaignTask
from sparc_fw.firetasks.check import CheckTask
from sparc_fw.firetasks.explore import ExploreTask
from sparc_fw.firetasks.label import LabelTask
from sparc_fw.firetasks.select import SelectTask
from sparc_fw.firetasks.start import StartTask
from sparc_fw.firetasks.train import TrainTask
from sparc_fw.firetasks.validate import PublishTask, ValidateTask
from sparc_fw.store import Store

CATEGORIES = ("label", "train", "explore", "select")
"""What a worker may ask for by its category; start, validate and publish belong to select."""

PRIORITY = 1_000_000
"""Priority of iteration 0; later ones come after, so that older iterations finish first."""


def make_firework(
    task: CampaignTask,
    campaign_id: str,
    iteration: int,
    stage: str,
    item: str,
    category: str,
    parents: list[Firework] | None = None,
    **place: Any,
) -> Firework:
    """A Firework with a name and a spec that say where in the campaign it belongs."""
    spec = {
        "campaign_id": campaign_id,
        "iteration": iteration,
        "stage": stage,
        "item": item,
        "_category": category,
        "_priority": PRIORITY - iteration,
        # The task reaches the store through the LaunchPad that launched it.
        "_add_launchpad_and_fw_id": True,
        **place,
    }
    name = f"{campaign_id} {iteration:03d} {stage}" + (f" {item}" if item else "")
    return Firework([task], spec=spec, name=name, parents=parents)


def build_campaign(campaign: Campaign) -> Workflow:
    """The Workflow of a registered campaign: start, and publish when everything that start begins has ended.

    A start that computes labels asks for a worker and for resources as these do.
    """
    name, system = campaign.name, campaign.driven_system()
    category = "select" if system is None else _category(system)
    place = {} if system is None else queue_spec(system)
    start = make_firework(StartTask(), name, 0, "start", "", category, **place)
    return Workflow([start, _publish(name, 0, [start])], name=name, metadata=_metadata(name, 0))


def build_iteration(store: Store, campaign: Campaign, iteration: int) -> list[Firework]:
    """The Fireworks of one turn of the loop, select last; the frames to label must be in the store."""
    labels = _label_fireworks(store, campaign, iteration)
    name = campaign.name
    trains = [
        make_firework(TrainTask(), name, iteration, "train", f"member {m}", "train", parents=labels, member=m)
        for m in range(campaign.committee)
    ]
    explores = [
        make_firework(
            ExploreTask(), name, iteration, "explore", item, "explore", parents=trains, replica=replica, **place
        )
        for replica, (item, place) in enumerate(_replicas(campaign))
    ]  # fmt: skip
    validate = make_firework(ValidateTask(), name, iteration, "validate", "", "select", parents=trains)
    select = make_firework(SelectTask(), name, iteration, "select", "", "select", parents=[*explores, validate])
    return [*labels, *trains, *explores, validate, select]


def _replicas(campaign: Campaign) -> Iterator[tuple[str, dict[str, Any]]]:
    """What names each replica of an iteration, and its place among explorers and systems."""
    for replica, (index, system, number) in enumerate(campaign.runs()):
        options = campaign.explorer[index]
        words = [
            f"replica {replica}",
            options.title if len(campaign.explorer) > 1 else "",
            system if len(campaign.systems) > 1 else "",
            options.place(number),
        ]
        place = {"explorer": index, "replica_of_system": number, "system": system}
        yield " ".join(filter(None, words)), place


def _label_fireworks(store: Store, campaign: Campaign, iteration: int) -> list[Firework]:
    """Batches of frames to label; systems apart, since each has its own size and resources."""
    fireworks = []
    for role in ("train", "test", "scan") if iteration == 0 else ("train",):
        frameset = store.frameset(campaign.name, iteration, role)
        if frameset is None:
            continue
        keys = frameset["keys"]
        known = store.statuses(keys)
        if role != "train" and len(known) == len(keys):
            continue  # the test set brought its labels along
        frames: dict[str, list[tuple[str, Atoms]]] = {}
        for key, frame in zip(keys, store.frames(frameset), strict=True):
            frames.setdefault(frame.info["system"], []).append((key, frame))
        for system in campaign.systems:
            for first, last in label_batches(store, campaign, frames.get(system.name, []), known):
                fireworks.append(_label_firework(campaign, iteration, role, system, first, last))
    return fireworks


def _label_firework(campaign: Campaign, iteration: int, role: str, system: System, first: int, last: int) -> Firework:
    named = f" {system.name}" if len(campaign.systems) > 1 else ""
    return make_firework(
        LabelTask(), campaign.name, iteration, "label", f"{role}{named} {first}-{last - 1}",
        _category(system), role=role, system=system.name, first=first, last=last,
        **queue_spec(system),
    )  # fmt: skip


def _category(system: System) -> str:
    """Which workers take the labels of a system."""
    return system.resources.category or "label"


def queue_spec(system: System) -> dict[str, Any]:
    """The part of a Firework's spec by which ``qlaunch`` asks for what a system's labels need."""
    words = system.resources.queue_adapter()
    return {"_queueadapter": words} if words else {}


def append_iteration(store: Store, lpad: LaunchPad, campaign: Campaign, iteration: int, fw_id: int | None) -> FWAction:
    """The action that appends an iteration behind the calling Firework, or does nothing where it exists.

    A select (or start) Firework that is rerun finds the iteration that it appended the first time. Fireworks of it that
    are in no Workflow are what a kill between FireWorks' writes left behind; they are removed first. Where the Workflow
    would grow beyond `Settings.chapter_nodes`, the iteration begins a new Workflow of the same campaign (a chapter),
    because each launch reads the whole document of its Workflow.
    """
    if iteration_exists(lpad, campaign.name, iteration):
        return FWAction()
    lpad.fireworks.delete_many(_of_iteration(campaign.name, iteration))
    fireworks = build_iteration(store, campaign, iteration)
    nodes = lpad.workflows.find_one({"nodes": fw_id}, {"nodes": 1, "metadata": 1})
    if nodes is None:
        raise StoreError(f"Firework {fw_id} belongs to no Workflow: run 'sparc-fw repair {campaign.name}'")
    if len(nodes["nodes"]) + len(fireworks) <= store.chapter_nodes:
        return FWAction(detours=Workflow(fireworks))
    chapter = int(nodes["metadata"].get("chapter", 0)) + 1
    publish = _publish(campaign.name, iteration, [fireworks[-1]])
    lpad.add_wf(Workflow([*fireworks, publish], name=campaign.name, metadata=_metadata(campaign.name, chapter)))
    return FWAction()


def append_checks(store: Store, lpad: LaunchPad, campaign: Campaign, iteration: int, systems: set[str]) -> FWAction:
    """The action that lets suspect labels of some systems be computed again before the selection.

    A ValidateTask that is rerun finds the Fireworks that it appended the first time. One that was killed before they
    were written leaves suspects in the store, which the next iteration suspects again.
    """
    mine = {"spec.campaign_id": campaign.name, "spec.iteration": iteration, "spec.stage": "check"}
    known = {firework["spec"]["system"] for firework in lpad.fireworks.find(mine, {"spec.system": 1})}
    fireworks = [
        make_firework(
            CheckTask(), campaign.name, iteration, "check", system.name, _category(system),
            system=system.name, **queue_spec(system),
        )
        for system in campaign.systems
        if system.name in systems - known
    ]  # fmt: skip
    return FWAction(detours=Workflow(fireworks)) if fireworks else FWAction()


def iteration_exists(lpad: LaunchPad, campaign_id: str, iteration: int) -> bool:
    """Whether a Workflow holds Fireworks of an iteration."""
    ids = [firework["fw_id"] for firework in lpad.fireworks.find(_of_iteration(campaign_id, iteration), {"fw_id": 1})]
    return bool(ids) and lpad.workflows.find_one({"nodes": {"$in": ids}}, {"_id": 1}) is not None


def _of_iteration(campaign_id: str, iteration: int) -> dict[str, Any]:
    """Query for the Fireworks of an iteration; start and publish belong to the campaign."""
    return {"spec.campaign_id": campaign_id, "spec.iteration": iteration, "spec.stage": {"$nin": ["start", "publish"]}}


def _publish(campaign_id: str, iteration: int, parents: list[Firework]) -> Firework:
    return make_firework(PublishTask(), campaign_id, iteration, "publish", "", "select", parents=parents)


def _metadata(campaign_id: str, chapter: int) -> dict[str, Any]:
    return {"campaign_id": campaign_id, "chapter": chapter}
