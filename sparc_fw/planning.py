"""What a campaign will take at most: Fireworks, labels, and hours where its parts are timed."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ase import Atoms

from sparc_fw.campaign import Campaign
from sparc_fw.documents import Dataset, Label
from sparc_fw.errors import StageFailed
from sparc_fw.explorers.base import ExplorerOptions, Replica
from sparc_fw.geometry.build import structure_of
from sparc_fw.geometry.dynamics import dynamics_frames
from sparc_fw.geometry.source_checks import count_frames, count_labels
from sparc_fw.geometry.sources import DynamicsSource
from sparc_fw.labelers.base import charge_and_spin
from sparc_fw.loading import LoadedCampaign
from sparc_fw.registry import backend_classes
from sparc_fw.settings import Settings

TRAINING_STEPS = (10, 110)
"""Two short trainings tell the cost of a step from the cost of starting."""
MD_PS = (0.05, 0.25)
DRIVER_STEPS = (10, 60)


@dataclass
class Plan:
    """The largest size that a campaign can reach.

    Attributes
    ----------
    labels : list of int
        New labels of each iteration, as the budget and the cap on picks allow.
    test_labels : int
        Frames of the test set and the scan that must be labelled.
    driven : int
        Of all these labels, those that are computed one after the other, for the labeler drives the start's dynamics.
    fireworks : int
    """

    labels: list[int]
    test_labels: int
    fireworks: int
    driven: int = 0


@dataclass
class Costs:
    """Seconds of the start dynamics and of a label; start-up seconds, and those per training step or ps of dynamics."""

    start: float
    label: float
    train: tuple[float, float]
    explore: list[tuple[float, float]]


def plan_campaign(loaded: LoadedCampaign) -> Plan:
    """Count what a campaign will take if it uses its whole budget."""
    campaign = loaded.campaign
    start = sum(count_labels(source, loaded.files) for source in campaign.start)
    cap = campaign.most_selected()
    labels = [start]
    while len(labels) < campaign.budget.iterations and sum(labels) < campaign.budget.labels:
        on_the_fly = sum(options.at(len(labels) - 1).most_labels * count for options, count in _replicas(campaign))
        labels.append(min(cap + on_the_fly, campaign.budget.labels - sum(labels)))
    test = 0
    frames = sum(count_frames(source, loaded.files) for source in campaign.start)
    batches = [math.ceil(count / campaign.labeling.batch) for count in [frames, *labels[1:]]]
    if campaign.test is not None:
        scan = campaign.test.scan
        counts = [sum(count_frames(source, loaded.files) for source in campaign.test.frames)]
        counts.append(count_frames(scan, loaded.files) if scan is not None else 0)
        test = sum(count_labels(source, loaded.files) for source in campaign.test.frames) + counts[1]
        batches[0] += sum(math.ceil(count / campaign.labeling.batch) for count in counts)
    replicas = sum(count for _, count in _replicas(campaign))
    # Start and publish; in each iteration the labels, members, replicas, validate and select.
    fireworks = 2 + sum(batches) + len(labels) * (campaign.committee + replicas + 2)
    driven = sum(source.calculations for source in _dynamics(campaign) if source.driver is None)
    return Plan(labels, test, fireworks, driven)


def measure(loaded: LoadedCampaign, settings: Settings) -> Costs:
    """Time labels of the structures, short trainings on them, and short explorations with what they made.

    Raises
    ------
    StageFailed
        If a label fails.
    """
    campaign = loaded.campaign
    labeler = _backend("labeler", campaign.labeler, settings)
    structure = structure_of(campaign, loaded.files)
    # Each explorer is timed with the first system that it explores, whose elements the model must know.
    systems = [(options.systems or [campaign.systems[0].name])[0] for options in campaign.explorer]
    starts = {name: structure_of(campaign, loaded.files, name) for name in [campaign.systems[0].name, *systems]}
    labels: list[Label] = [labeler.label(start) for start in starts.values()]
    failed = next((label for label in labels if label.status == "failed"), None)
    if failed is not None:
        raise StageFailed(f"the start structure could not be labelled: {failed.reason}: {failed.message}")
    dataset = Dataset(labels * 8, [])
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model"
        return Costs(
            start=sum(_drive(source, structure, settings) for source in _dynamics(campaign)),
            label=labels[0].seconds,
            train=_line(TRAINING_STEPS, lambda steps: _train(campaign, dataset, int(steps), model, settings)),
            explore=[
                _exploration(loaded, options, starts[system], model, settings)
                for options, system in zip(campaign.explorer, systems, strict=True)
            ],
        )


def hours(plan: Plan, costs: Costs, campaign: Campaign, workers: int, settings: Settings) -> dict[str, float]:
    """Hours of each stage with so many workers, all iterations together, one model of the whole budget."""
    together = sum(plan.labels) + plan.test_labels - plan.driven
    seconds = {
        "start": costs.start / workers + costs.label * plan.driven,
        "label": costs.label * together / workers,
    }
    steps = _backend("potential", campaign.potential, settings).total_steps
    rounds = math.ceil(campaign.committee / workers)
    start, step = costs.train
    seconds["train"] = len(plan.labels) * rounds * (start + step * steps)
    seconds["explore"] = 0.0
    for (explorer, replicas), (start, per_ps) in zip(_replicas(campaign), costs.explore, strict=True):
        lengths = [explorer.at(iteration).planned_ps(iteration) for iteration in range(len(plan.labels))]
        seconds["explore"] += sum(math.ceil(replicas / workers) * (start + per_ps * length) for length in lengths)
    return {stage: value / 3600 for stage, value in seconds.items()}


def _dynamics(campaign: Campaign) -> list[DynamicsSource]:
    """The sources of start and test frames that run dynamics."""
    sources = [*campaign.start, *(campaign.test.frames if campaign.test is not None else [])]
    return [source for source in sources if isinstance(source, DynamicsSource)]


def _drive(source: DynamicsSource, structure: Any, settings: Settings) -> float:
    """Seconds that the dynamics of a source take beside labels, from a few steps of one run of it."""
    if source.driver is None:
        return 0.0
    driver = _backend("labeler", source.driver, settings)
    calculator = driver.calculator(*charge_and_spin(structure))

    def run(count: float) -> None:
        brief = {"duration_ps": count * source.timestep_fs / 1000, "temperature_K": source.temperature_K[:1]}
        brief |= {"sample_every_fs": source.timestep_fs, "frames": 1, "choose": "even", "bias": []}
        limits = {"energy_window_eV": None, "within_A": None, "max_force": None}
        dynamics_frames([structure], source.model_copy(update=brief | limits), calculator, 1)

    start, step = _line(DRIVER_STEPS, run)
    return start + source.calculations * step


def _line(sizes: tuple[float, float], run: Callable[[float], None]) -> tuple[float, float]:
    """Cost at size zero and cost per unit of size, s, from two runs."""
    times = [_seconds(run, size) for size in sizes]
    slope = max(0.0, (times[1] - times[0]) / (sizes[1] - sizes[0]))
    return max(0.0, times[0] - slope * sizes[0]), slope


def _seconds(run: Callable[[float], None], size: float) -> float:
    clock = time.perf_counter()
    run(size)
    return time.perf_counter() - clock


def _train(campaign: Campaign, dataset: Dataset, steps: int, model: Path, settings: Settings) -> None:
    potential = _backend("potential", campaign.potential, settings).with_steps(steps)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "train-0"
        directory.mkdir()
        trained = potential.train(dataset, 1, directory, lambda done, total: None)
    model.with_suffix(trained.suffix).write_bytes(trained.file)


def _replicas(campaign: Campaign) -> list[tuple[ExplorerOptions, int]]:
    """Each explorer with the number of its replicas in an iteration."""
    names = [system.name for system in campaign.systems]
    return [(options, options.runs * sum(map(options.explores, names))) for options in campaign.explorer]


def _exploration(
    loaded: LoadedCampaign, options: ExplorerOptions, structure: Atoms, model: Path, settings: Settings
) -> tuple[float, float]:
    """Seconds that a replica takes to start, and seconds per ps; those of a search are all its start."""

    def run(ps: float) -> None:
        with tempfile.TemporaryDirectory() as folder:
            replica = Replica(
                start=structure,
                potential=_backend("potential", loaded.campaign.potential, settings),
                models=sorted(model.parent.glob("model.*")),
                iteration=0,
                number=0,
                seed=1,
                directory=Path(folder),
                progress=lambda done, total: None,
                files=loaded.files,
            )
            _backend("explorer", options.lasting(ps), settings).explore(replica)

    if not options.planned_ps(0):
        return _seconds(run, 0.0), 0.0
    return _line(MD_PS, run)


def _backend(group: Any, options: Any, settings: Settings) -> Any:
    return backend_classes(group)[options.kind](options, settings)
