"""Labels as DeePMD-kit's npy systems, one folder per composition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from ase.neighborlist import neighbor_list
from ase.stress import voigt_6_to_full_3x3_stress
from scipy.spatial.distance import cdist

from sparc_fw.documents import Label
from sparc_fw.errors import InputError
from sparc_fw.label_arrays import LabelBlock, LabelGroup, blocks_of, merged_groups, statistics

SEL_MARGIN = 1.2
"""Explored frames are denser than any label by so much at most; a molecule never passes its number of atoms."""


def elements_of(labels: Sequence[Label]) -> list[str]:
    """Chemical symbols that occur, by atomic number: an order that does not depend on the labels' order."""
    found = {int(z) for block in blocks_of(labels) for group in block.groups for z in group.numbers}
    return [chemical_symbols[z] for z in sorted(found)]


def batch_shares(labels: Sequence[Label], shares: Mapping[str, float]) -> list[float]:
    """Probability of each system of `write_systems` to give the next training batch.

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
    groups = merged_groups(labels)
    origins = [group[0].origin for group in groups]
    sizes = [sum(map(len, group)) for group in groups]
    counts: Counter[str] = Counter()
    for origin, size in zip(origins, sizes, strict=True):
        counts[origin] += size
    named = {origin: share for origin, share in shares.items() if counts[origin]}
    rest = sum(count for origin, count in counts.items() if origin not in named)
    left = 1.0 - sum(named.values()) if rest else 0.0
    weights = []
    for origin, size in zip(origins, sizes, strict=True):
        share, of = (named[origin], counts[origin]) if origin in named else (left, rest)
        weights.append(share * size / of)
    return [weight / sum(weights) for weight in weights]


def write_systems(labels: Sequence[Label], elements: Sequence[str], directory: Path) -> list[Path]:
    """Write labels in DeePMD-kit's npy format, whole arrays at a time.

    Parameters
    ----------
    labels : sequence of Label
        All ``ok``.
    elements : sequence of str
        The type map.
    directory : Path
        Gets one folder per group of `merged_groups`.

    Returns
    -------
    list of Path
        The systems.

    Raises
    ------
    InputError
        If a periodic frame has no three-dimensional cell, which DeePMD-kit needs.

    Notes
    -----
    Format: https://docs.deepmodeling.com/projects/deepmd/en/stable/data/data-conv.html. The virial is minus the
    stress times the volume, eV. A system is one set, however many blocks it came in: DeePMD-kit shuffles within a set
    and takes one after the other, which would show a training the iterations of a campaign one by one.
    """
    systems = []
    for index, groups in enumerate(merged_groups(labels)):
        system = directory / f"{index:03d}_{_formula(groups[0])}"
        _write_system(groups, elements, system)
        systems.append(system)
    return systems


def _write_system(groups: Sequence[LabelGroup], elements: Sequence[str], system: Path) -> None:
    first = groups[0]
    for group in groups:
        if group.periodic:
            _require_cells(group)
    arrays = system / "set.000"
    arrays.mkdir(parents=True)
    (system / "type.raw").write_text("".join(f"{elements.index(chemical_symbols[z])}\n" for z in first.numbers))
    (system / "type_map.raw").write_text("".join(f"{symbol}\n" for symbol in elements))
    if not first.periodic:
        (system / "nopbc").touch()
    boxes = [group.cells if group.periodic else np.repeat(np.eye(3)[None], len(group), axis=0) for group in groups]
    save_joined(arrays / "box.npy", boxes, (9,))
    save_joined(arrays / "coord.npy", [group.positions for group in groups], (3 * len(first.numbers),))
    save_joined(arrays / "energy.npy", [group.energies for group in groups], ())
    save_joined(arrays / "force.npy", [group.forces for group in groups], (3 * len(first.numbers),))
    if first.stresses is not None:
        save_joined(arrays / "virial.npy", [_virials(group) for group in groups], (9,))


def save_joined(path: Path, pieces: Sequence[np.ndarray], row: tuple[int, ...]) -> None:
    """Write what ``numpy.save`` would of the joined pieces, whose rows get another shape, without joining them."""
    header = {"descr": "<f8", "fortran_order": False, "shape": (sum(map(len, pieces)), *row)}
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for piece in pieces:
            stream.write(np.ascontiguousarray(piece, dtype="<f8").data)


def _virials(group: LabelGroup) -> np.ndarray:
    volumes = np.abs(np.linalg.det(group.cells))
    return np.asarray(-voigt_6_to_full_3x3_stress(group.stresses) * volumes[:, None, None])


def _require_cells(group: LabelGroup) -> None:
    flat = np.any(np.all(group.cells == 0, axis=2), axis=1)
    if flat.any():
        lengths = np.linalg.norm(group.cells[int(np.argmax(flat))], axis=1).tolist()
        raise InputError(
            f"labels of {_formula(group)}: found a periodic frame with cell {lengths} Å, expected three cell vectors; "
            "DeePMD-kit treats a cell as periodic in three dimensions, so give the open directions enough vacuum"
        )


def _formula(group: LabelGroup) -> str:
    return str(Atoms(group.numbers).get_chemical_formula())


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
    molecules = not any(group.periodic for block in blocks_of(labels) for group in block.groups)
    for largest in statistics(labels, f"neighbours within {rcut!r} Å", lambda block: _count_neighbours(block, rcut)):
        for index, symbol in enumerate(elements):
            number = str(atomic_numbers[symbol])
            found[index] = max(found[index], largest["neighbours"].get(number, 0))
            atoms[index] = max(atoms[index], largest["atoms"].get(number, 0))
    limits = np.maximum(np.ceil(SEL_MARGIN * found).astype(int), 1)
    return [int(limit) for limit in (np.minimum(limits, atoms) if molecules else limits)]


def _count_neighbours(block: LabelBlock, rcut: float) -> dict[str, Any]:
    """Most neighbours within `rcut` (Å) of any atom, and most atoms of any frame, by atomic number."""
    neighbours: Counter[str] = Counter()
    atoms: Counter[str] = Counter()
    for group in block.groups:
        elements, types = np.unique(group.numbers, return_inverse=True)
        one_hot = np.eye(len(elements), dtype=int)[types]
        found = np.zeros(len(elements), dtype=int)
        for frame in group.frames():
            found = np.maximum(found, _neighbours(frame, rcut, one_hot).max(axis=0))
        # A counter's union keeps the larger of two numbers.
        neighbours |= Counter(dict(zip(map(str, elements.tolist()), found.tolist(), strict=True)))
        atoms |= Counter(dict(zip(map(str, elements.tolist()), one_hot.sum(axis=0).tolist(), strict=True)))
    return {"neighbours": dict(neighbours), "atoms": dict(atoms)}


def _neighbours(frame: Atoms, rcut: float, one_hot: np.ndarray) -> np.ndarray:
    """Neighbours of each atom within `rcut` (Å) by type, shape (n_atoms, n_types)."""
    if not frame.pbc.any():
        # A hundred times as fast as cells where there is no cell; each atom is its own neighbour at distance zero.
        near = cdist(frame.positions, frame.positions) < rcut
        return np.asarray(near @ one_hot - one_hot)
    centre, neighbour = neighbor_list("ij", frame, rcut)
    counts = np.zeros_like(one_hot)
    np.add.at(counts, centre, one_hot[neighbour])
    return counts
