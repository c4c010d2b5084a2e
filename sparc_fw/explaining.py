"""What an iteration's selection made of its frames, and what the labels of its picks showed afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from sparc_fw.campaign import Campaign
from sparc_fw.documents import PICK, Label, Report, Selection
from sparc_fw.errors import InputError
from sparc_fw.fates import NOT_LABELLED
from sparc_fw.firetasks.base import make_backend
from sparc_fw.selectors.calibration import force_errors
from sparc_fw.settings import Settings
from sparc_fw.status import ENDED
from sparc_fw.store import Store


@dataclass(frozen=True)
class Pick:
    """A pick, and what its label showed.

    Attributes
    ----------
    number : int
        Counted from 1: the order in which picks deserve a label.
    replica, index : int
        Which frame it is.
    value : float
        What it was judged by.
    status : str
        ``ok``, ``failed``, ``missing`` while nobody has labelled it, or ``none`` where nobody will.
    key : str or None
        Of its label.
    reason : str or None
        Why its label failed.
    message : str
        The last words of the code where it failed.
    drawn : bool
        Drawn by lot, to tell of frames as they come.
    force_error : float or None
        Largest force error over its atoms, eV/Å, of the member that validation preferred in this iteration; None where
        there is no label or no model to compare.
    """

    number: int
    replica: int
    index: int
    system: str
    value: float
    status: str
    key: str | None = None
    reason: str | None = None
    message: str = ""
    drawn: bool = False
    force_error: float | None = None


@dataclass(frozen=True)
class ReplicaFates:
    """How many frames of a replica met which fate."""

    replica: int
    system: str
    frames: int
    fates: dict[str, int]


@dataclass(frozen=True)
class Explained:
    """An iteration's selection.

    Attributes
    ----------
    selection : Selection
        As it was written down.
    replicas : list of ReplicaFates
        In order.
    picks : list of Pick
        In the order in which they deserve a label.
    member : int or None
        Whose force errors the picks carry; None where there is nothing to compare.
    no_errors : str
        Why no pick carries a force error; empty where some do.
    """

    selection: Selection
    replicas: list[ReplicaFates]
    picks: list[Pick]
    member: int | None
    no_errors: str

    @property
    def fates(self) -> Counter[str]:
        """Frames of all replicas by their fate."""
        return sum((Counter(replica.fates) for replica in self.replicas), Counter())

    def as_dict(self) -> dict[str, Any]:
        """Plain values; what is not finite is None."""
        selection = self.selection
        return {
            "campaign": selection.campaign_id,
            "iteration": selection.iteration,
            "frames": len(selection.frames),
            "measure": selection.measure,
            "window": [finite(bound) for bound in selection.window],
            "windows": {name: list(window) for name, window in selection.windows.items()},
            "fractions": selection.fractions,
            "fates": dict(self.fates),
            "copies": len(selection.copies),
            "verdict": selection.verdict,
            "sentence": selection.sentence,
            "replicas": [asdict(replica) for replica in self.replicas],
            "picks": [asdict(pick) | {"value": finite(pick.value)} for pick in self.picks],
            "member": self.member,
            "no_errors": self.no_errors,
        }


def finite(value: float) -> float | None:
    """A number that JSON knows; None for one that is not finite."""
    return float(value) if np.isfinite(value) else None


def stored_selection(store: Store, campaign_id: str, iteration: int) -> Selection:
    """The selection of an iteration.

    Raises
    ------
    InputError
        If there is no such campaign, or it has not selected in this iteration.
    """
    last = last_iteration(store, campaign_id)
    selection = store.selection(campaign_id, iteration)
    if selection is None:
        known = f"0 to {last}" if last else "0"
        raise InputError(
            f"iteration: found {iteration}, expected {known}: in campaign {campaign_id!r} no other one has selected "
            "frames so far"
        )
    return selection


def last_iteration(store: Store, campaign_id: str) -> int:
    """The last iteration of a campaign that has selected frames; raises as `stored_selection` does."""
    store.campaign_record(campaign_id)
    done = [int(record["iteration"]) for record in store.selection_records(campaign_id)]
    if not done:
        raise InputError(f"campaign {campaign_id!r}: no iteration has selected frames so far")
    return done[-1]


def picked_rows(selection: Selection) -> list[int]:
    """The rows of the picks among all frames, in the order of the picks."""
    rows = {(frame.replica, frame.index): row for row, frame in enumerate(selection.frames)}
    return [rows[at] for at in selection.places]


def explain_iteration(store: Store, settings: Settings, campaign_id: str, iteration: int) -> Explained:
    """All that is known of an iteration's selection.

    Raises
    ------
    InputError
        As `stored_selection`.
    """
    selection = stored_selection(store, campaign_id, iteration)
    campaign, record = store.campaign(campaign_id), store.campaign_record(campaign_id)
    systems = [system for _, system, _ in campaign.runs()]
    frameset = store.frameset(campaign_id, iteration + 1, "train")
    expected = frameset is not None or (selection.go_on and record["state"] not in ENDED)
    # What is labelled beside the picks comes behind them.
    keys = [""] * len(selection.picks) if frameset is None else frameset["keys"][: len(selection.picks)]
    found = store.labels_by_key(filter(None, keys))
    labels = {k: found[k].for_frame(frame) for k, frame in zip(keys, selection.picks, strict=True) if k in found}
    good = {key: label for key, label in labels.items() if label.status == "ok"}
    report = next((each for each in store.report_records(campaign_id) if each.iteration == iteration), None)
    errors, no_errors = _force_errors(store, settings, campaign, report, good)
    picks = []
    for number, (row, key) in enumerate(zip(picked_rows(selection), keys, strict=True), start=1):
        verdict = selection.frames[row]
        pick = Pick(
            number=number,
            replica=verdict.replica,
            index=verdict.index,
            system=systems[verdict.replica],
            value=verdict.deviation,
            status="missing" if expected else "none",
            key=key or None,
            drawn=verdict.drawn,
        )
        if key in labels:
            told = {name: getattr(labels[key], name) for name in ("status", "reason", "message")}
            pick = replace(pick, force_error=errors.get(key), **told)
        picks.append(pick)
    member = report.best if report is not None and errors else None
    return Explained(selection, _by_replica(selection, systems, expected), picks, member, no_errors)


def _by_replica(selection: Selection, systems: Sequence[str], expected: bool) -> list[ReplicaFates]:
    """Frames of every replica by their fate; picks that no iteration is there for have another one."""
    fates: list[Counter[str]] = [Counter() for _ in systems]
    for frame in selection.frames:
        fates[frame.replica][NOT_LABELLED if frame.fate == PICK and not expected else frame.fate] += 1
    return [
        ReplicaFates(replica, system, found.total(), dict(found.most_common()))
        for replica, (system, found) in enumerate(zip(systems, fates, strict=True))
    ]


def _force_errors(
    store: Store,
    settings: Settings,
    campaign: Campaign,
    report: Report | None,
    labels: Mapping[str, Label],
) -> tuple[dict[str, float], str]:
    """By key, the force error (eV/Å) of an iteration's best member on labels new to it, or why there is none."""
    from sparc_fw.potentials.committee import predictions

    if not labels:
        return {}, "no pick has a good label"
    model = None if report is None else store.model(campaign.name, report.iteration, report.best)
    if model is None:
        return {}, "the iteration's models are not in the store"
    potential = make_backend("potential", campaign.potential, settings)
    missing = potential.missing()
    if missing:
        return {}, f"the models cannot be loaded here: {'; '.join(missing)}"
    evaluator = potential.load(store.files.path(model["file"], model["suffix"]))
    found = predictions(evaluator, [label.frame for label in labels.values()])
    errors = {}
    for (key, label), (_, forces) in zip(labels.items(), found, strict=True):
        assert label.forces is not None, f"label {key} is good"
        errors[key] = float(force_errors(forces[None], label.forces[None])[0])
    return errors, ""
