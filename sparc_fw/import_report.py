"""What became of the configurations of files: taken, or refused and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from sparc_fw.documents import Label
from sparc_fw.formats.base import Reading

REFUSALS = (
    "unreadable",
    "not_converged",
    "no_energy",
    "no_forces",
    "nan",
    "unknown_species",
    "unknown_system",
    "periodic",
    "not_for_labeler",
    "overlap",
    "force_cap",
    "units",
    "settings",
    "changed",
    "conflict",
    "reference",
    "duplicate",
)
"""Why a configuration is refused; `Judge` gives all but ``conflict`` and ``reference``, which need a store."""


class Refused(Exception):
    """Raised where a configuration cannot be a label; carries the reason."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass
class FileReport:
    """What became of one file.

    Attributes
    ----------
    refused : Counter
        Configurations by reason.
    examples : dict of str to str
        For each reason the details of the first configuration that it met.
    unboxed : int
        How many of the taken ones were molecules in periodic boxes, and are taken without.
    """

    read: int = 0
    taken: int = 0
    unboxed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def refuse(self, reading: Reading, reason: str, message: str) -> None:
        """Count a refusal."""
        self.refused[reason] += 1
        self.examples.setdefault(reason, f"{reading.place}: {message}" if reading.place else message)


@dataclass
class Judged:
    """The labels that can be taken, each with where it was read, and what became of every file."""

    taken: list[tuple[Reading, Label]]
    files: dict[Path, FileReport]

    def drop(self, reading: Reading, reason: str, message: str) -> None:
        """Refuse a label that was taken before."""
        label = next(label for entry, label in self.taken if entry is reading)
        self.taken = [entry for entry in self.taken if entry[0] is not reading]
        self.files[reading.file].taken -= 1
        self.files[reading.file].unboxed -= was_in_box(reading, label)
        self.files[reading.file].refuse(reading, reason, message)


def was_in_box(reading: Reading, label: Label) -> bool:
    """Whether a label is that of a molecule which the file has in a periodic box."""
    return reading.label is not None and bool(reading.label.frame.pbc.any()) and not label.frame.pbc.any()
