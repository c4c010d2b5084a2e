"""Frames whose forces or energies, as the committee has them, are beyond what a model shall learn."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from ase import Atoms
from pydantic import Field

from sparc_fw.section import Positive
from sparc_fw.selectors.base import Context, StepOptions
from sparc_fw.selectors.pool import Pool
from sparc_fw.selectors.screens import Screen


class ForceCapOptions(StepOptions):
    """Options of the step ``force_cap``."""

    kind: Literal["force_cap"] = "force_cap"
    max_force_eV_A: Positive = 30.0
    """Frames in which the committee's mean force on an atom is larger are out, eV/Å."""


class ForceCap(Screen[ForceCapOptions]):
    """Takes out frames with extreme forces, which unsettle a training: A. Pacini et al. (2025, SCS)."""

    Options: ClassVar[type[ForceCapOptions]] = ForceCapOptions
    reason = "force_cap"

    def finds(self, pool: Pool, run: int, places: np.ndarray, context: Context) -> np.ndarray:
        """Which frames have an atom with too large a force."""
        forces = pool.said(run, "max_force_eV_A").mean_force[places]
        return np.asarray(~(forces.max(axis=1) <= self.options.max_force_eV_A))


class EnergyRangeOptions(StepOptions):
    """Options of the step ``energy_range``."""

    kind: Literal["energy_range"] = "energy_range"
    above_eV: float = Field(1.0, ge=0)
    """Frames whose energy lies more than this above the highest label of the same atoms, charge and spin are out, eV.
    Of atoms without a label nothing is known, and nothing is out."""


Kind = tuple[bytes, int, int]


class EnergyRange(Screen[EnergyRangeOptions]):
    """Takes out frames of energies far above all that is known; the energy is the committee's mean."""

    Options: ClassVar[type[EnergyRangeOptions]] = EnergyRangeOptions
    reason = "energy_range"

    def finds(self, pool: Pool, run: int, places: np.ndarray, context: Context) -> np.ndarray:
        """Which frames lie too high."""
        energies = pool.said(run, "above_eV").energies[:, places].mean(axis=0)
        part = pool.trajectories[run]
        kind = _kind(Atoms(numbers=part.numbers, info=part.info))
        known = [
            energy
            for frame, energy in zip(context.labelled, context.energies, strict=False)
            if np.isfinite(energy) and _kind(frame) == kind
        ]
        return np.asarray(~(energies <= max(known, default=np.inf) + self.options.above_eV))


def _kind(frame: Atoms) -> Kind:
    """What two frames must have in common for their energies to be comparable."""
    return np.sort(frame.numbers).tobytes(), int(frame.info.get("charge", 0)), int(frame.info.get("spin", 0))
