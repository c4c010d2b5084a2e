"""What all formats share: one configuration as a file holds it, and where its numbers come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from ase import Atoms

from sparc_fw.documents import Label
from sparc_fw.encoding import frame_info
from sparc_fw.records import PLAIN_LABEL_FIELDS

_NUMBERS = ("status", "energy", "reason")
PROVENANCE_FIELDS = ("key", *(name for name in PLAIN_LABEL_FIELDS if name not in _NUMBERS))
"""Fields of a label, beside its numbers, that an export carries."""


@dataclass
class Reading:
    """One configuration of a file, or why the file holds none that can be taken.

    Attributes
    ----------
    file : Path
    place : str
        Which part of the file, as ``frame 3``; empty for all of it.
    label : Label or None
        Energy, forces and stress where the file has them; ``code``, ``version``, ``settings_hash`` and ``key`` as the
        file states them, empty where it does not; ``frame.info`` has ``system``, ``charge`` and ``spin`` only where
        the file states them.
    reason : str
        Why the reader itself refuses it: ``unreadable`` or ``not_converged``; empty where it does not.
    message : str
        The details of the reason.
    """

    file: Path
    place: str
    label: Label | None = None
    reason: str = ""
    message: str = ""

    @property
    def where(self) -> str:
        """File and place, for messages."""
        return f"{self.file}, {self.place}" if self.place else str(self.file)


def make_label(
    frame: Atoms,
    energy: Any,
    forces: Any,
    stress: Any = None,
    provenance: Mapping[str, Any] | None = None,
    code: str = "",
    version: str = "",
) -> Label:
    """A label of what a file holds; numbers that it lacks stay None.

    Parameters
    ----------
    frame : Atoms
        Only species, positions, cell, periodicity and the part of ``info`` that belongs to a frame are kept.
    energy, forces, stress
        eV, eV/Å, eV/Å^3 (Voigt order, ASE's sign); a stress is kept for periodic frames only.
    provenance : mapping, optional
        What `provenance_of` made of a label of ours.
    """
    stated = dict(provenance or {})
    info = {**stated.pop("info", {}), **frame_info(frame)}
    plain = Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.pbc, info=info)
    fields = {name: stated[name] for name in PROVENANCE_FIELDS if name in stated}
    numbers = (energy, forces, stress if plain.pbc.any() else None)
    if "key" in fields and not np.allclose(stated.get("numbers", np.nan), _fingerprint(*numbers), rtol=1e-9, atol=1e-5):
        # Somebody computed the frame anew, or edited it: it is no longer the label of that key.
        fields["key"] = ""
    origin: dict[str, Any] = {"code": code, "version": version, "attempts": 0, **fields}
    return Label(
        frame=plain,
        status="ok",
        energy=None if energy is None else float(np.ravel(energy)[0]),
        forces=None if forces is None else np.asarray(forces, dtype=float),
        stress=None if stress is None or not plain.pbc.any() else np.asarray(stress, dtype=float).reshape(6),
        **origin,
    )


def provenance_of(label: Label) -> dict[str, Any]:
    """Where a label's numbers come from, as JSON-able values; `make_label` takes it back."""
    stated = {name: getattr(label, name) for name in PROVENANCE_FIELDS}
    return {
        **stated,
        "numbers": _fingerprint(label.energy, label.forces, label.stress),
        "info": frame_info(label.frame),
    }


def _fingerprint(energy: Any, forces: Any, stress: Any) -> list[float]:
    """A few numbers that change with energy (eV), forces (eV/Å) and stress (eV/Å^3), but not with their last digits."""
    found = []
    for values in (energy, forces, stress):
        row = np.zeros(0) if values is None else np.ravel(np.asarray(values, dtype=float))
        # Weights that no two places share, so that exchanged rows show, too.
        found.append(float(row @ np.cos(np.arange(1, len(row) + 1))))
    return found


def provenance_text(label: Label) -> str:
    """`provenance_of` as one word of ASCII, because extended XYZ has no rule for quotes within quotes."""
    return quote(json.dumps(provenance_of(label)), safe=":,/")


def provenance_from_text(text: str) -> dict[str, Any]:
    """The inverse of `provenance_text`."""
    stated: dict[str, Any] = json.loads(unquote(text))
    return stated
