"""Which of the configurations that files hold can be labels of a campaign, and why the others cannot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.formula import Formula

from sparc_fw.campaign import Campaign, System
from sparc_fw.documents import FROM_FILE, IMPORT, Label
from sparc_fw.errors import InputError
from sparc_fw.formats.base import Reading
from sparc_fw.formats.consistency import suspect_units
from sparc_fw.geometry.files import Files
from sparc_fw.geometry.overlap import describe_overlap
from sparc_fw.geometry.unboxed import out_of_box
from sparc_fw.import_report import FileReport, Judged, Refused, was_in_box
from sparc_fw.labelers.base import Labeler

IMAGE_A = 6.0
"""A molecule farther than this from its images in a box is taken for a molecule, Å: no potential of a usual cutoff sees
them, and what they do to the energy of a neutral molecule is less than methods differ by."""


class Judge:
    """Compares configurations with what a campaign is about.

    Parameters
    ----------
    trust : bool
        Whether energies count as the labeler's where their file does not carry its settings.
    system : str, optional
        The system that all frames belong to; where unset, the one that the file names or that has the same atoms.
    """

    def __init__(
        self, campaign: Campaign, files: Files, labeler: Labeler[Any], trust: bool, system: str | None = None
    ) -> None:
        from sparc_fw.geometry.build import structure_of

        self.labeler, self.trust = labeler, trust
        self.systems = {entry.name: entry for entry in campaign.systems}
        if system is not None and system not in self.systems:
            raise InputError(f"--system: found {system!r}, expected one of {list(self.systems)}")
        self.system = system
        structures = {name: structure_of(campaign, files, name) for name in self.systems}
        self.formulas = {name: _composition(structure) for name, structure in structures.items()}
        self.molecules = {name for name, structure in structures.items() if not structure.pbc.any()}
        self.species = {symbol for structure in structures.values() for symbol in structure.symbols}

    def judge(self, readings: Sequence[Reading]) -> Judged:
        """Take or refuse every configuration; a frame that came before is refused as ``duplicate``."""
        judged = Judged([], {})
        seen: set[str] = set()
        for file in dict.fromkeys(reading.file for reading in readings):
            mine = [reading for reading in readings if reading.file == file]
            report = judged.files[file] = FileReport(read=len(mine))
            suspicion = suspect_units([r.label for r in mine if r.label is not None])
            for reading in mine:
                try:
                    label = self._label(reading, suspicion)
                    if label.key in seen:
                        raise Refused("duplicate", "the same frame came before")
                except Refused as refused:
                    report.refuse(reading, refused.reason, str(refused))
                    continue
                seen.add(label.key)
                report.taken += 1
                report.unboxed += was_in_box(reading, label)
                judged.taken.append((reading, label))
        return judged

    def _label(self, reading: Reading, suspicion: str) -> Label:
        """The label as the campaign would keep it."""
        label = reading.label
        if label is None:
            raise Refused(reading.reason, reading.message)
        _require_numbers(label)
        if suspicion:
            raise Refused("units", suspicion)
        label = self._unboxed(replace(label, frame=self._belonging(label.frame)))
        self._require_labelable(label)
        return self._attributed(label, reading)

    def _belonging(self, frame: Atoms) -> Atoms:
        """The frame with system, charge and spin of the campaign's system that it belongs to."""
        unknown = sorted(set(frame.symbols) - self.species)
        if unknown:
            raise Refused("unknown_species", f"found {', '.join(unknown)}, expected {', '.join(sorted(self.species))}")
        system = self._system_of(frame)
        stated = {"charge": system.charge, "spin": system.spin} | _stated(frame)
        if stated != {"charge": system.charge, "spin": system.spin}:
            raise Refused(
                "unknown_system",
                f"found charge {stated['charge']} and spin {stated['spin']}, expected those of system {system.name}, "
                f"{system.charge} and {system.spin}",
            )
        info = {**frame.info, "system": system.name, **stated}
        return Atoms(frame.numbers, frame.positions, cell=frame.cell, pbc=frame.pbc, info={"origin": IMPORT} | info)

    def _system_of(self, frame: Atoms) -> System:
        if self.system is not None:
            return self.systems[self.system]
        named = frame.info.get("system")
        if named in self.systems:
            return self.systems[named]
        found = [name for name, formula in self.formulas.items() if formula == _composition(frame)]
        stated = _stated(frame)
        fitting = [
            name for name in found if all(value == getattr(self.systems[name], key) for key, value in stated.items())
        ]
        if not found:
            raise Refused(
                "unknown_system",
                f"found {frame.get_chemical_formula()}, expected the atoms of a system ("
                f"{', '.join(f'{name}: {formula}' for name, formula in self.formulas.items())}); fragments and larger "
                "cells belong to a system by --system",
            )
        return self.systems[(fitting or found)[0]]

    def _unboxed(self, label: Label) -> Label:
        """The label of a molecule in a periodic box as that of the molecule, where the campaign's system is one.

        As a crystal's it would be trained on beside molecules, which are computed otherwise and see no images.
        """
        frame, system = label.frame, label.frame.info["system"]
        if system not in self.molecules or not frame.cell.lengths()[frame.pbc].all() or not frame.pbc.any():
            return label
        found = (
            f"found a periodic frame (pbc {frame.pbc.tolist()}), expected a molecule, as the structure of {system} is"
        )
        if label.settings_hash == self.labeler.settings_hash and label.code != FROM_FILE:
            raise Refused("periodic", f"{found}: the labeler computes a periodic frame otherwise than a molecule")
        if frame.info["charge"]:
            raise Refused("periodic", f"{found}: its energy is that of a charge among its images and a background")
        molecule, distance = out_of_box(frame)
        if distance < IMAGE_A:
            raise Refused(
                "periodic",
                f"{found}: in its box it is {distance:.2f} Å from its nearest image, less than {IMAGE_A:g} Å",
            )
        return replace(label, frame=molecule, stress=None)

    def _require_labelable(self, label: Label) -> None:
        frame = label.frame
        try:
            self.labeler.check(frame)
        except InputError as error:
            raise Refused("periodic" if self._is_for_molecules(frame) else "not_for_labeler", str(error)) from error
        overlap = describe_overlap(frame)
        if overlap is not None:
            raise Refused("overlap", overlap)
        longest = float(np.linalg.norm(label.forces, axis=1).max(initial=0.0)) if label.forces is not None else 0.0
        cap = self.labeler.options.force_cap
        if cap is not None and longest > cap:
            raise Refused("force_cap", f"a force of {longest:.4g} eV/Å is above labeler.force_cap, {cap:g} eV/Å")

    def _is_for_molecules(self, frame: Atoms) -> bool:
        """Whether nothing but its periodicity keeps a frame from the labeler."""
        molecule = frame.copy()
        molecule.pbc = False
        try:
            self.labeler.check(molecule)
        except InputError:
            return False
        return bool(frame.pbc.any())

    def _attributed(self, label: Label, reading: Reading) -> Label:
        """The label under its key: as it was computed where the file proves that, otherwise as taken on trust."""
        expected, key = self.labeler.settings_hash, self.labeler.key(label.frame)
        if label.settings_hash == expected and label.code != FROM_FILE:
            if label.key == key:
                return label
            if not self.trust:
                raise Refused(
                    "changed",
                    "the frame or its numbers are not those that were labelled; they were changed after the export; "
                    "--trust-settings takes the numbers on your word as the labeler's",
                )
        if not self.trust:
            stated = f"those of hash {label.settings_hash[:12]}…" if label.settings_hash else "no record of settings"
            raise Refused(
                "settings",
                f"found {stated}, expected those of the campaign's labeler ({self.labeler.options.kind}, hash "
                f"{expected[:12]}…); --trust-settings takes the numbers on your word as that labeler's",
            )
        if label.code == FROM_FILE:
            return replace(label, key=key)
        # Never with the labeler's hash: another campaign must not take for computed what was taken on trust.
        origin = f"{label.code} {label.version}".strip()
        return replace(
            label, key=key, code=FROM_FILE, version=origin, settings_hash="", message=f"on trust from {reading.where}"
        )


def _stated(frame: Atoms) -> dict[str, int]:
    """Charge and spin as far as the file states them."""
    found: dict[str, int] = {}
    for name in ("charge", "spin"):
        value = frame.info.get(name)
        if value is None:
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = np.nan
        if not np.isfinite(number) or number != round(number):
            raise Refused("unknown_system", f"found {name} {value!r}, expected a whole number")
        found[name] = round(number)
    return found


def _require_numbers(label: Label) -> None:
    if label.energy is None:
        raise Refused("no_energy", "found no energy; name where it is by --energy-key")
    if label.forces is None:
        raise Refused("no_forces", "found no forces; name where they are by --forces-key")
    if label.forces.shape != (len(label.frame), 3):
        raise Refused("no_forces", f"found forces of shape {label.forces.shape}, expected ({len(label.frame)}, 3)")
    stress = np.zeros(6) if label.stress is None else label.stress
    numbers = (label.energy, label.forces, stress, label.frame.positions, label.frame.cell.array)
    if not all(np.isfinite(part).all() for part in numbers):
        raise Refused("nan", "energy, forces, stress, positions or cell are not finite")


def _composition(frame: Atoms) -> str:
    return str(Formula(frame.get_chemical_formula("hill")))
