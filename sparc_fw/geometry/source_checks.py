"""What can be known of a campaign's sources before anything is computed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from ase import Atoms

from sparc_fw.campaign import Campaign
from sparc_fw.errors import InputError, MissingDependency, named
from sparc_fw.explorers.bias import check_biases
from sparc_fw.explorers.plumed import kernel_problem, try_input
from sparc_fw.geometry.build import cheap_frames, drawn_frames, starts_of, structure_of
from sparc_fw.geometry.dynamics import bias_lines
from sparc_fw.geometry.files import Files
from sparc_fw.geometry.fragments import dissociation_frames
from sparc_fw.geometry.overlap import describe_overlap
from sparc_fw.geometry.scan import scan_frames
from sparc_fw.geometry.sources import (
    ApproachSource,
    DisplacementSource,
    DissociationSource,
    DynamicsSource,
    FileSource,
    LabelledSource,
    NormalModeSource,
    RattleSource,
    ScanSource,
    Source,
)
from sparc_fw.labelers.base import Labeler
from sparc_fw.labelers.driver import check_driver


def check_sources(campaign: Campaign, files: Files, labeler: Labeler[Any]) -> None:
    """Check all sources of a campaign without running anything.

    Raises
    ------
    InputError
        If a frame can never be labelled, a scan does not fit its structure, numbers are missing in a labelled file, a
        driver cannot run, or the start frames alone pass the label budget.
    """
    for index, system in enumerate(campaign.systems):
        frame = structure_of(campaign, files, system.name)
        of_file = f", {system.structure}" if isinstance(system.structure, str) else ""
        where = f"systems[{index}]: system {system.name}{of_file}"
        with named(where):
            labeler.check(frame)
        overlap = describe_overlap(frame)
        if overlap is not None:
            raise InputError(f"{where}: {overlap}")
    for key, source in campaign.sources_by_key().items():
        with named(key):
            if isinstance(source, FileSource | LabelledSource):
                for number, frame in enumerate(cheap_frames(source, campaign, files, labeler)):
                    with named(f"{source.path} {source.index!r}, frame {number}"):
                        labeler.check(frame)
            else:
                _check_made(source, structure_of(campaign, files, source.system), labeler)
    _check_budget(campaign, files)


def _check_budget(campaign: Campaign, files: Files) -> None:
    """Raise `InputError` where the start frames alone pass the label budget, or the share of their systems."""
    asked: Counter[str] = Counter()
    for source in campaign.start:
        asked[campaign.system(source.system).name] += count_labels(source, files)
    if asked.total() > campaign.budget.labels:
        raise InputError(
            f"start: found {asked.total()} frames to label, expected at most budget.labels = "
            f"{campaign.budget.labels}; ask for fewer start frames{_advice(campaign)} or raise the budget"
        )
    for names, limit in campaign.label_limits():
        found = sum(asked[name] for name in names)
        if found > limit:
            raise InputError(
                f"start: found {found} frames of {' and '.join(sorted(names))} to label, expected at most {limit}, "
                f"which is their label_share of budget.labels; ask for fewer of them{_advice(campaign)}, or raise the "
                "share or the budget"
            )


def _advice(campaign: Campaign) -> str:
    """What else makes start frames cost less, where the labeler drives dynamics: each step is a label."""
    driven = [s for s in campaign.start if isinstance(s, DynamicsSource) and s.driver is None]
    return ", for shorter dynamics or for a 'driver' of them," if driven else ""


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
        drawn_frames(structure, source, np.random.default_rng(0))


def _check_dynamics(source: DynamicsSource, structure: Atoms, labeler: Labeler[Any]) -> None:
    if source.driver is not None:
        check_driver(source.driver, labeler.settings, structure, "dynamics: driver")
    starts_of(structure, source, 1)
    if source.confine is not None:
        source.confine.check("dynamics: confine", len(structure))
    if source.bias:
        _check_bias(source, structure)
    offered = source.runs * source.samples
    if source.frames is not None and source.frames > offered:
        raise InputError(
            f"dynamics: frames: found {source.frames}, expected at most {offered}: {source.runs} run(s) of "
            f"{source.duration_ps:g} ps, one frame every {source.sample_every_fs:g} fs"
        )


def _check_bias(source: DynamicsSource, structure: Atoms) -> None:
    try:
        check_biases(source.bias, len(structure))
        lines = bias_lines(source, 0)
        problem = kernel_problem()
        if problem is not None:
            raise MissingDependency(problem)
        try_input(lines, structure, source.timestep_fs, source.temperature_K[0])
    except InputError as error:
        raise type(error)(f"dynamics: bias: {str(error).removeprefix('explorer.plumed: ')}") from error


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
    if isinstance(source, DynamicsSource):
        return source.runs * source.samples if source.frames is None else source.frames
    if isinstance(source, DisplacementSource | RattleSource | NormalModeSource):
        return source.frames
    return 0


def count_labels(source: Source, files: Files) -> int:
    """Labels that a source costs at most: those of its frames, or of every step where the labeler drives."""
    if isinstance(source, DynamicsSource) and source.driver is None:
        return source.calculations
    return count_frames(source, files)
