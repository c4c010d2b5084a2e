"""Why one explored frame was picked, or was not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np
from ase import Atoms

from sparc_fw.campaign import Campaign
from sparc_fw.documents import PICK, FrameVerdict
from sparc_fw.errors import InputError
from sparc_fw.explaining import Explained, Pick, finite, picked_rows
from sparc_fw.explorers.bias import Bias
from sparc_fw.explorers.md import MDOptions
from sparc_fw.explorers.phase_options import PhasesOptions
from sparc_fw.explorers.variables import name_of
from sparc_fw.fates import NOT_LABELLED, told
from sparc_fw.firetasks.selection_inputs import labels_before
from sparc_fw.geometry.descriptor import frame_distances
from sparc_fw.selectors.crossings import NOT_AT_CROSSING
from sparc_fw.selectors.difference import kind_of
from sparc_fw.selectors.measures import Measure, MeasureOptions, measured
from sparc_fw.selectors.pool import Pool
from sparc_fw.selectors.screens import BROKEN
from sparc_fw.store import Store
from sparc_fw.trajectories import Exploration, Trajectory

CLOCKS = ("bias_time_fs", "time_fs")
"""Series that tell when the values of other series of the same length were written."""


@dataclass(frozen=True)
class Near:
    """The frame nearest to another one, of those that were labelled before or are picks of the same iteration.

    Attributes
    ----------
    distance_A : float
        Largest difference of any of their sorted interatomic distances, Å.
    """

    name: str
    distance_A: float


@dataclass(frozen=True)
class ExplainedFrame:
    """What is known of a frame.

    Attributes
    ----------
    number : int
        Counted through all frames of the iteration, in the order (replica, index).
    part : str
        Part of the run that it is in, where the run has several.
    measures : dict of str to float or None
        What the committee said of it, by name; see `sparc_fw.measure_names`.
    value : float or None
        What it was judged by.
    sentence : str
        What its fate means.
    taken_by : str or None
        What took it: a step with its key in the campaign file; None for a pick.
    turn : int or None
        Counted from 1, when it came up for a place among the picks; None where it never did.
    nearest : Near or None
        None where no other frame of the same atoms was labelled or picked.
    series : dict of str to float
        What the engine wrote at its time: collective variables, temperature, …
    pick : Pick or None
        With its label.
    """

    number: int
    replica: int
    index: int
    system: str
    explorer: str
    part: str
    time_fs: float | None
    measures: dict[str, float | None]
    value: float | None
    frame_class: str
    fate: str
    sentence: str
    taken_by: str | None
    turn: int | None
    nearest: Near | None
    series: dict[str, float]
    pick: Pick | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def find_frame(frames: Sequence[FrameVerdict], wanted: str) -> int:
    """The row of the frame that a user names ``812`` or ``REPLICA:INDEX``.

    Raises
    ------
    InputError
        If there is no such frame.
    """
    replica, separator, index = wanted.rpartition(":")
    if not (index.isdecimal() and replica.isdecimal() == bool(separator)):
        raise InputError(f"frame: found {wanted!r}, expected a number such as 812, or REPLICA:INDEX such as 1:57")
    if not separator:
        if int(index) >= len(frames):
            raise InputError(f"frame: found {wanted}, expected {_from_zero(len(frames), 'frame')}")
        return int(index)
    replicas = {frame.replica for frame in frames}
    rows = {frame.index: row for row, frame in enumerate(frames) if frame.replica == int(replica)}
    if not rows:
        raise InputError(f"frame: found replica {replica}, expected {_from_zero(max(replicas, default=-1) + 1, 'one')}")
    if int(index) not in rows:
        raise InputError(f"frame: found {wanted}, expected {replica}:0 to {replica}:{len(rows) - 1}")
    return rows[int(index)]


def _from_zero(count: int, what: str) -> str:
    return f"0 to {count - 1}" if count else f"nothing: there is no {what}"


def explain_frame(store: Store, explained: Explained, wanted: str) -> ExplainedFrame:
    """All that is known of a frame of an iteration.

    Parameters
    ----------
    wanted : str
        As `find_frame`.

    Raises
    ------
    InputError
        As `find_frame`, or where the exploration is gone.
    """
    selection = explained.selection
    row = find_frame(selection.frames, wanted)
    verdict = selection.frames[row]
    campaign = store.campaign(selection.campaign_id)
    exploration = store.exploration(campaign.name, selection.iteration, verdict.replica)
    if exploration is None:
        raise InputError(f"frame: found {wanted}, whose exploration is not in the store any more")
    part, place = exploration.locate(verdict.index)
    trajectory = exploration.trajectories[part]
    rows = picked_rows(selection)
    fate = verdict.fate
    if fate == PICK and any(NOT_LABELLED in replica.fates for replica in explained.replicas):
        fate = NOT_LABELLED
    picks = enumerate(zip(rows, selection.picks, strict=True), start=1)
    others = {f"pick {number}": frame for number, (at, frame) in picks if at != row}
    labels = labels_before(store, campaign, selection.iteration)
    others |= {
        f"label {key[:10]} ({label.frame.info.get('origin', 'unknown')})": label.frame for key, label in labels.items()
    }
    return ExplainedFrame(
        number=row,
        replica=verdict.replica,
        index=verdict.index,
        system=str(trajectory.info["system"]),
        explorer=exploration.explorer,
        part=trajectory.name,
        time_fs=finite(trajectory.times[place]),
        measures=_measures(exploration, verdict.index),
        value=finite(verdict.deviation),
        frame_class=verdict.frame_class,
        fate=fate,
        sentence=told(fate),
        taken_by=_taken_by(campaign, verdict),
        turn=None if verdict.turn < 0 else verdict.turn + 1,
        nearest=nearest(trajectory.frame(place), others),
        series=_named(series_at(trajectory, place), campaign, selection.iteration, verdict.replica, trajectory),
        pick=explained.picks[rows.index(row)] if verdict.fate == PICK else None,
    )


def _taken_by(campaign: Campaign, verdict: FrameVerdict) -> str | None:
    """What took a frame; None for a pick."""
    if verdict.fate == PICK:
        return None
    if verdict.step >= 0:
        return f"select[{verdict.step}] ({campaign.select[verdict.step].kind})"
    others = {BROKEN: "what every selection begins with", NOT_AT_CROSSING: "what an exploded iteration ends with"}
    return others.get(verdict.fate, "the campaign's label budget")


def _measures(exploration: Exploration, index: int) -> dict[str, float | None]:
    """What the committee said of a frame, as far as it was kept."""
    pool = Pool([exploration])
    names = get_args(Measure) if exploration.uncertainty else [pool.measure]
    return {name: finite(measured(pool, MeasureOptions(kind="measure", measure=name))[index]) for name in names}


def nearest(frame: Atoms, others: Mapping[str, Atoms]) -> Near | None:
    """The nearest by name of frames of the same atoms; None where there is none, or the frame is broken."""
    if not np.isfinite(frame.positions).all():
        return None
    kind, own = kind_of(frame.numbers, frame.pbc), frame_distances(frame)
    found = [
        Near(name, float(np.abs(frame_distances(other) - own).max(initial=0.0)))
        for name, other in others.items()
        if kind_of(other.numbers, other.pbc) == kind
    ]
    return min(found, key=lambda near: near.distance_A, default=None)


def series_at(trajectory: Trajectory, place: int) -> dict[str, float]:
    """What the engine wrote along the way, at the time of a frame or nearest to it."""
    clocks = [trajectory.series[name] for name in CLOCKS if name in trajectory.series]
    now = trajectory.times[place]
    found = {}
    for name, values in trajectory.series.items():
        if name in CLOCKS or values.ndim != 1 or not len(values):
            continue
        clock = next((clock for clock in clocks if len(clock) == len(values)), None)
        if clock is not None and np.isfinite(now):
            found[name] = float(values[np.nanargmin(np.abs(clock - now))])
        elif len(values) == len(trajectory):
            found[name] = float(values[place])
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _named(
    series: Mapping[str, float], campaign: Campaign, iteration: int, replica: int, trajectory: Trajectory
) -> dict[str, float]:
    """Series by name, the common collective variables in words as well."""
    biases = _biases(campaign, iteration, replica, trajectory)
    words = {f"cv{number}": f"cv{number}, {name_of(bias.cv)}" for number, bias in biases}
    return {words.get(name, name): value for name, value in series.items()}


def _biases(campaign: Campaign, iteration: int, replica: int, trajectory: Trajectory) -> Iterator[tuple[int, Bias]]:
    index = [index for index, _, _ in campaign.runs()][replica]
    options = campaign.explorer[index].at(iteration)
    if isinstance(options, MDOptions):
        yield from enumerate(options.bias)
    if isinstance(options, PhasesOptions):
        for phase in options.phases:
            if phase.name == trajectory.name:
                yield from enumerate(phase.bias)
