"""Labels that the committee finds impossible: numbers of a wrong electronic state, or of a code that went astray."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sparc_fw.campaign import Suspects
from sparc_fw.documents import FROM_FILE, Label
from sparc_fw.geometry.descriptor import sorted_distances
from sparc_fw.labelers.base import charge_and_spin
from sparc_fw.potentials.base import Evaluator
from sparc_fw.potentials.committee import predictions

NORMAL = 1.4826
"""A normal distribution's standard deviation is so many times its median absolute deviation."""

MACHINE_REASONS = frozenset({"timeout", "crashed", "bad_input"})
"""Failures that say more of a machine than of a label."""


@dataclass
class Suspect:
    """A label whose residual lies far outside those of the labels near it.

    Attributes
    ----------
    z_energy, z_force : float
        Robust z-scores of the energy's and the forces' residual among the nearest labels.
    predicted_energy : float
        Median of the members, eV.
    """

    label: Label
    z_energy: float
    z_force: float
    predicted_energy: float

    @property
    def z_score(self) -> float:
        """The larger of the two."""
        return max(self.z_energy, self.z_force)


def examined(labels: Sequence[Label], limit: int, new: Collection[str], seed: int) -> list[Label]:
    """At most `limit` labels, in order: first of those whose keys are `new`, then of the others, drawn at random.

    What an earlier committee believed a later one may not; over the iterations each label has its turn.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels)).tolist()
    # A stable sort: the new ones come first, either kind in its random order.
    chosen = sorted(order, key=lambda place: labels[place].key not in new)[:limit]
    return [labels[place] for place in sorted(chosen)]


def find_suspects(
    evaluators: Sequence[Evaluator], labels: Sequence[Label], options: Suspects, judged: Collection[str] = ()
) -> list[Suspect]:
    """Labels that no member can believe, the least credible first.

    Parameters
    ----------
    evaluators : sequence of Evaluator
        The members; that they were trained on the labels blurs the search, but a smooth model does not learn what is
        alone among its neighbours.
    labels : sequence of Label
        All ``ok``. Those that a file brought are measured against, but never suspected: nobody can compute them again.
    judged : collection of str
        Keys of labels that were suspected and confirmed before; not suspected again.

    Notes
    -----
    The residual of a label is that of the members' median: for the energy minus the median over its composition, for
    the forces the root-mean-square over the atoms. Its robust z-score is its distance from the median residual of the
    `options.neighbours` labels nearest in sorted interatomic distances, in units of their median absolute deviation,
    which counts no less than that of the whole composition, nor so little that a residual within the tolerances of a
    confirmation could be suspected (B. Iglewicz, D. C. Hoaglin, How to Detect and Handle
    Outliers, ASQC 1993).
    """
    groups: dict[tuple[str, bool, tuple[int, int]], list[Label]] = {}
    for label in labels:
        frame = label.frame
        # Nobody's residual tells anything of another charge's or spin's, to which the members are blind.
        alike = frame.get_chemical_formula(), bool(frame.pbc.any()), charge_and_spin(frame)
        groups.setdefault(alike, []).append(label)
    found: list[Suspect] = []
    for group in groups.values():
        if len(group) > options.neighbours:
            found += _in_group(evaluators, group, options, judged)
    found.sort(key=lambda suspect: -suspect.z_score)
    return found[: max(1, int(options.max_fraction * len(labels)))]


def _in_group(
    evaluators: Sequence[Evaluator], labels: Sequence[Label], options: Suspects, judged: Collection[str]
) -> list[Suspect]:
    energies, residuals = _residuals(evaluators, labels)
    # What lies within the tolerances of a confirmation is no reason to compute again, however alike the others are.
    least = np.array([options.tolerance_eV, options.tolerance_eV_per_A]) / options.z_score
    scale = np.maximum(NORMAL * np.median(np.abs(residuals - np.median(residuals, axis=0)), axis=0), least)
    outside = (np.abs(residuals - np.median(residuals, axis=0)) > options.z_score * scale).any(axis=1)
    candidates = [
        i for i in np.flatnonzero(outside).tolist() if labels[i].code != FROM_FILE and labels[i].key not in judged
    ]
    if not candidates:
        return []
    features = _features(labels)
    found = []
    for index in candidates:
        distances = np.linalg.norm(features - features[index], axis=1)
        distances[index] = np.inf
        near = residuals[np.argpartition(distances, options.neighbours)[: options.neighbours]]
        centre = np.median(near, axis=0)
        spread = np.maximum(NORMAL * np.median(np.abs(near - centre), axis=0), scale)
        z = np.abs(residuals[index] - centre) / spread
        if z.max() >= options.z_score:
            found.append(Suspect(labels[index], float(z[0]), float(z[1]), float(energies[index])))
    return found


def _residuals(evaluators: Sequence[Evaluator], labels: Sequence[Label]) -> tuple[np.ndarray, np.ndarray]:
    """The members' median energies, and the residuals of energy (eV) and forces (eV/Å), shape (n_labels, 2)."""
    frames = [label.frame for label in labels]
    members = [predictions(evaluator, frames) for evaluator in evaluators]
    energies = np.median([[energy for energy, _ in member] for member in members], axis=0)
    residuals = np.empty((len(labels), 2))
    for i, label in enumerate(labels):
        energy, forces = _numbers(label)
        difference = np.median([member[i][1] for member in members], axis=0) - forces
        residuals[i] = energies[i] - energy, np.sqrt((difference**2).sum(axis=1).mean())
    return energies, residuals


def _features(labels: Sequence[Label]) -> np.ndarray:
    """Sorted interatomic distances, in single precision: 50,000 labels of 50 atoms take 250 MB."""
    rows = [
        sorted_distances(
            label.frame.numbers, label.frame.positions[None], label.frame.cell.array[None], tuple(label.frame.pbc)
        )[0].astype(np.float32)
        for label in labels
    ]
    return np.array(rows)


def judge(
    label: Label, again: Label | None, predicted_energy: float, options: Suspects
) -> tuple[Literal["confirmed", "dropped", "unchecked", "undecided"], str]:
    """What a second calculation says of a suspect, and why; one that a machine's trouble ended says nothing.

    Where both numbers differ, the one nearer to the committee counts: another guess may be the one that goes astray.
    Where there is none, because the labeler's options leave no other way to the numbers, the suspicion stands.
    """
    if again is None:
        return "unchecked", "no second calculation: with these options the labeler would do the first one over again"
    if again.status == "failed" and again.reason in MACHINE_REASONS:
        return "undecided", f"the second calculation failed: {again.reason}: {again.message}"
    if again.status == "failed":
        return "dropped", f"it could not be computed again: {again.reason}: {again.message}"
    first, second = _numbers(label), _numbers(again)
    shift = second[0] - first[0]
    pull = float(np.linalg.norm(second[1] - first[1], axis=1).max())
    if abs(shift) <= options.tolerance_eV and pull <= options.tolerance_eV_per_A:
        return "confirmed", "a second calculation gave the same numbers"
    if abs(shift) > options.tolerance_eV and abs(first[0] - predicted_energy) < abs(second[0] - predicted_energy):
        return "confirmed", f"a second calculation lies {shift:+.3f} eV away, farther from the committee"
    return "dropped", f"a second calculation lies {shift:+.3f} eV and up to {pull:.3f} eV/Å away"


def _numbers(label: Label) -> tuple[float, Any]:
    assert label.energy is not None, "the label is ok"
    assert label.forces is not None, "the label is ok"
    return label.energy, label.forces
