"""Labels as DeePMD-kit's npy systems, one folder per composition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols
from ase.neighborlist import neighbor_list
from ase.stress import voigt_6_to_full_3x3_stress

from sparc_fw.documents import Label
from sparc_fw.errors import InputError

SEL_MARGIN = 1.2
"""Explored frames are denser than any label by so much at most; a molecule never passes its number of atoms."""


def elements_of(labels: Sequence[Label]) -> list[str]:
    """Chemical symbols that occur, by atomic number: an order that does not depend on the labels' order."""
    return [chemical_symbols[z] for z in sorted({int(z) for label in labels for z in label.frame.numbers})]


def group_labels(labels: Sequence[Label]) -> list[list[Label]]:
    """Labels of the same atoms in the same order, equally periodic, with or without stress, and of one origin.

    Raises
    ------
    InputError
        If a periodic frame has no three-dimensional cell, which DeePMD-kit needs.
    """
    groups: dict[tuple[bytes, bool, bool, str], list[Label]] = {}
    for label in labels:
        periodic = bool(label.frame.pbc.any())
        if periodic and label.frame.cell.rank < 3:
            raise InputError(
                f"label {label.key or label.frame.get_chemical_formula()}: found a periodic frame with cell "
                f"{label.frame.cell.lengths().tolist()} Å, expected three cell vectors; DeePMD-kit treats a cell as "
                "periodic in three dimensions, so give the open directions enough vacuum"
            )
        with_stress = periodic and label.stress is not None
        key = (label.frame.numbers.astype("<i4").tobytes(), periodic, with_stress, origin_of(label))
        groups.setdefault(key, []).append(label)
    return list(groups.values())


def origin_of(label: Label) -> str:
    """What kind of source a label's frame came from; empty where that is not known."""
    return str(label.frame.info.get("origin", ""))


def batch_shares(labels: Sequence[Label], shares: Mapping[str, float]) -> list[float]:
    """Probability of each group of `group_labels` to give the next training batch.

    Parameters
    ----------
    labels : sequence of Label
    shares : mapping of str to float
        Fraction of the batches that an origin shall have; those that are not named share the rest by their labels. An
        origin without labels gives its share back.

    Returns
    -------
    list of float
        They add up to 1.
    """
    groups = group_labels(labels)
    origins = [origin_of(group[0]) for group in groups]
    counts = Counter(origin_of(label) for label in labels)
    named = {origin: share for origin, share in shares.items() if counts[origin]}
    rest = sum(count for origin, count in counts.items() if origin not in named)
    left = 1.0 - sum(named.values()) if rest else 0.0
    weights = []
    for origin, group in zip(origins, groups, strict=True):
        share, size = (named[origin], counts[origin]) if origin in named else (left, rest)
        weights.append(share * len(group) / size)
    return [weight / sum(weights) for weight in weights]


def write_systems(labels: Sequence[Label], elements: Sequence[str], directory: Path) -> list[Path]:
    """Write labels in DeePMD-kit's npy format.

    Parameters
    ----------
    labels : sequence of Label
        All ``ok``.
    elements : sequence of str
        The type map.
    directory : Path
        Gets one folder per group of `group_labels`.

    Returns
    -------
    list of Path
        The systems.

    Notes
    -----
    Format: https://docs.deepmodeling.com/projects/deepmd/en/stable/data/data-conv.html. The virial is minus the
    stress times the volume, eV.
    """
    systems = []
    for index, group in enumerate(group_labels(labels)):
        system = directory / f"{index:03d}_{group[0].frame.get_chemical_formula()}"
        _write_system(group, elements, system)
        systems.append(system)
    return systems


def _write_system(group: Sequence[Label], elements: Sequence[str], system: Path) -> None:
    arrays = system / "set.000"
    arrays.mkdir(parents=True)
    first = group[0].frame
    (system / "type.raw").write_text("".join(f"{elements.index(symbol)}\n" for symbol in first.symbols))
    (system / "type_map.raw").write_text("".join(f"{symbol}\n" for symbol in elements))
    count = len(group)
    periodic = bool(first.pbc.any())
    if not periodic:
        (system / "nopbc").touch()
    box = np.array([label.frame.cell.array if periodic else np.eye(3) for label in group])
    np.save(arrays / "box.npy", box.reshape(count, 9))
    np.save(arrays / "coord.npy", np.array([label.frame.positions for label in group]).reshape(count, -1))
    np.save(arrays / "energy.npy", np.array([label.energy for label in group], dtype=float))
    np.save(arrays / "force.npy", np.array([label.forces for label in group], dtype=float).reshape(count, -1))
    if periodic and group[0].stress is not None:
        virial = [-voigt_6_to_full_3x3_stress(label.stress) * label.frame.get_volume() for label in group]
        np.save(arrays / "virial.npy", np.array(virial).reshape(count, 9))


def neighbour_limits(labels: Sequence[Label], elements: Sequence[str], rcut: float) -> list[int]:
    """DeePMD-kit's ``sel``: room for neighbours of each element within `rcut`, with a margin.

    Parameters
    ----------
    labels : sequence of Label
    elements : sequence of str
        The type map.
    rcut : float
        Å.

    Returns
    -------
    list of int
        Per element: the largest number over all atoms of all labels times `SEL_MARGIN`, but where all labels are
        molecules no more than the atoms of that element in the largest one.
    """
    found = np.zeros(len(elements), dtype=int)
    atoms = np.zeros(len(elements), dtype=int)
    molecules = not any(label.frame.pbc.any() for label in labels)
    for group in group_labels(labels):
        types = np.array([elements.index(symbol) for symbol in group[0].frame.symbols])
        one_hot = np.eye(len(elements), dtype=int)[types]
        atoms = np.maximum(atoms, one_hot.sum(axis=0))
        for label in group:
            centre, neighbour = neighbor_list("ij", label.frame, rcut)
            counts = np.zeros((len(types), len(elements)), dtype=int)
            np.add.at(counts, centre, one_hot[neighbour])
            found = np.maximum(found, counts.max(axis=0))
    limits = np.maximum(np.ceil(SEL_MARGIN * found).astype(int), 1)
    return [int(limit) for limit in (np.minimum(limits, atoms) if molecules else limits)]
