"""Labels as arrays, by composition: what trainings read, without an object per label."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np
from ase import Atoms

from sparc_fw.documents import FROM_FILE, Dataset, Label, json_hash
from sparc_fw.encoding import frame_info
from sparc_fw.local_cache import LocalCache

GroupKey = tuple[bytes, tuple[bool, ...], bool, str]


@dataclass(frozen=True)
class LabelGroup:
    """Labels of the same atoms in the same order, equally periodic, with or without stress, and of one origin.

    Attributes
    ----------
    numbers : ndarray of shape (n_atoms,)
        Atomic numbers.
    pbc : tuple of bool
    origin : str
        What kind of source the frames came from; empty where that is not known.
    positions, forces : ndarray of shape (n_labels, n_atoms, 3)
        Å, eV/Å.
    cells : ndarray of shape (n_labels, 3, 3)
        Å.
    energies : ndarray of shape (n_labels,)
        eV.
    stresses : ndarray of shape (n_labels, 6) or None
        eV/Å^3, in ASE's sign and order; None for molecules.
    """

    numbers: np.ndarray
    pbc: tuple[bool, bool, bool]
    origin: str
    positions: np.ndarray
    forces: np.ndarray
    cells: np.ndarray
    energies: np.ndarray
    stresses: np.ndarray | None

    def __len__(self) -> int:
        return len(self.energies)

    @property
    def periodic(self) -> bool:
        """Whether in any direction."""
        return any(self.pbc)

    @property
    def key(self) -> GroupKey:
        """What the labels of a group have in common."""
        return self.numbers.astype("<i4").tobytes(), self.pbc, self.stresses is not None, self.origin

    def arrays(self) -> list[np.ndarray]:
        """The arrays that have a row for each label."""
        found = [self.positions, self.forces, self.cells, self.energies]
        return found if self.stresses is None else [*found, self.stresses]

    def frames(self) -> Iterator[Atoms]:
        """The frames, without ``info``."""
        for positions, cell in zip(self.positions, self.cells, strict=True):
            yield Atoms(self.numbers, positions, cell=cell, pbc=self.pbc)


@dataclass(frozen=True)
class Kept:
    """Where a block is kept: in which cache, as part of which collection, and under a name that says its content."""

    cache: LocalCache
    collection: str
    name: str


class LabelBlock:
    """Good labels that never change, as arrays.

    Parameters
    ----------
    groups : sequence of LabelGroup
    rows : bytes or memoryview
        JSON: per label, in the order of the groups, ``place`` in the block, ``key``, ``info``, ``code`` and
        ``settings_hash``.
    digest : str
        Hash of the keys in the block's order.
    settings : dict of str to int
        Labels by hash of the settings that computed them, those that a file brought left out.
    """

    def __init__(
        self, groups: Sequence[LabelGroup], rows: bytes | memoryview, digest: str, settings: dict[str, int]
    ) -> None:
        self.groups = groups
        self.digest = digest
        self.settings = settings
        self.kept: Kept | None = None
        self._rows = rows

    @classmethod
    def of(cls, labels: Sequence[Label]) -> LabelBlock:
        """A block of labels that are all ``ok``."""
        members: dict[GroupKey, list[int]] = {}
        for place, label in enumerate(labels):
            members.setdefault(_key_of(label), []).append(place)
        order = [place for places in members.values() for place in places]
        columns: dict[str, list[Any]] = {
            "place": order,
            "key": [labels[i].key for i in order],
            "info": [frame_info(labels[i].frame) for i in order],
            "code": [labels[i].code for i in order],
            "settings_hash": [labels[i].settings_hash for i in order],
        }
        groups = [_group([labels[i] for i in places], key) for key, places in members.items()]
        settings = Counter(label.settings_hash for label in labels if label.code != FROM_FILE)
        digest = json_hash([label.key for label in labels])
        return cls(groups, json.dumps(columns).encode(), digest, dict(sorted(settings.items())))

    def __len__(self) -> int:
        return sum(len(group) for group in self.groups)

    def labels(self) -> list[Label]:
        """The labels in order, without what is known of their calculation but the code and its settings."""
        columns = json.loads(bytes(self._rows))
        result: dict[int, Label] = {}
        row = 0
        for group in self.groups:
            for number, frame in enumerate(group.frames()):
                frame.info = columns["info"][row]
                result[columns["place"][row]] = Label(
                    frame=frame,
                    status="ok",
                    energy=float(group.energies[number]),
                    forces=group.forces[number],
                    stress=None if group.stresses is None else group.stresses[number],
                    code=columns["code"][row],
                    settings_hash=columns["settings_hash"][row],
                    key=columns["key"][row],
                )
                row += 1
        return [result[place] for place in range(row)]

    def to_bytes(self) -> bytes:
        """The block as a line of JSON that describes the arrays, the arrays as little-endian float64, and the rows."""
        described = [
            {
                "numbers": group.numbers.tolist(),
                "pbc": list(group.pbc),
                "origin": group.origin,
                "labels": len(group),
                "stress": group.stresses is not None,
            }
            for group in self.groups
        ]
        header = {"groups": described, "digest": self.digest, "settings": self.settings}
        rows = aligned(bytes(self._rows))
        line = aligned(json.dumps({**header, "rows": len(rows)}).encode() + b"\n")
        arrays = [array.astype("<f8").tobytes() for group in self.groups for array in group.arrays()]
        return b"".join([line, *arrays, rows])

    @classmethod
    def from_bytes(cls, data: bytes, place: int = 0) -> tuple[LabelBlock, int]:
        """The inverse of `to_bytes`, from `place` on; returns where it ends, too. The arrays are views of `data`."""
        end = data.index(b"\n", place) + 1
        header = json.loads(data[place:end])
        place += len(aligned(data[place:end]))
        groups = []
        for described in header["groups"]:
            count, atoms = described["labels"], len(described["numbers"])
            shapes: list[tuple[int, ...]] = [(count, atoms, 3), (count, atoms, 3), (count, 3, 3), (count,)]
            arrays = []
            for shape in shapes + [(count, 6)] * described["stress"]:
                size = math.prod(shape)
                arrays.append(np.frombuffer(data, "<f8", size, place).reshape(shape))
                place += 8 * size
            numbers, pbc = np.array(described["numbers"]), tuple(described["pbc"])
            positions, forces, cells, energies, *stresses = arrays
            origin, stress = described["origin"], stresses[0] if stresses else None
            groups.append(LabelGroup(numbers, pbc, origin, positions, forces, cells, energies, stress))
        end = place + header["rows"]
        return cls(groups, memoryview(data)[place:end], header["digest"], header["settings"]), end


class Labels(Sequence[Label]):
    """Labels in blocks; the objects are made when somebody looks at them."""

    def __init__(self, blocks: Sequence[LabelBlock]) -> None:
        self.blocks = [block for block in blocks if len(block)]

    @cached_property
    def _labels(self) -> list[Label]:
        return [label for block in self.blocks for label in block.labels()]

    def __len__(self) -> int:
        return sum(len(block) for block in self.blocks)

    @overload
    def __getitem__(self, index: int) -> Label: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Label]: ...

    def __getitem__(self, index: int | slice) -> Label | Sequence[Label]:
        return self._labels[index]


def blocks_of(labels: Sequence[Label]) -> list[LabelBlock]:
    """The blocks of `Labels`; one block of any other labels."""
    return labels.blocks if isinstance(labels, Labels) else [LabelBlock.of(labels)]


def statistics(
    labels: Sequence[Label], name: str, compute: Callable[[LabelBlock], dict[str, Any]]
) -> list[dict[str, Any]]:
    """What `compute` finds in each block: plain JSON values, computed once per machine for blocks that are kept.

    Parameters
    ----------
    name : str
        Says what is computed, with every option that it depends on.
    """
    blocks = blocks_of(labels)
    kept = {block.kept.name: block for block in blocks if block.kept is not None}
    place = next((block.kept for block in kept.values()), None)
    if place is None:
        return [compute(block) for block in blocks]
    # One file for all blocks: hundreds of small ones would take longer than the arrays.
    file = f"{place.collection}.{hashlib.sha256(name.encode()).hexdigest()[:16]}.json"
    known: dict[str, dict[str, Any]] = json.loads(place.cache.get(file) or b"{}")
    found = {key: known[key] if key in known else compute(block) for key, block in kept.items()}
    if not found.keys() <= known.keys():
        place.cache.put(file, json.dumps(found, sort_keys=True).encode())
    return [compute(block) if block.kept is None else found[block.kept.name] for block in blocks]


def merged_groups(labels: Sequence[Label]) -> list[list[LabelGroup]]:
    """The groups of all blocks, those that belong together in one list, in the order of the first label of each."""
    found: dict[GroupKey, list[LabelGroup]] = {}
    for block in blocks_of(labels):
        for group in block.groups:
            found.setdefault(group.key, []).append(group)
    return list(found.values())


def content_hash(dataset: Dataset) -> str:
    """Hash of the label keys in order, block by block, train and validation apart."""
    return json_hash([[block.digest for block in blocks_of(part)] for part in (dataset.train, dataset.validation)])


def settings_counts(dataset: Dataset) -> dict[str, int]:
    """Labels by hash of the settings that computed them; those that were taken on trust from files do not count."""
    counts: Counter[str] = Counter()
    for part in (dataset.train, dataset.validation):
        for block in blocks_of(part):
            counts.update(block.settings)
    return dict(counts)


def _key_of(label: Label) -> GroupKey:
    frame = label.frame
    with_stress = bool(frame.pbc.any()) and label.stress is not None
    origin = str(frame.info.get("origin", ""))
    return frame.numbers.astype("<i4").tobytes(), tuple(bool(x) for x in frame.pbc), with_stress, origin


def _group(labels: Sequence[Label], key: GroupKey) -> LabelGroup:
    _, pbc, with_stress, origin = key
    return LabelGroup(
        numbers=np.array(labels[0].frame.numbers, dtype=int),
        pbc=(pbc[0], pbc[1], pbc[2]),
        origin=origin,
        positions=np.array([label.frame.positions for label in labels]),
        forces=np.array([label.forces for label in labels], dtype=float),
        cells=np.array([label.frame.cell.array for label in labels]),
        energies=np.array([label.energy for label in labels], dtype=float),
        stresses=np.array([label.stress for label in labels]) if with_stress else None,
    )


def aligned(text: bytes) -> bytes:
    """Text filled up with blanks, so that the float64 that follow it lie where the processor wants them."""
    return text + b" " * (-len(text) % 8)
