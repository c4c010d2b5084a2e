"""The labels of a campaign as rows that can be filtered, and which of them are of one structure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms

from sparc_fw.documents import IMPORT, ON_THE_FLY, REASONS, Label
from sparc_fw.errors import InputError
from sparc_fw.geometry.descriptor import sorted_distances
from sparc_fw.labelers.base import charge_and_spin
from sparc_fw.mongo import MongoDocument
from sparc_fw.store import Store

MISSING = "missing"
ALLOWED = {
    "status": ("ok", "failed", MISSING),
    "reason": REASONS,
    "role": ("train", IMPORT, "test", "scan", ON_THE_FLY),
}
"""What a filter can ask for."""

OF_LABEL = (
    *("status", "reason", "energy", "message", "code", "version", "settings_hash"),
    *("seconds", "attempts", "host", "cores"),
)
"""What a row takes over from its label as it is."""


@dataclass(frozen=True)
class Suspicion:
    """A label that the committee could not believe, and what a second calculation said.

    Attributes
    ----------
    state : str
        ``pending``, ``confirmed``, ``dropped`` or ``unchecked``.
    why : str or None
        The verdict in a sentence; None while there is none.
    z_energy, z_force : float
        Robust z-scores.
    predicted_energy : float
        The committee's, eV.
    energy_again : float or None
        That of the second calculation, eV.
    again : str or None
        Why the second calculation failed, in its code's own words.
    """

    state: str
    why: str | None
    z_energy: float
    z_force: float
    predicted_energy: float
    energy_again: float | None
    again: str | None


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
    message : str
        Of a failed label the code's own last words.
    attempts : int
        Calculations that were begun.
    cores : int
        Processor cores that they used.
    settings_hash : str
        Hash of all that decides the labeler's numbers.
    fw_id, launch_id : int or None
        The Firework, and its launch, that computed it; None where a file brought it.
    directory : str or None
        The folder of that launch.
    suspect : Suspicion or None
        None where nobody suspected it.
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
    message: str = ""
    attempts: int = 0
    host: str = ""
    version: str = ""
    cores: int = 0
    settings_hash: str = ""
    fw_id: int | None = None
    launch_id: int | None = None
    directory: str | None = None
    suspect: Suspicion | None = None

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

    Raises
    ------
    InputError
        If no label can have such a status, reason or role.
    """

    status: str | None = None
    reason: str | None = None
    iteration: int | None = None
    role: str | None = None
    system: str | None = None
    energies: tuple[float | None, float | None] = (None, None)
    max_force: tuple[float | None, float | None] = (None, None)

    def __post_init__(self) -> None:
        for name, allowed in ALLOWED.items():
            found = getattr(self, name)
            if found is not None and found not in allowed:
                raise InputError(f"{name}: found {found!r}, expected one of {', '.join(allowed)}")

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
        whence = store.provenance(found)
        labels |= found
        for key, frame in zip(record["keys"], store.frames(record), strict=True):
            if key not in rows:
                row = _row(key, record["iteration"], record["role"], frame)
                rows[key] = _told(row, found[key], whence.get(key, {})) if key in found else row
    return list(rows.values()), labels


def _row(key: str, iteration: int, role: str, frame: Atoms) -> LabelRow:
    system, origin = (str(frame.info.get(name, "")) for name in ("system", "origin"))
    return LabelRow(key, iteration, role, system, origin, frame.get_chemical_formula(), MISSING)


def _told(row: LabelRow, label: Label, whence: MongoDocument) -> LabelRow:
    """The row of a frame with what is known of its label."""
    energy, forces = label.energy, label.forces
    payer = whence.get("computed_by") or {}
    told: dict[str, Any] = {name: getattr(label, name) for name in OF_LABEL}
    told |= {name: payer.get(name) for name in ("fw_id", "launch_id", "directory")}
    return replace(
        row,
        energy_per_atom=None if energy is None else energy / len(label.frame),
        max_force=None if forces is None else float(np.linalg.norm(forces, axis=1).max(initial=0.0)),
        suspect=_suspicion(whence["suspect"]) if "suspect" in whence else None,
        **told,
    )


def _suspicion(found: MongoDocument) -> Suspicion:
    again = found.get("again", {})
    failed = f"{again['reason']}: {again['message']}" if again.get("reason") else None
    return Suspicion(
        found["state"],
        found.get("why"),
        float(found["z_energy"]),
        float(found["z_force"]),
        float(found["predicted_energy"]),
        again.get("energy"),
        failed,
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
        groups[frame.get_chemical_formula(), tuple(frame.pbc.tolist()), charge_and_spin(frame)].append(label)
    for (_, pbc, _), members in groups.items():
        if len(members[0].frame) < 2:
            continue
        rows = []
        for label in members:
            frame = label.frame
            rows.append(sorted_distances(frame.numbers, frame.positions[None], frame.cell.array[None], pbc)[0])
        yield members, np.array(rows)
