"""From the sources that a campaign states to its first frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms

from sparc_fw.campaign import Campaign, System
from sparc_fw.documents import FROM_FILE, Label, frame_hash, json_hash
from sparc_fw.errors import InputError
from sparc_fw.geometry.displacements import displaced_frames, mode_frames, rattled_frames
from sparc_fw.geometry.dynamics import dynamics_frames, samples_per_run
from sparc_fw.geometry.files import Files
from sparc_fw.geometry.fragments import approach_frames, dissociation_frames
from sparc_fw.geometry.overlap import describe_overlap
from sparc_fw.geometry.random_structures import random_structures
from sparc_fw.geometry.scan import scan_frames
from sparc_fw.geometry.sources import (
    ApproachSource,
    DisplacementSource,
    DissociationSource,
    DynamicsSource,
    FileSource,
    LabelledSource,
    NormalModeSource,
    RandomStarts,
    RattleSource,
    ScanSource,
    Source,
)
from sparc_fw.labelers.base import Labeler
from sparc_fw.labelers.driver import check_driver, driving_calculator, make_driver
from sparc_fw.seeds import derive_seed
from sparc_fw.settings import Settings


@dataclass
class Built:
    """The frames of some sources.

    Attributes
    ----------
    entries : list of Atoms or Label
        In the order of the sources: a frame that is to be labelled, or a label that a file brought.
    dropped : dict of str to int
        Frames that were left out, by reason: ``overlap``, ``duplicate``, ``driver_failed``, ``apart``,
        ``force_cap``, ``energy_cap``, and what the reader of a labelled file refused (``not_converged``,
        ``unreadable``).
    """

    entries: list[Atoms | Label] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def frames(self) -> list[Atoms]:
        """The entries that are to be labelled."""
        return [entry for entry in self.entries if isinstance(entry, Atoms)]

    @property
    def labels(self) -> list[Label]:
        """The entries that are labels already."""
        return [entry for entry in self.entries if isinstance(entry, Label)]


def structure_of(campaign: Campaign, files: Files, name: str | None = None) -> Atoms:
    """Start structure of a system (the first one for None), with system, charge and spin in its ``info``."""
    system = campaign.system(name)
    structure = system.structure
    return _named(files.frames(structure, "-1")[0] if isinstance(structure, str) else structure.atoms(), system)


def build_frames(
    sources: Sequence[Source],
    campaign: Campaign,
    files: Files,
    labeler: Labeler[Any],
    settings: Settings,
    seed: int,
) -> Built:
    """Make the frames of `sources`, in their order; a frame that came before or has overlapping atoms is dropped.

    Parameters
    ----------
    labeler : Labeler
        The campaign's, whose key tells whether two frames are one.
    seed : int
        Every random choice derives from it and from the source's place.

    Raises
    ------
    InputError
        If a source cannot be built from its file or structure.
    StageFailed
        If dynamics left no frame at all.
    """
    dropped: Counter[str] = Counter()
    built = Built()
    seen: set[str] = set()
    for place, source in enumerate(sources):
        for entry in _entries(source, campaign, files, labeler, settings, derive_seed(seed, place), dropped):
            frame = entry.frame if isinstance(entry, Label) else entry
            key = labeler.key(frame)
            if key in seen:
                dropped["duplicate"] += 1
            elif describe_overlap(frame) is not None:
                dropped["overlap"] += 1
            else:
                seen.add(key)
                frame.info["origin"] = source.kind
                built.entries.append(entry)
    built.dropped = {reason: count for reason, count in sorted(dropped.items()) if count}
    return built


def check_sources(campaign: Campaign, files: Files, labeler: Labeler[Any]) -> None:
    """Check all sources of a campaign without running anything.

    Raises
    ------
    InputError
        If a frame can never be labelled, a scan does not fit its structure, numbers are missing in a labelled file, a
        driver cannot run, or the start frames alone pass the label budget.
    """
    for system in campaign.systems:
        frame = structure_of(campaign, files, system.name)
        where = f"system {system.name}" + (f", {system.structure}" if isinstance(system.structure, str) else "")
        _check_frame(labeler, frame, where)
        overlap = describe_overlap(frame)
        if overlap is not None:
            raise InputError(f"{where}: {overlap}")
    for source in campaign.sources():
        if isinstance(source, FileSource | LabelledSource):
            for number, frame in enumerate(_cheap_frames(source, campaign, files, labeler)):
                _check_frame(labeler, frame, f"{source.path} {source.index!r}, frame {number}")
        else:
            _check_made(source, structure_of(campaign, files, source.system), labeler)
    _check_budget(campaign, files)


def _check_budget(campaign: Campaign, files: Files) -> None:
    """Raise `InputError` where the start frames alone pass the label budget, or the share of their systems."""
    asked: Counter[str] = Counter()
    for source in campaign.start:
        asked[campaign.system(source.system).name] += count_frames(source, files)
    if asked.total() > campaign.budget.labels:
        raise InputError(
            f"start: found {asked.total()} frames to label, expected at most budget.labels = "
            f"{campaign.budget.labels}; ask for fewer start frames or raise the budget"
        )
    for names, limit in campaign.label_limits():
        found = sum(asked[name] for name in names)
        if found > limit:
            raise InputError(
                f"start: found {found} frames of {' and '.join(sorted(names))} to label, expected at most {limit}, "
                "which is their label_share of budget.labels; ask for fewer of them, or raise the share or the budget"
            )


def _entries(
    source: Source,
    campaign: Campaign,
    files: Files,
    labeler: Labeler[Any],
    settings: Settings,
    seed: int,
    dropped: Counter[str],
) -> Sequence[Atoms | Label]:
    structure = structure_of(campaign, files, source.system)
    if isinstance(source, DynamicsSource):
        starts = _starts(structure, source, derive_seed(seed, "starts"))
        calculator = driving_calculator(source.driver, settings, structure)
        frames, lost = dynamics_frames(starts, source, calculator, seed, settings.processes)
        dropped.update(lost)
        return frames
    if isinstance(source, NormalModeSource):
        driver = make_driver(source.driver, settings) if source.driver is not None else labeler
        calculator = driver.calculator(structure.info["charge"], structure.info["spin"])
        return mode_frames(structure, source, calculator, seed)
    if isinstance(source, DisplacementSource | RattleSource | ApproachSource):
        return _drawn(structure, source, np.random.default_rng(seed))
    if isinstance(source, LabelledSource):
        system = campaign.system(source.system)
        dropped.update(files.refused(source.path))
        found = files.frames(source.path, source.index)
        return [_label(source.path, number, frame, system) for number, frame in enumerate(found)]
    return _cheap_frames(source, campaign, files, labeler)


def _drawn(
    structure: Atoms, source: DisplacementSource | RattleSource | ApproachSource, random: np.random.Generator
) -> list[Atoms]:
    """Frames that cost nothing but depend on a seed."""
    if isinstance(source, RattleSource):
        return rattled_frames(structure, source, random)
    if isinstance(source, ApproachSource):
        return approach_frames(structure, source, random)
    return displaced_frames(structure, source, random)


def _starts(structure: Atoms, source: DynamicsSource, seed: int) -> list[Atoms]:
    """Where the runs of some dynamics begin."""
    if isinstance(source.starts, ScanSource):
        return scan_frames(structure, source.starts)
    if isinstance(source.starts, RandomStarts):
        return random_structures(structure, source.starts, np.random.default_rng(seed))
    return [structure]


def _cheap_frames(source: Source, campaign: Campaign, files: Files, labeler: Labeler[Any]) -> list[Atoms]:
    """Frames of a source that cost nothing and are the same every time."""
    system = campaign.system(source.system)
    if isinstance(source, ScanSource):
        return scan_frames(structure_of(campaign, files, source.system), source)
    if isinstance(source, DissociationSource):
        return dissociation_frames(structure_of(campaign, files, source.system), source)
    if isinstance(source, FileSource):
        return [_named(frame, system) for frame in files.frames(source.path, source.index)]
    if isinstance(source, LabelledSource):
        found = files.frames(source.path, source.index)
        return [_label(source.path, number, frame, system).frame for number, frame in enumerate(found)]
    raise TypeError(f"no frames are known to come from {type(source).__name__}")


def _named(frame: Atoms, system: System) -> Atoms:
    """A frame without numbers, with the system's name, charge and spin."""
    info = {"system": system.name, "charge": system.charge, "spin": system.spin}
    return Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.pbc, info=info)


def _label(path: str, number: int, found: Atoms, system: System) -> Label:
    """The label that a file holds."""
    results = found.calc.results if found.calc is not None else {}
    missing = [name for name in ("energy", "forces") if not np.isfinite(results.get(name, np.nan)).all()]
    if missing:
        raise InputError(
            f"{path}: frame {number}: found no finite {' and no finite '.join(missing)}, expected a labelled frame "
            "with energy (eV) and forces (eV/Å); use 'kind: file' for frames that are to be labelled"
        )
    frame = _named(found, system)
    stress = np.asarray(results["stress"], dtype=float) if "stress" in results and frame.pbc.any() else None
    return Label(
        frame=frame,
        status="ok",
        energy=float(results["energy"]),
        forces=np.asarray(results["forces"], dtype=float),
        stress=stress,
        code=FROM_FILE,
        attempts=0,
        # Not the labeler's key: what a file says must never pass for what a labeler computed.
        key=json_hash([frame_hash(frame), FROM_FILE, float(results["energy"]), np.asarray(results["forces"]).tolist()]),
    )


def _check_frame(labeler: Labeler[Any], frame: Atoms, where: str) -> None:
    try:
        labeler.check(frame)
    except InputError as error:
        # The same error class, so that a missing package stays one.
        raise type(error)(f"{where}: {error}") from error


def _check_made(source: Source, structure: Atoms, labeler: Labeler[Any]) -> None:
    """Check a source that makes frames of a structure; what costs nothing says so when it is built."""
    if isinstance(source, DynamicsSource):
        _check_dynamics(source, structure, labeler)
    elif isinstance(source, NormalModeSource):
        driver = source.driver if source.driver is not None else labeler.options
        check_driver(driver, labeler.settings, structure, "normal_modes: driver")
    elif isinstance(source, ScanSource):
        scan_frames(structure, source)
    elif isinstance(source, DissociationSource):
        dissociation_frames(structure, source)
    elif isinstance(source, DisplacementSource | RattleSource | ApproachSource):
        _drawn(structure, source, np.random.default_rng(0))


def _check_dynamics(source: DynamicsSource, structure: Atoms, labeler: Labeler[Any]) -> None:
    check_driver(source.driver, labeler.settings, structure, "dynamics: driver")
    runs = len(_starts(structure, source, 1)) * len(source.temperature_K)
    if source.confine is not None:
        source.confine.check("dynamics: confine", len(structure))
    offered = runs * samples_per_run(source)
    if source.frames > offered:
        raise InputError(
            f"dynamics: frames: found {source.frames}, expected at most {offered}: {runs} run(s) of "
            f"{source.duration_ps:g} ps, one frame every {source.sample_every_fs:g} fs"
        )


def count_frames(source: Source, files: Files) -> int:
    """Frames of a source that need a label, before any are dropped."""
    if isinstance(source, FileSource):
        return len(files.frames(source.path, source.index))
    if isinstance(source, ScanSource):
        return source.points
    if isinstance(source, DissociationSource):
        return source.points * len(source.bonds)
    if isinstance(source, ApproachSource):
        return source.points * source.orientations
    if isinstance(source, DisplacementSource | RattleSource | NormalModeSource | DynamicsSource):
        return source.frames
    return 0
