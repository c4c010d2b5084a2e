"""The frames of each file that a campaign names, so that workers need no shared file system."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read
from ase.io.formats import string2index

from sparc_fw.encoding import pack_arrays, pack_frames, unpack_arrays, unpack_frames
from sparc_fw.errors import InputError
from sparc_fw.geometry.inline import InlineStructure

PROVENANCE = "sparc_fw"
"""Name in ``info`` of what an export of ours says of a label (`sparc_fw.formats.base.provenance_text`)."""
_WIDTHS = {"energy": 1, "forces": 3, "stress": 6}
"""Numbers that are kept (eV, eV/Å, eV/Å^3) and how many make one row; forces have a row per atom."""


class Files:
    """Frames by file, with energy, forces and stress where the file has them.

    Parameters
    ----------
    contents : mapping of str to list of Atoms
        All frames of each file, by its path as the campaign writes it.
    refused : mapping of str to dict, optional
        For each file of labels how many configurations could not be taken from it, by reason.
    """

    def __init__(
        self, contents: Mapping[str, list[Atoms]], refused: Mapping[str, Mapping[str, int]] | None = None
    ) -> None:
        self._contents = {path: list(frames) for path, frames in contents.items()}
        self._refused = {path: dict(counts) for path, counts in (refused or {}).items() if counts}

    @classmethod
    def read(cls, paths: Iterable[str], folder: Path, labelled: Iterable[str] = ()) -> Files:
        """Read every file, paths relative to `folder`.

        Parameters
        ----------
        labelled : iterable of str
            Those of `paths` that hold labels, which may be of any format that `read_labels` knows, and folders.

        Raises
        ------
        InputError
            Names a file that is missing, unreadable or empty.
        """
        of_labels = set(labelled)
        contents, refused = {}, {}
        for path in paths:
            if path in of_labels:
                contents[path], refused[path] = _read_labels(path, folder / path)
            else:
                contents[path] = _read(path, folder / path)
        return cls(contents, refused)

    def refused(self, path: str) -> dict[str, int]:
        """How many configurations could not be taken from a file of labels, by reason."""
        return dict(self._refused.get(path, {}))

    @property
    def paths(self) -> list[str]:
        """Every file, in the order in which it was named."""
        return list(self._contents)

    def frames(self, path: str, index: str = ":") -> list[Atoms]:
        """Copies of a file's frames, with a `SinglePointCalculator` where the file had numbers.

        Parameters
        ----------
        index : str
            As ASE writes it: ``":"``, ``"::10"``, ``"-1"``.

        Raises
        ------
        InputError
            If the index is malformed or chooses nothing.
        """
        frames = self._contents[path]
        try:
            part = string2index(index)
            chosen = frames[part] if isinstance(part, slice) else [frames[part]]
        except (ValueError, IndexError, TypeError) as error:
            raise InputError(
                f"{path}: index: found {index!r}, expected an index such as ':' or '::10' into {len(frames)} frames"
            ) from error
        if not chosen:
            raise InputError(f"{path}: index: {index!r} chooses none of its {len(frames)} frames")
        return [_copy(frame) for frame in chosen]

    def pack(self) -> bytes:
        """All frames and their numbers as bytes, to the bit."""
        frames = [frame for contents in self._contents.values() for frame in contents]
        results = [_results(frame) for frame in frames]
        arrays = {
            "names": np.array(json.dumps(list(self._contents))),
            "counts": np.array([len(contents) for contents in self._contents.values()], dtype=np.int64),
            "frames": np.frombuffer(pack_frames(frames), dtype=np.uint8),
        }
        for name, width in _WIDTHS.items():
            arrays[f"has_{name}"] = np.array([name in result for result in results], dtype=bool)
            rows = [np.reshape(result[name], (-1, width)) for result in results if name in result]
            arrays[name] = np.concatenate([np.zeros((0, width)), *rows])
        stated = [frame.info.get(PROVENANCE, "") for frame in frames]
        if any(stated):
            arrays["stated"] = np.array(json.dumps(stated))
        if self._refused:
            # Only where there is something to say, so that the content of other campaigns keeps its hash.
            arrays["refused"] = np.array(json.dumps(self._refused))
        return pack_arrays(arrays)

    @classmethod
    def unpack(cls, data: bytes) -> Files:
        """The inverse of `pack`."""
        arrays = unpack_arrays(data)
        frames = unpack_frames(arrays["frames"].tobytes())
        taken = dict.fromkeys(_WIDTHS, 0)
        stated = json.loads(str(arrays["stated"])) if "stated" in arrays else [""] * len(frames)
        for number, frame in enumerate(frames):
            if stated[number]:
                frame.info[PROVENANCE] = stated[number]
            results: dict[str, float | np.ndarray] = {}
            for name in _WIDTHS:
                if arrays[f"has_{name}"][number]:
                    rows = len(frame) if name == "forces" else 1
                    results[name] = arrays[name][taken[name] : taken[name] + rows]
                    taken[name] += rows
            _attach(frame, results)
        ends = np.cumsum(arrays["counts"])
        starts = ends - arrays["counts"]
        names: list[str] = json.loads(str(arrays["names"]))
        refused = json.loads(str(arrays["refused"])) if "refused" in arrays else {}
        return cls({name: frames[a:b] for name, a, b in zip(names, starts, ends, strict=True)}, refused)


def read_structure(path: str, folder: Path) -> InlineStructure:
    """Read the last frame of a file, its path relative to `folder`, so that it can travel inside a campaign.

    Raises
    ------
    InputError
        Names a file that is missing, unreadable or empty.
    """
    return InlineStructure.from_atoms(_read(path, folder / path)[-1])


def _read(path: str, location: Path) -> list[Atoms]:
    if not location.is_file():
        raise InputError(f"{path}: no such file (looked for {location.absolute()})")
    try:
        found = read(location, index=":")
    except Exception as error:
        # ASE's readers raise whatever their parsers stumble on.
        raise InputError(
            f"{path}: cannot be read as a structure: {type(error).__name__}: {error}; expected a format that ASE reads"
        ) from error
    if not found or not all(len(frame) for frame in found):
        raise InputError(f"{path}: found {'a frame without atoms' if found else 'no frames'}, expected atoms in each")
    return [_plain(frame) for frame in found]


def _read_labels(path: str, location: Path) -> tuple[list[Atoms], dict[str, int]]:
    """The configurations of a file or folder of labels, and how many of them the reader refused, by reason."""
    from sparc_fw.formats.ase_files import labelled_atoms
    from sparc_fw.formats.base import provenance_text
    from sparc_fw.formats.consistency import suspect_units
    from sparc_fw.formats.reading import read_labels

    if not location.exists():
        raise InputError(f"{path}: no such file or folder (looked for {location.absolute()})")
    readings = read_labels(location)
    labels = [reading.label for reading in readings if reading.label is not None]
    refused = [reading for reading in readings if reading.label is None]
    if not labels:
        found = f"{refused[0].reason}: {refused[0].message}" if refused else "no configuration"
        raise InputError(f"{path}: found no label in it ({found})")
    suspicion = suspect_units(labels)
    if suspicion:
        raise InputError(f"{path}: {suspicion}")
    frames = [labelled_atoms(label) for label in labels]
    for frame, label in zip(frames, labels, strict=True):
        # The key of a label whose numbers were changed is gone.
        if label.key:
            frame.info[PROVENANCE] = provenance_text(label)
    return frames, dict(Counter(reading.reason for reading in refused))


def _plain(frame: Atoms) -> Atoms:
    """Keep of a frame what `pack` keeps, so that reading and unpacking give the same."""
    plain = Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.pbc)
    _attach(plain, _results(frame))
    return plain


def _results(frame: Atoms) -> dict[str, float | np.ndarray]:
    """The numbers that the file had; never computes anything."""
    calculator = frame.calc
    if calculator is None:
        return {}
    results = dict(calculator.results)
    # The slope of the free energy is what codes call forces.
    results["energy"] = results.get("free_energy", results.get("energy"))
    return {name: results[name] for name in _WIDTHS if results.get(name) is not None}


def _attach(frame: Atoms, results: dict[str, float | np.ndarray]) -> None:
    if not results:
        return
    numbers = {name: float(np.ravel(value)[0]) if name == "energy" else value for name, value in results.items()}
    if "stress" in numbers:
        numbers["stress"] = np.reshape(numbers["stress"], 6)
    frame.calc = SinglePointCalculator(frame, **numbers)


def _copy(frame: Atoms) -> Atoms:
    copy = frame.copy()
    _attach(copy, _results(frame))
    return copy
