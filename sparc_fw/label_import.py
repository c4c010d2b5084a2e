"""Labels of files into the store, and into the training data of a campaign that is under way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sparc_fw.documents import FROM_FILE, Label, file_key
from sparc_fw.formats.base import Reading
from sparc_fw.import_report import FileReport, Judged
from sparc_fw.importing import Judge
from sparc_fw.labelers.base import Labeler
from sparc_fw.registry import backend_classes
from sparc_fw.same_frames import frame_hash
from sparc_fw.settings import Settings
from sparc_fw.store import Store

SAME_ENERGY = 1e-3
"""Two energies of one frame that differ by more are not by one method, eV/atom."""
SAME_REFERENCE = 3.0
"""Reactive configurations of one system lie within this about their median; another reference does not, eV/atom."""
LAST = 10**9
"""Later than any iteration."""


@dataclass
class ImportOutcome:
    """What became of an import.

    Attributes
    ----------
    files : dict of str to FileReport
    stored : int
        Labels that are new in the store.
    known : int
        Labels that the store had already, with the same energy.
    trained : int
        Labels that were added to the training data, from iteration `iteration` on.
    already_trained, in_test_set : int
        Labels that were not: the campaign trains on them already, or measures with them.
    sentence : str
        Why none was added to the training data, where that is so.
    """

    files: dict[str, FileReport]
    stored: int = 0
    known: int = 0
    trained: int = 0
    iteration: int | None = None
    already_trained: int = 0
    in_test_set: int = 0
    sentence: str = ""
    taken: list[Label] = field(default_factory=list)


def import_labels(
    store: Store,
    settings: Settings,
    campaign_id: str,
    readings: Sequence[Reading],
    trust: bool = False,
    system: str | None = None,
) -> ImportOutcome:
    """Keep under the campaign's keys what can be a label of it; doing it twice changes nothing.

    A campaign that is running or paused trains on the labels from its next iteration on, those of its test set apart:
    the iteration under way may have trained a part of its committee already.

    Raises
    ------
    InputError
        If there is no such campaign or system.
    """
    record = store.campaign_record(campaign_id)
    campaign = store.campaign(campaign_id)
    labeler: Labeler[Any] = backend_classes("labeler")[campaign.labeler.kind](campaign.labeler, settings)  # type: ignore[assignment]
    judged = Judge(campaign, store.campaign_files(campaign_id), labeler, trust, system).judge(readings)
    own = _own_labels(store, campaign_id)
    # What files brought before has keys of its own.
    brought = {labeler.key(label.frame): label for label in own if label.code == FROM_FILE}
    known = brought | store.labels_by_key(label.key for _, label in judged.taken)
    _refuse_conflicts(judged, known)
    _refuse_other_references(judged, typical_energies(own))
    judged.taken = [(reading, _kept_apart(label, known.get(label.key))) for reading, label in judged.taken]
    known = store.labels_by_key(label.key for _, label in judged.taken)
    outcome = ImportOutcome({str(path): report for path, report in judged.files.items()})
    outcome.taken = [label for _, label in judged.taken]
    last = last_iteration(store, campaign_id)
    good = {key for key, label in known.items() if label.status == "ok"}
    store.save_labels(outcome.taken, campaign_id, max(last, 0), None)
    outcome.known = sum(label.key in good for label in outcome.taken)
    outcome.stored = len(outcome.taken) - outcome.known
    if record["state"] not in ("running", "paused"):
        outcome.sentence = f"{campaign_id} is {record['state']}: nothing of it will be trained any more"
    elif last < 0:
        outcome.sentence = f"{campaign_id} has not begun: import again once its start has run, to train on the labels"
    elif _has_concluded(store, campaign_id):
        outcome.sentence = f"{campaign_id} has concluded: nothing of it will be trained any more"
    else:
        _add_to_training(store, campaign_id, judged, brought.keys(), outcome)
    return outcome


def _kept_apart(label: Label, before: Label | None) -> Label:
    """The label under a key of its own, where it is on trust and the frame is not known with this energy `before`.

    Under the labeler's key, campaigns that trust nothing would take it for computed.
    """
    if label.code != FROM_FILE or label.energy is None or label.forces is None:
        return label
    if before is not None and before.status == "ok":
        return replace(label, key=before.key)
    return replace(label, key=file_key(label.frame, label.energy, label.forces))


def _has_concluded(store: Store, campaign_id: str) -> bool:
    """Whether the last iteration's selection says that there will be no other one."""
    selections = store.selection_records(campaign_id)
    return bool(selections) and not selections[-1]["go_on"]


def last_iteration(store: Store, campaign_id: str) -> int:
    """The last iteration whose frames are written down; -1 before the start."""
    query = {"campaign_id": campaign_id, "role": "train"}
    record = store.framesets.find_one(query, {"iteration": 1}, sort=[("iteration", -1)])
    return -1 if record is None else int(record["iteration"])


def _add_to_training(
    store: Store, campaign_id: str, judged: Judged, brought: Collection[str], outcome: ImportOutcome
) -> None:
    """Add what is not trained on yet; `brought` are the labeler's keys of frames that files brought before."""
    trained = {*brought} | {key for record in store.training_framesets(campaign_id, LAST) for key in record["keys"]}
    kept_apart = store.test_hashes(campaign_id)
    chosen: list[tuple[Reading, Label]] = []
    for reading, label in judged.taken:
        if frame_hash(label.frame) in kept_apart:
            outcome.in_test_set += 1
        elif label.key in trained:
            outcome.already_trained += 1
        else:
            chosen.append((reading, label))
    if not chosen:
        return
    labels = [label for _, label in chosen]
    paths = list(dict.fromkeys(str(reading.file) for reading, _ in chosen))
    keys = [label.key for label in labels]
    iteration = store.add_import(campaign_id, [label.frame for label in labels], keys, paths)
    if _has_concluded(store, campaign_id):
        outcome.sentence = f"{campaign_id} concluded meanwhile: nothing of it will be trained any more"
    else:
        outcome.iteration, outcome.trained = iteration, len(chosen)


def _refuse_conflicts(judged: Judged, known: dict[str, Label]) -> None:
    """Refuse labels of frames whose energy the store knows otherwise."""
    for reading, label in list(judged.taken):
        before = known.get(label.key)
        if before is None or before.energy is None or label.energy is None:
            continue
        same = abs(label.energy - before.energy) / len(label.frame) <= SAME_ENERGY
        if before.status == "failed" and same:
            judged.drop(
                reading, "failed", f"found the number that was refused before: {before.reason}: {before.message}"
            )
        elif before.status == "ok" and not same:
            judged.drop(
                reading,
                "conflict",
                f"found {label.energy:.6f} eV, expected {before.energy:.6f} eV, which the store has of this frame",
            )


def _own_labels(store: Store, campaign_id: str) -> list[Label]:
    """All labels of a campaign."""
    keys = [key for record in store.framesets.find({"campaign_id": campaign_id}) for key in record["keys"]]
    return list(store.labels_by_key(keys).values())


def typical_energies(labels: Sequence[Label]) -> dict[str, float]:
    """Median energy of the good ones by composition, eV/atom."""
    found = defaultdict(list)
    for label in labels:
        if label.energy is not None:
            found[label.frame.get_chemical_formula()].append(label.energy / len(label.frame))
    return {formula: float(np.median(energies)) for formula, energies in found.items()}


def _refuse_other_references(judged: Judged, typical: dict[str, float]) -> None:
    """Refuse all labels of a file and composition whose median energy is far from the campaign's."""
    groups: dict[tuple[str, str], list[tuple[Reading, Label]]] = defaultdict(list)
    for reading, label in judged.taken:
        groups[str(reading.file), label.frame.get_chemical_formula()].append((reading, label))
    for (_, formula), entries in groups.items():
        energies = [label.energy / len(label.frame) for _, label in entries if label.energy is not None]
        expected = typical.get(formula)
        if expected is None or abs(float(np.median(energies)) - expected) <= SAME_REFERENCE:
            continue
        message = (
            f"found a median energy of {np.median(energies):.3f} eV/atom for {formula}, expected it near that of the "
            f"campaign's own labels, {expected:.3f} eV/atom: another method, unit or zero of energy"
        )
        for reading, _ in entries:
            judged.drop(reading, "reference", message)
