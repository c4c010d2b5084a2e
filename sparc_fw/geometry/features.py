"""Numbers that describe whole frames, so that unlike ones can be told from like ones: a row of float32 for each."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from ase import Atoms
from ase.cell import Cell
from ase.data import chemical_symbols
from pydantic import Field

from sparc_fw.documents import json_hash
from sparc_fw.errors import InputError, MissingDependency
from sparc_fw.geometry.descriptor import MOLECULE, Pbc, sorted_distances
from sparc_fw.local_cache import LocalCache
from sparc_fw.section import Positive, Section

if TYPE_CHECKING:
    from dscribe.descriptors import SOAP

FRAMES_AT_ONCE = 2000
"""Frames that exist as objects at a time; each process gets its share of them."""


class DistanceOptions(Section):
    """Sorted interatomic distances, which need no package beside; only frames of one composition are comparable."""

    kind: Literal["distances"] = "distances"


class SoapOptions(Section):
    """Smooth overlap of atomic positions, averaged over the atoms: comparable between compositions and sizes.

    Sources: A. P. Bartók, R. Kondor and G. Csányi, Phys. Rev. B 87 (2013) 184115; the average: S. De, A. P. Bartók, G.
    Csányi and M. Ceriotti, Phys. Chem. Chem. Phys. 18 (2016) 13754; by DScribe: J. Laakso et al., J. Chem. Phys. 158
    (2023) 234802.
    """

    kind: Literal["soap"] = "soap"
    cutoff_A: Annotated[float, Field(gt=1)] = 5.0
    """Radius about each atom in which neighbours count, Å."""
    n_max: Annotated[int, Field(ge=1)] = 4
    """Radial functions; numbers per frame and time grow with the square."""
    l_max: Annotated[int, Field(ge=0, le=20)] = 4
    """Degree of the spherical harmonics."""
    width_A: Positive = 0.5
    """Standard deviation of the Gaussian that an atom is smeared to, Å."""


DescriptorOptions = Annotated[DistanceOptions | SoapOptions, Field(discriminator="kind")]


def frame_features(
    options: DistanceOptions | SoapOptions,
    elements: Sequence[int],
    numbers: np.ndarray,
    positions: np.ndarray,
    cells: np.ndarray | None = None,
    pbc: Pbc = MOLECULE,
    *,
    processes: int = 1,
    cache: LocalCache | None = None,
) -> np.ndarray:
    """Describe each frame of a batch of one composition, such as a trajectory.

    Parameters
    ----------
    options : DistanceOptions or SoapOptions
    elements : sequence of int
        Atomic numbers of all elements of all batches that are to be compared.
    numbers : ndarray of shape (n_atoms,)
        Atomic numbers.
    positions : ndarray of shape (n_frames, n_atoms, 3)
        Å.
    cells : ndarray of shape (n_frames, 3, 3) or None
        Å; not looked at for molecules.
    pbc : tuple of bool
    processes : int
        That share the work of SOAP.
    cache : LocalCache, optional
        Where rows of a batch are kept, by its content, as .npy; the caller trims it.

    Returns
    -------
    ndarray of shape (n_frames, n_features)
        float32. Distances: Å; SOAP: no unit.

    Raises
    ------
    InputError
        If a frame has an element that is not in `elements`.
    MissingDependency
        If SOAP is asked for and DScribe is not installed.
    """
    if not any(pbc):
        # The box of a molecule carries no physics.
        cells = None
    if cache is None:
        return _computed(options, elements, numbers, positions, cells, pbc, processes)
    name = _name(options, elements, numbers, positions, cells, pbc)
    stored = cache.get(name)
    if stored is not None:
        return np.asarray(np.load(io.BytesIO(stored)))
    features = _computed(options, elements, numbers, positions, cells, pbc, processes)
    content = io.BytesIO()
    np.save(content, features)
    cache.put(name, content.getvalue())
    return features


def _computed(
    options: DistanceOptions | SoapOptions,
    elements: Sequence[int],
    numbers: np.ndarray,
    positions: np.ndarray,
    cells: np.ndarray | None,
    pbc: Pbc,
    processes: int,
) -> np.ndarray:
    if isinstance(options, DistanceOptions):
        return sorted_distances(numbers, positions, cells, pbc).astype(np.float32)
    missing = sorted(set(np.asarray(numbers).tolist()) - set(elements))
    if missing:
        names = ", ".join(chemical_symbols[number] for number in missing)
        known = ", ".join(chemical_symbols[number] for number in elements)
        raise InputError(f"elements: found frames with {names}, expected only {known}: name all elements")
    soap = _soap(options, elements, any(pbc))
    rows = np.empty((len(positions), soap.get_number_of_features()), dtype=np.float32)
    for part, frames in _frames(numbers, positions, cells, pbc):
        found = soap.create(frames, n_jobs=min(processes, len(frames)))
        rows[part] = found.reshape(len(frames), -1)
    return rows


def _soap(options: SoapOptions, elements: Sequence[int], periodic: bool) -> SOAP:
    try:
        from dscribe.descriptors import SOAP
    except ImportError as error:
        raise MissingDependency(
            "descriptor soap: needs the Python package 'dscribe': pip install 'sparc_fw[descriptors]', or take "
            "'kind: distances'"
        ) from error
    return SOAP(
        species=sorted(elements),
        r_cut=options.cutoff_A,
        n_max=options.n_max,
        l_max=options.l_max,
        sigma=options.width_A,
        average="outer",
        periodic=periodic,
        dtype="float32",
    )


def _frames(
    numbers: np.ndarray, positions: np.ndarray, cells: np.ndarray | None, pbc: Pbc
) -> Iterator[tuple[slice, list[Atoms]]]:
    for begin in range(0, len(positions), FRAMES_AT_ONCE):
        part = slice(begin, begin + FRAMES_AT_ONCE)
        if cells is None:
            yield part, [Atoms(numbers, places) for places in positions[part]]
        else:
            pairs = zip(positions[part], cells[part], strict=True)
            # DScribe wants a volume even where a slab or a chain has none.
            yield part, [Atoms(numbers, places, cell=Cell(cell).complete(), pbc=pbc) for places, cell in pairs]


def _name(
    options: DistanceOptions | SoapOptions,
    elements: Sequence[int],
    numbers: np.ndarray,
    positions: np.ndarray,
    cells: np.ndarray | None,
    pbc: Pbc,
) -> str:
    """Name of the file of a batch: a hash of all that decides its rows."""
    deciding: dict[str, Any] = {"options": options.model_dump(), "pbc": [bool(axis) for axis in pbc]}
    if isinstance(options, SoapOptions):
        deciding |= {"elements": sorted(int(number) for number in elements), "dscribe": version("dscribe")}
    digest = hashlib.sha256(json_hash(deciding).encode())
    for values, kind in ((numbers, "<i4"), (positions, "<f8"), (cells, "<f8")):
        if values is not None:
            digest.update(str(values.shape).encode())
            digest.update(np.ascontiguousarray(values, dtype=kind).tobytes())
    return f"features-{digest.hexdigest()}.npy"
