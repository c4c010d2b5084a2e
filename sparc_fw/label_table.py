"""The labels of a campaign as rows that can be filtered, and which of them are of one structure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sparc_fw.documents import Label
from sparc_fw.geometry.descriptor import sorted_distances
from sparc_fw.store import Store

MISSING = "missing"


@dataclass(frozen=True)
class LabelRow:
    """One label, or a frame that waits for one.

    Attributes
    ----------
    role : str
        ``train``, ``import``, ``test`` or ``scan``.
    status : str
        ``ok``, ``failed`` or ``missing``.
    energy, energy_per_atom : float or None
        eV, eV/atom.
    max_force : float or None
        Longest force on an atom, eV/Å.
    seconds : float
        Wall time of its calculation, s.
    """

    key: str
    iteration: int
    role: str
    system: str
    origin: str
    formula: str
    status: str
    reason: str | None = None
    energy: float | None = None
    energy_per_atom: float | None = None
    max_force: float | None = None
    code: str = ""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Filter:
    """Which rows are wanted; None leaves a value free.

    Attributes
    ----------
    energies : tuple of float or None
        Least and greatest energy, eV/atom; rows without energy are left out where either is given.
    max_force : tuple of float or None
        Least and greatest longest force, eV/Å.
    """

    status: str | None = None
    reason: str | None = None
    iteration: int | None = None
    role: str | None = None
    system: str | None = None
    energies: tuple[float | None, float | None] = (None, None)
    max_force: tuple[float | None, float | None] = (None, None)

    def takes(self, row: LabelRow) -> bool:
        """Whether a row is wanted."""
        names = ("status", "reason", "iteration", "role", "system")
        exact = all(getattr(self, name) in (None, getattr(row, name)) for name in names)
        return exact and _within(row.energy_per_atom, self.energies) and _within(row.max_force, self.max_force)


def _within(value: float | None, bounds: tuple[float | None, float | None]) -> bool:
    low, high = bounds
    if low is None and high is None:
        return True
    return value is not None and (low is None or value >= low) and (high is None or value <= high)


def label_rows(store: Store, campaign_id: str) -> tuple[list[LabelRow], dict[str, Label]]:
    """Every label that the campaign asked for or imported, once, by iteration; and the labels by key.

    Raises
    ------
    InputError
        If there is no such campaign.
    """
    store.campaign_record(campaign_id)
    rows: dict[str, LabelRow] = {}
    labels: dict[str, Label] = {}
    for record in store.framesets_of(campaign_id):
        found = store.labels_by_key(record["keys"])
        labels |= found
        for key, frame in zip(record["keys"], store.frames(record), strict=True):
            if key not in rows:
                rows[key] = _row(key, record["iteration"], record["role"], frame, found.get(key))
    return list(rows.values()), labels


def _row(key: str, iteration: int, role: str, frame: Any, label: Label | None) -> LabelRow:
    place = (key, iteration, role, str(frame.info.get("system", "")), str(frame.info.get("origin", "")))
    formula = frame.get_chemical_formula()
    if label is None:
        return LabelRow(*place, formula, MISSING)
    energy, forces = label.energy, label.forces
    return LabelRow(
        *place,
        formula,
        label.status,
        label.reason,
        energy,
        None if energy is None else energy / len(frame),
        None if forces is None else float(np.linalg.norm(forces, axis=1).max(initial=0.0)),
        label.code,
        label.seconds,
    )


@dataclass(frozen=True)
class Duplicate:
    """Two labels of one structure, or nearly so.

    Attributes
    ----------
    distance : float
        Greatest difference of any of their sorted interatomic distances, Å.
    energy_difference : float or None
        eV; what is not small here means that one of the two is wrong.
    """

    first: str
    second: str
    distance: float
    energy_difference: float | None


def duplicates(labels: Sequence[Label], within: float) -> list[Duplicate]:
    """Pairs of labels that differ by less than `within` (Å) in every sorted interatomic distance, the nearest first.

    Translations, rotations, mirror images and exchanges of like atoms make no difference; see `sorted_distances`.
    """
    from scipy.spatial import KDTree

    found = []
    for members, features in _by_composition(labels):
        for first, second in KDTree(features).query_pairs(within, p=np.inf):
            one, other = members[first], members[second]
            difference = None if one.energy is None or other.energy is None else other.energy - one.energy
            found.append(
                Duplicate(
                    one.key,
                    other.key,
                    float(np.abs(features[first] - features[second]).max(initial=0.0)),
                    difference,
                )
            )
    return sorted(found, key=lambda pair: (pair.distance, pair.first, pair.second))


def _by_composition(labels: Sequence[Label]) -> Iterator[tuple[list[Label], np.ndarray]]:
    """Labels of one composition, charge, spin and periodicity with their sorted distances."""
    groups: dict[tuple[Any, ...], list[Label]] = defaultdict(list)
    for label in labels:
        frame = label.frame
        state = tuple(frame.info.get(name, 0) for name in ("charge", "spin"))
        groups[frame.get_chemical_formula(), tuple(frame.pbc.tolist()), state].append(label)
    for (_, pbc, _), members in groups.items():
        if len(members[0].frame) < 2:
            continue
        rows = []
        for label in members:
            frame = label.frame
            rows.append(sorted_distances(frame.numbers, frame.positions[None], frame.cell.array[None], pbc)[0])
        yield members, np.array(rows)
