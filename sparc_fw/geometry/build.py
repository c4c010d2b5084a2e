"""From the sources that a campaign states to its first frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms

from sparc_fw.campaign import Campaign, System
from sparc_fw.documents import FROM_FILE, Label, file_key
from sparc_fw.errors import InputError
from sparc_fw.geometry.displacements import displaced_frames, mode_frames, rattled_frames
from sparc_fw.geometry.dynamics import dynamics_frames
from sparc_fw.geometry.files import PROVENANCE, Files
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
from sparc_fw.labelers.driver import LabellingCalculator, driving_calculator, make_driver
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


def frame_of(campaign: Campaign, files: Files, name: str, path: str) -> Atoms:
    """Last frame of a file, with a system's name, charge and spin in its ``info``."""
    return _named(files.frames(path, "-1")[0], campaign.system(name))


def build_frames(
    sources: Sequence[Source],
    campaign: Campaign,
    files: Files,
    labeler: Labeler[Any],
    settings: Settings,
    seed: int,
    label: Callable[[Atoms], Label] | None = None,
    driven: Callable[[int], None] | None = None,
) -> Built:
    """Make the frames of `sources`, in their order; a frame that came before or has overlapping atoms is dropped.

    Parameters
    ----------
    labeler : Labeler
        The campaign's, whose key tells whether two frames are one.
    seed : int
        Every random choice derives from it and from the source's place.
    label : callable, optional
        Labels what the labeler drives, step by step, if not `labeler` itself: somebody who keeps labels may hand in his
        own way to come by one.
    driven : callable, optional
        Told after each run of a driver that is not the labeler how many calculations it was to take.

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
        own = derive_seed(seed, place)
        for entry in _entries(source, campaign, files, labeler, settings, own, dropped, label or labeler.label, driven):
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


def _entries(
    source: Source,
    campaign: Campaign,
    files: Files,
    labeler: Labeler[Any],
    settings: Settings,
    seed: int,
    dropped: Counter[str],
    label: Callable[[Atoms], Label],
    driven: Callable[[int], None] | None,
) -> Sequence[Atoms | Label]:
    structure = structure_of(campaign, files, source.system)
    if isinstance(source, DynamicsSource):
        starts = starts_of(structure, source, derive_seed(seed, "starts"))
        if source.driver is None:
            frames, lost = dynamics_frames(starts, source, LabellingCalculator(label, structure), seed)
        else:
            calculator = driving_calculator(source.driver, settings, structure)
            frames, lost = dynamics_frames(starts, source, calculator, seed, settings.processes, driven)
        dropped.update(lost)
        return frames
    if isinstance(source, NormalModeSource):
        driver = make_driver(source.driver, settings) if source.driver is not None else labeler
        calculator = driver.calculator(structure.info["charge"], structure.info["spin"])
        return mode_frames(structure, source, calculator, seed)
    if isinstance(source, DisplacementSource | RattleSource | ApproachSource):
        return drawn_frames(structure, source, np.random.default_rng(seed))
    if isinstance(source, LabelledSource):
        dropped.update(files.refused(source.path))
        labels = labels_of(source, campaign, files, labeler)
        cap = labeler.options.force_cap
        below = [label for label in labels if cap is None or not _longest(label) > cap]
        dropped["force_cap"] += len(labels) - len(below)
        return below
    return cheap_frames(source, campaign, files, labeler)


def drawn_frames(
    structure: Atoms, source: DisplacementSource | RattleSource | ApproachSource, random: np.random.Generator
) -> list[Atoms]:
    """Frames that cost nothing but depend on a seed."""
    if isinstance(source, RattleSource):
        return rattled_frames(structure, source, random)
    if isinstance(source, ApproachSource):
        return approach_frames(structure, source, random)
    return displaced_frames(structure, source, random)


def starts_of(structure: Atoms, source: DynamicsSource, seed: int) -> list[Atoms]:
    """Where the runs of some dynamics begin."""
    if isinstance(source.starts, ScanSource):
        return scan_frames(structure, source.starts)
    if isinstance(source.starts, RandomStarts):
        return random_structures(structure, source.starts, np.random.default_rng(seed))
    return [structure]


def cheap_frames(source: Source, campaign: Campaign, files: Files, labeler: Labeler[Any]) -> list[Atoms]:
    """Frames of a source that cost nothing and are the same every time."""
    system = campaign.system(source.system)
    if isinstance(source, ScanSource):
        return scan_frames(structure_of(campaign, files, source.system), source)
    if isinstance(source, DissociationSource):
        return dissociation_frames(structure_of(campaign, files, source.system), source)
    if isinstance(source, FileSource):
        return [_named(frame, system) for frame in files.frames(source.path, source.index)]
    if isinstance(source, LabelledSource):
        return [label.frame for label in labels_of(source, campaign, files, labeler)]
    raise TypeError(f"no frames are known to come from {type(source).__name__}")


def _named(frame: Atoms, system: System) -> Atoms:
    """A frame without numbers, with the system's name, charge and spin."""
    info = {"system": system.name, "charge": system.charge, "spin": system.spin}
    return Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.pbc, info=info)


def labels_of(source: LabelledSource, campaign: Campaign, files: Files, labeler: Labeler[Any]) -> list[Label]:
    """The labels that a file holds, in its order.

    Raises
    ------
    InputError
        Names file and frame where there is no energy or force, another charge or spin is stated, or nothing proves
        that the campaign's labeler computed the numbers, though the source does not take them on trust.
    """
    labels = []
    for number, found in enumerate(files.frames(source.path, source.index)):
        where = f"{source.path}: frame {number}"
        label = _label(where, found, campaign.system(source.system))
        if not source.trust_settings:
            _require_proof(where, label, found, labeler)
        labels.append(label)
    return labels


def _require_proof(where: str, label: Label, found: Atoms, labeler: Labeler[Any]) -> None:
    """Raise `InputError` unless the file says that the labeler, as it is set up, computed this frame."""
    from sparc_fw.formats.base import provenance_from_text

    stated = provenance_from_text(found.info[PROVENANCE]) if PROVENANCE in found.info else {}
    settings = stated.get("settings_hash", "")
    if settings == labeler.settings_hash and stated.get("key") == labeler.key(label.frame):
        return
    told = f"settings of hash {settings[:12]}…" if settings else "no record of how it was computed"
    raise InputError(
        f"{where}: found {told}, expected the settings of the campaign's labeler ({labeler.options.kind}, hash "
        f"{labeler.settings_hash[:12]}…); trust_settings: true takes the numbers on your word as that labeler's"
    )


def _longest(label: Label) -> float:
    """The largest force on an atom, eV/Å."""
    return float(np.linalg.norm(label.forces, axis=1).max(initial=0.0)) if label.forces is not None else 0.0


def _label(where: str, found: Atoms, system: System) -> Label:
    """The label that a frame of a file is."""
    results = found.calc.results if found.calc is not None else {}
    missing = [name for name in ("energy", "forces") if not np.isfinite(results.get(name, np.nan)).all()]
    if missing:
        raise InputError(
            f"{where}: found no finite {' and no finite '.join(missing)}, expected a labelled frame "
            "with energy (eV) and forces (eV/Å); use 'kind: file' for frames that are to be labelled"
        )
    for name in ("charge", "spin"):
        expected = getattr(system, name)
        if found.info.get(name, expected) != expected:
            raise InputError(
                f"{where}: found {name} {found.info[name]}, expected that of system {system.name!r}, {expected}"
            )
    frame = _named(found, system)
    stress = np.asarray(results["stress"], dtype=float) if "stress" in results and frame.pbc.any() else None
    energy, forces = float(results["energy"]), np.asarray(results["forces"], dtype=float)
    return Label(
        frame=frame,
        status="ok",
        energy=energy,
        forces=forces,
        stress=stress,
        code=FROM_FILE,
        attempts=0,
        key=file_key(frame, energy, forces),
    )
