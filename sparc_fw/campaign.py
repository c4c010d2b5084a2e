"""The science: pydantic models of the campaign file; unknown keys are errors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import Field, model_validator

from sparc_fw.documents import AUGMENTED, IMPORT, ON_THE_FLY, PICK
from sparc_fw.explorers.base import ExplorerOptions
from sparc_fw.geometry.inline import InlineStructure
from sparc_fw.geometry.sources import DynamicsSource, FileSource, FrameSource, LabelledSource, Source, TestSet
from sparc_fw.labelers.base import LabelerOptions
from sparc_fw.potentials.base import PotentialOptions
from sparc_fw.registry import ByKind, OneOrMore
from sparc_fw.section import Section
from sparc_fw.selectors.augmentation import Augmentation
from sparc_fw.selectors.base import StepOptions
from sparc_fw.selectors.defaults import default_steps
from sparc_fw.selectors.goals import Convergence, EnergyDifference, Fraction
from sparc_fw.selectors.shares import divided

ROUNDING = 1e-9
"""By so much fractions may differ from 1 because of how computers add."""
SHARES_TOLERANCE = 0.01
"""By so much shares may miss 1 because of how people round: three of 0.33 are thirds."""


class Resources(Section):
    """What a label of a system needs from the queue; passed on to FireWorks' queue adapter."""

    cores: int | None = Field(None, ge=1)
    """Processor cores of a label, which are also its threads; where unset, the setting ``threads`` of the machine."""
    memory_GB: float | None = Field(None, gt=0)
    """Memory of a label Firework, GB."""
    wall_time: str | None = Field(None, pattern=r"^(\d+-)?\d{1,3}:\d{2}(:\d{2})?$")
    """Longest wall time of a label Firework, as the queue wants it: HH:MM:SS."""
    category: str | None = Field(None, pattern=r"^[A-Za-z0-9_.-]+$")
    """Category of the label Fireworks, for workers that take only these; 'label' where unset."""
    queue: dict[str, str | int | float] = {}
    """Further parameters of the queue adapter's template (queue, account, nodes, gres, …); they win over the others."""

    def queue_adapter(self) -> dict[str, str | int | float]:
        """What FireWorks' ``_queueadapter`` says, in the words of its templates for Slurm, PBS and MOAB.

        A template takes the words that it knows, so that one campaign goes to any of these queues.
        """
        words: dict[str, str | int | float] = {}
        if self.cores is not None:
            words |= {"nodes": 1, "cpus_per_task": self.cores, "nnodes": 1, "ppnode": self.cores, "ppn": self.cores}
        if self.memory_GB is not None:
            megabytes = round(1024 * self.memory_GB)
            words |= {"mem": f"{megabytes}M", "pmem": f"{megabytes // (self.cores or 1)}mb"}
        if self.wall_time is not None:
            words["walltime"] = self.wall_time
        return words | self.queue


class System(Section):
    """A molecule or cell that the campaign is about."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    """Name, letters, digits, '_', '.', '-'."""
    structure: str | InlineStructure
    """The start structure: a file that ASE reads (its last frame), relative to the campaign file, or written inline."""
    charge: int = 0
    """Total charge, e."""
    spin: int = Field(0, ge=0)
    """Number of unpaired electrons (2S)."""
    label_share: float | None = Field(None, gt=0, le=1)
    """Its share of the labels: it never gets more than this fraction of `budget.labels`, start frames and failed labels
    included; of the picks of an iteration it is assured this fraction, and others get what it has no use for. Systems
    without one compete for what the shares of the others leave, and for everything where no system has one."""
    resources: Resources = Resources()
    """What its labels need from the queue."""


class Suspects(Section):
    """Which labels are computed once more because the committee finds them impossible."""

    z_score: float = Field(5.0, gt=0)
    """A label is suspect whose residual lies so many robust standard deviations outside those of the labels near it."""
    neighbours: int = Field(30, ge=10)
    """With so many nearest labels of its composition it is compared; fewer labels are not looked at."""
    max_fraction: Fraction = 0.05
    """At most this fraction of the labels is computed again in an iteration, the least credible first."""
    examined: int = Field(10_000, ge=100)
    """At most so many labels are looked at in an iteration: those that it asked for, and a random part of the others.
    With four members of the default size 10,000 labels of 50 atoms take two or three minutes of one core."""
    tolerance_eV: float = Field(0.05, gt=0)
    """A suspect is confirmed when a second calculation gives the same energy within this, eV, …"""
    tolerance_eV_per_A: float = Field(0.1, gt=0)
    """… and the same forces within this, eV/Å."""


class Labeling(Section):
    """How labels are batched, checked, and how many may fail."""

    batch: int = Field(15, ge=1)
    """Frames per label Firework."""
    batch_seconds: float | None = Field(None, gt=0)
    """Wall time that a label Firework shall take, s: as many frames as labels of their composition took so far in the
    store; `batch` frames where there are none yet. Where unset, always `batch` frames."""
    suspects: Suspects | None = Suspects()
    """How wrong electronic states are looked for; null to trust every label."""
    energy_window_eV: float | None = Field(None, gt=0)
    """A good label that lies more than this above the lowest one so far of the same atoms, charge and spin is kept, but
    not trained on, eV: what the reaction never visits spoils a small model everywhere. Where unset, all are."""
    min_label_fraction: Fraction = 0.5
    """Least fraction of an iteration's labels that must succeed for the campaign to go on."""


class Validation(Section):
    """Labels held out of training, on which members are compared."""

    fraction: float = Field(0.1, gt=0, lt=1)
    """Fraction of each iteration's labels that is held out; once held out, always held out."""


class Budget(Section):
    """What the campaign may spend."""

    labels: int = Field(300, ge=1)
    """Most labels, failed ones included, the test set not."""
    iterations: int = Field(10, ge=1)
    """Most iterations."""
    hours: float | None = Field(None, gt=0)
    """Most hours of wall time since the campaign was registered; where unset, no limit."""


class Campaign(Section):
    """One campaign: a reactive system, how it is labelled, learned, explored, and when it is enough."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,80}$")
    """Unique name, which is also the campaign_id."""
    description: str = ""
    """One line for humans."""
    seed: int = Field(1, ge=0, lt=2**31)
    """All random choices derive from it."""
    systems: list[System] = Field(min_length=1)
    """The systems."""
    start: list[FrameSource] = Field(min_length=1)
    """Where the first labels come from; any mixture."""
    labeler: Annotated[LabelerOptions, ByKind("labeler")]
    """The reference method."""
    labeling: Labeling = Labeling()
    """Batches and tolerated failures."""
    potential: Annotated[PotentialOptions, ByKind("potential")]
    """The machine-learning potential."""
    committee: int = Field(4, ge=2, le=32)
    """Number of members."""
    explorer: Annotated[list[Annotated[ExplorerOptions, ByKind("explorer")]], Field(min_length=1), OneOrMore()]
    """How the committee looks for what it does not know: one explorer, or a list of them side by side."""
    select: Annotated[list[Annotated[StepOptions, ByKind("step")]], Field(min_length=1)] = default_steps()
    """Which explored frames are labelled: steps that the frames go through one after the other."""
    augment: Augmentation | None = None
    """Copies of each pick that are labelled beside it; where unset, none."""
    validation: Validation = Validation()
    """Labels held out."""
    convergence: Convergence = Convergence()
    """When to stop."""
    budget: Budget = Budget()
    """What may be spent."""
    test: TestSet | None = None
    """What models are measured on."""

    @model_validator(mode="after")
    def _check_systems(self) -> Campaign:
        names = [system.name for system in self.systems]
        if len(set(names)) < len(names):
            raise ValueError(f"systems: found {names}, expected every name once")
        titles = [explorer.title for explorer in self.explorer]
        if len(set(titles)) < len(titles):
            raise ValueError(f"explorer: found {titles}, expected every 'name' (or kind) once; give them names")
        for explorer in self.explorer:
            unknown = [name for name in explorer.systems or [] if name not in names]
            if unknown:
                raise ValueError(f"explorer {explorer.title!r}: systems: found {unknown[0]!r}, expected of {names}")
        for key, source in self.sources_by_key().items():
            if source.system is not None and source.system not in names:
                raise ValueError(f"{key}.system: found {source.system!r}, expected one of {names}")
        return self

    @model_validator(mode="after")
    def _check_goals(self) -> Campaign:
        names = [system.name for system in self.systems]
        titles = [explorer.title for explorer in self.explorer]
        for key in ("reach", "observables"):
            for index, goal in enumerate(getattr(self.convergence, key)):
                for word, known in (("system", names), ("explorer", titles)):
                    found = getattr(goal, word, None)
                    if found is not None and found not in known:
                        raise ValueError(
                            f"convergence.{key}[{index}].{word}: found {found!r}, expected one of {', '.join(known)}"
                        )
        return self

    @model_validator(mode="after")
    def _check_steps(self) -> Campaign:
        found = [f"select[{place}] ({step.kind})" for place, step in enumerate(self.select) if step.classifies]
        if len(found) != 1:
            raise ValueError(
                f"select: found {', '.join(found) or 'no step of kind window'}, expected exactly one step that says "
                "which frames are known, worth a label, or failed: verdicts count those"
            )
        return self

    @model_validator(mode="after")
    def _check_shares(self) -> Campaign:
        given = [system.label_share for system in self.systems if system.label_share is not None]
        without = [system.name for system in self.systems if system.label_share is None]
        total = math.fsum(given)
        if total > 1 + ROUNDING:
            raise ValueError(f"systems: label_share: found shares that add up to {total:g}, expected at most 1")
        if given and without and total > 1 - ROUNDING:
            raise ValueError(
                f"systems: label_share: found shares that add up to {total:g}, which leaves no label for "
                f"{without[0]!r}, expected less than 1"
            )
        if given and not without and total < 1 - SHARES_TOLERANCE:
            raise ValueError(
                f"systems: label_share: found shares that add up to {total:g}, expected 1: leave out that of a system "
                "that shall have the rest"
            )
        return self

    def label_shares(self) -> list[tuple[frozenset[str], float]]:
        """The systems that have a share of the labels together, with their fraction of all; empty without shares.

        Those without a share of their own come last, together. The fractions add up to 1.
        """
        given = [(frozenset([s.name]), s.label_share) for s in self.systems if s.label_share is not None]
        without = frozenset(system.name for system in self.systems if system.label_share is None)
        total = math.fsum(share for _, share in given)
        if not given:
            return []
        return [*given, (without, 1 - total)] if without else [(names, share / total) for names, share in given]

    def label_limits(self) -> list[tuple[frozenset[str], int]]:
        """The systems that have a share together, with the most labels that they get; empty without shares."""
        shares = self.label_shares()
        limits = divided(self.budget.labels, [fraction for _, fraction in shares]) if shares else []
        return [(names, limit) for (names, _), limit in zip(shares, limits, strict=True)]

    def sources(self) -> list[Source]:
        """Every frame source of the campaign, start and test."""
        return list(self.sources_by_key().values())

    def sources_by_key(self) -> dict[str, Source]:
        """The sources by their key in the file: ``start[0]``, ``test.frames[0]``, ``test.scan``."""
        found: dict[str, Source] = {f"start[{index}]": source for index, source in enumerate(self.start)}
        if self.test is not None:
            found |= {f"test.frames[{index}]": source for index, source in enumerate(self.test.frames)}
            if self.test.scan is not None:
                found["test.scan"] = self.test.scan
        return found

    def origins(self) -> set[str]:
        """Where the frames that are trained on can come from: kinds of start frames, and what comes on the way."""
        learned = {ON_THE_FLY} if any(options.most_labels for options in self.explorer) else set()
        copied = set() if self.augment is None else {AUGMENTED}
        return {source.kind for source in self.start} | {PICK, IMPORT} | learned | copied

    def most_picks(self) -> int:
        """Most picks of an iteration that its steps and the budget allow."""
        caps = [step.most_picks for step in self.select]
        return min([cap for cap in caps if cap is not None] + [self.budget.labels])

    def most_selected(self) -> int:
        """Most labels of an iteration that its picks and their copies ask for."""
        copies = 0 if self.augment is None else self.augment.copies
        return min((1 + copies) * self.most_picks(), self.budget.labels)

    def driven_system(self) -> System | None:
        """The first system whose start dynamics the labeler drives: beginning needs what a label of it needs."""
        driven = (source for source in self.sources() if isinstance(source, DynamicsSource) and source.driver is None)
        return next((self.system(source.system) for source in driven), None)

    def explorers(self) -> dict[str, ExplorerOptions]:
        """The explorers by their key in the file: ``explorer``, or ``explorer[0]`` and so on of several."""
        if len(self.explorer) == 1:
            return {"explorer": self.explorer[0]}
        return {f"explorer[{index}]": options for index, options in enumerate(self.explorer)}

    def steps(self) -> dict[str, StepOptions]:
        """The steps of the selection by their key in the file."""
        return {f"select[{place}]": options for place, options in enumerate(self.select)}

    def runs(self) -> Iterator[tuple[int, str, int]]:
        """Every run of an iteration, in order: its explorer's place, its system, and its number among those of both."""
        for system in self.systems:
            for index, options in enumerate(self.explorer):
                for number in range(options.runs if options.explores(system.name) else 0):
                    yield index, system.name, number

    def paths(self) -> list[str]:
        """Every file that the campaign names, as written, each once."""
        return list(self.path_keys())

    def path_keys(self) -> dict[str, str]:
        """For every file that the campaign names, as written, the first key in the file that names it."""
        named: list[tuple[str, str]] = []
        for index, system in enumerate(self.systems):
            if isinstance(system.structure, str):
                named.append((system.structure, f"systems[{index}].structure"))
        for key, source in self.sources_by_key().items():
            if isinstance(source, FileSource | LabelledSource):
                named.append((source.path, f"{key}.path"))
        for key, options in self.explorers().items():
            named += [(path, key) for path in options.paths]
        for index, observable in enumerate(self.convergence.observables):
            if isinstance(observable, EnergyDifference):
                named += [(path, f"convergence.observables[{index}].of") for path in observable.of]
        keys: dict[str, str] = {}
        for path, key in named:
            keys.setdefault(path, key)
        return keys

    def labelled_paths(self) -> list[str]:
        """Those of `paths` that hold labels, each once."""
        return list(dict.fromkeys(source.path for source in self.sources() if isinstance(source, LabelledSource)))

    def system(self, name: str | None) -> System:
        """The system of that name; the first one for None."""
        return next(system for system in self.systems if name is None or system.name == name)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON-able values, every default spelled out."""
        return self.model_dump(mode="json", serialize_as_any=True)
