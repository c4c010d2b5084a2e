"""Each iteration's labels tell what the error was where the committee before had said so much: thresholds from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparc_fw.campaign import Campaign
from sparc_fw.documents import ON_THE_FLY, Label, Selection
from sparc_fw.errors import InputError
from sparc_fw.potentials.base import Evaluator, Potential
from sparc_fw.potentials.committee import predictions
from sparc_fw.selectors.calibration import calibrate, force_errors
from sparc_fw.selectors.calibration_records import Calibration, Pairs
from sparc_fw.selectors.measures import MeasureOptions
from sparc_fw.selectors.window import AFTER_FAILURE
from sparc_fw.store import Store
from sparc_fw.trajectories import Exploration

FADING = 0.5
"""A label counts so much less with every iteration that has passed since: it tells of a committee that is no more.

That of two committees the younger says more of the next is plain; that it is twice as much is a choice. In all, old
labels never count for more than those of one iteration that asks for as many."""


@dataclass(frozen=True)
class Explored:
    """What there was to label of one system in an iteration, and what its labels showed."""

    sigma: np.ndarray
    pairs: Pairs


def calibrations_for(
    store: Store, campaign: Campaign, potential: Potential[Any], iteration: int
) -> dict[str, Calibration]:
    """The calibrations by which the frames of an iteration are judged, by system; written down the first time.

    They rest on the labels of all frames that were picked in the iterations before. The deviation of a frame is what
    its iteration's committee said; its error that of the member of this committee which validation prefers. A frame is
    not counted if that committee had its label already, or the models that judged it had learned on the fly. Labels of
    earlier iterations fade by `FADING` each time.

    Empty where the campaign's thresholds are fixed.
    """
    goal = next(step.goal for step in campaign.select if step.classifies)
    if goal is None:
        return {}
    known = store.calibrations_of(campaign.name)
    systems = [s.name for s in campaign.systems if s.name in {system for _, system, _ in campaign.runs()}]
    found = dict(known.get(iteration, {}))
    missing = [name for name in systems if name not in found]
    news = _explored(store, campaign, potential, iteration - 1, missing) if missing else {}
    for name in missing:
        new, before = news[name], known.get(iteration - 1, {}).get(name)
        earlier = known_labels(store, campaign.name, name, iteration - 1)
        pairs = Pairs.joined([earlier, new.pairs], [FADING, 1.0])
        made = calibrate(name, pairs, new.sigma, *goal, before, new.pairs)
        found[name] = store.save_calibration(campaign.name, iteration, made, new.pairs)
    return {name: found[name] for name in systems}


def other_calibrations(
    store: Store, campaign: Campaign, potential: Potential[Any], iteration: int
) -> dict[str, Calibration]:
    """As `calibrations_for`, for a stored campaign that is given other steps; writes nothing.

    Raises
    ------
    InputError
        If their thresholds are for another measure than the one that the labelled frames were judged by.
    """
    step, own = (next(x for x in each.select if x.classifies) for each in (campaign, store.campaign(campaign.name)))
    if step.goal is None:
        return {}
    keys = MeasureOptions.model_fields.keys() - {"kind"}
    if any(getattr(step, key, None) != getattr(own, key, None) for key in keys):
        raise InputError(
            "select: found thresholds that are to be fitted to another measure, or to other atoms, than the campaign "
            "judged its frames by; expected the same, or fixed thresholds"
        )
    if step.goal == own.goal:
        return store.calibrations_of(campaign.name)[iteration]
    systems = list(dict.fromkeys(system for _, system, _ in campaign.runs()))
    parts = [_explored(store, campaign, potential, place, systems) for place in range(-1, iteration)]
    weights = [FADING ** (iteration - place) for place in range(iteration + 1)]
    pairs = {name: Pairs.joined([part[name].pairs for part in parts], weights) for name in systems}
    return {name: calibrate(name, pairs[name], parts[-1][name].sigma, *step.goal) for name in systems}


def known_labels(store: Store, campaign_id: str, system: str, iteration: int) -> Pairs:
    """The labels that a calibration rests on, with the weights that they have in it."""
    known = store.calibrated_labels(campaign_id, system)
    parts = {place: labels for place, labels in known.items() if place <= iteration}
    return Pairs.joined(list(parts.values()), [FADING ** (iteration - place) for place in parts])


def _explored(
    store: Store, campaign: Campaign, potential: Potential[Any], iteration: int, systems: Sequence[str]
) -> dict[str, Explored]:
    """What an iteration explored and had labelled, by system; nothing before the first."""
    selection = store.selection(campaign.name, iteration) if iteration >= 0 else None
    none = Explored(np.zeros(0), Pairs.joined([], []))
    if selection is None:
        return dict.fromkeys(systems, none)
    replicas = {frame.replica for frame in selection.frames}
    explorations = {replica: store.exploration(campaign.name, iteration, replica) for replica in replicas}
    learned = {
        record["replica"]
        for record in store.framesets_of(campaign.name, ("replica", "keys"))
        if record["role"] == ON_THE_FLY and record["iteration"] == iteration + 1 and record["keys"]
    }
    seen = {replica: found for replica, found in explorations.items() if found is not None and replica not in learned}
    labels = _labels(store, campaign.name, iteration, selection)
    report = next(r for r in store.report_records(campaign.name) if r.iteration == iteration)
    model = store.committee(campaign.name, iteration)[report.best]
    evaluator = potential.load(store.files.path(model["file"], model["suffix"]))
    return {name: _of_system(name, selection, seen, labels, evaluator) for name in systems}


def _labels(store: Store, campaign_id: str, iteration: int, selection: Selection) -> dict[tuple[int, int], Label]:
    """The labels of an iteration's picks, by replica and index, without those that its committee had already."""
    frameset = store.frameset(campaign_id, iteration + 1, "train")
    if frameset is None or not selection.picks:
        return {}
    trained = {key for keys in store.training_keys(campaign_id, iteration) for key in keys}
    labels = store.labels_by_key(frameset["keys"])
    # What is labelled beside the picks comes behind them.
    asked = dict(zip(frameset["keys"][: len(selection.places)], selection.places, strict=True))
    return {at: labels[key] for key, at in asked.items() if key in labels and key not in trained}


def _of_system(
    name: str,
    selection: Selection,
    seen: dict[int, Exploration],
    labels: dict[tuple[int, int], Label],
    evaluator: Evaluator,
) -> Explored:
    """Frames that could be drawn, and those that have a label."""
    # By replica, the system of each frame.
    systems = {
        replica: [part.info["system"] for part in found.trajectories for _ in range(len(part))]
        for replica, found in seen.items()
    }
    mine = [
        frame
        for frame in selection.frames
        if frame.replica in seen and systems[frame.replica][frame.index] == name and np.isfinite(frame.deviation)
    ]
    sound = [frame for frame in mine if frame.frame_class != "failed" and frame.fate != AFTER_FAILURE]
    picked = [frame for frame in mine if (frame.replica, frame.index) in labels]
    told = [labels[frame.replica, frame.index] for frame in picked]
    error, force = _compared(evaluator, told)
    pairs = Pairs(
        np.array([frame.deviation for frame in picked]),
        error,
        force,
        np.array([frame.drawn for frame in picked], dtype=bool),
        np.ones(len(picked)),
    )
    return Explored(np.array([frame.deviation for frame in sound]), pairs)


def _compared(evaluator: Evaluator, labels: Sequence[Label]) -> tuple[np.ndarray, np.ndarray]:
    """Largest force error of a model and largest force on an atom, by the labels (eV/Å); NaN where a label failed."""
    error, force = np.full((2, len(labels)), np.nan)
    good = [(n, label.forces) for n, label in enumerate(labels) if label.status == "ok" and label.forces is not None]
    found = predictions(evaluator, [labels[place].frame for place, _ in good])
    for (place, true_forces), (_, forces) in zip(good, found, strict=True):
        error[place] = force_errors(forces[None], true_forces[None])[0]
        force[place] = np.linalg.norm(true_forces, axis=1).max()
    return error, force
