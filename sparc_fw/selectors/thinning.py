"""Of frames that follow each other, those that tell something new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from ase import Atoms
from ase.units import kcal, mol
from pydantic import Field

from sparc_fw.errors import InputError
from sparc_fw.explorers.bias import Variable, atoms_of
from sparc_fw.explorers.variables import away, value_of
from sparc_fw.section import Positive
from sparc_fw.selectors.base import Context, Step, StepOptions
from sparc_fw.selectors.difference import TOO_SIMILAR
from sparc_fw.selectors.pool import Pool

OVER_NUMBER = "over_number_of_run"


class TimeWindowsOptions(StepOptions):
    """Options of the step ``time_windows``."""

    kind: Literal["time_windows"] = "time_windows"
    window_fs: Positive
    """Length of the windows into which every run is cut, fs."""


class TimeWindows(Step[TimeWindowsOptions]):
    """Keeps the frame of largest deviation of each of equal windows in time; frames that follow no time stay.

    Source: A. Pacini et al. (2025, SCS).
    """

    Options: ClassVar[type[TimeWindowsOptions]] = TimeWindowsOptions

    def apply(self, pool: Pool, context: Context) -> None:
        """Drop all but the best of each window."""
        rows = pool.alive()
        rows = rows[np.isfinite(pool.time_fs[rows])]
        # A multiple of the length begins a window, whatever the last bit says.
        window = np.floor(pool.time_fs[rows] / self.options.window_fs + 1e-9).astype(int)
        # Rows come best first, and the first of each window is the one that `unique` names.
        _, kept = np.unique(np.stack([pool.run[rows], window]), axis=1, return_index=True)
        pool.drop(np.delete(rows, kept), "not_worst_of_window")


class ReactionStepOptions(StepOptions):
    """Options of the step ``reaction_step``."""

    kind: Literal["reaction_step"] = "reaction_step"
    cv: Variable
    """The collective variable along which the reaction goes."""
    min_step: Positive = 0.01
    """Frames kept of one run differ by more than this in the variable, Å or degrees (coordination: no unit), …"""
    min_energy_eV: float = Field(round(kcal / mol, 4), ge=0)
    """… and by more than this in energy, eV; 1 kcal/mol where unset."""
    most: int = Field(50, ge=1)
    """Most frames kept of one run: once a bond is broken, its ends may go apart for long without telling anything."""


class ReactionStep(Step[ReactionStepOptions]):
    """Goes along every run and keeps a frame where the reaction has gone on since all that were kept before it.

    Energies are the committee's mean. Source: G. S. Jung et al. (2024), with the length of a pulled chain as variable.
    Frames of other compositions that lack the variable's atoms stay.
    """

    Options: ClassVar[type[ReactionStepOptions]] = ReactionStepOptions

    def check(self, structures: Mapping[str, Atoms]) -> None:
        """Raise `InputError` where no system has the variable's atoms."""
        most = max(len(structure) for structure in structures.values())
        for atom in atoms_of(self.options.cv):
            if atom >= most:
                raise InputError(f"cv: found atom {atom}, expected 0 to {most - 1}, which the largest system has")

    def apply(self, pool: Pool, context: Context) -> None:
        """Drop what is too similar to frames before it, and what is too much."""
        for run, (rows, part) in enumerate(pool.runs()):
            if max(atoms_of(self.options.cv)) < len(part.numbers):
                places = np.flatnonzero(pool.fate[rows] == "")
                energies = pool.said(run, "min_energy_eV").energies[:, places].mean(axis=0)
                values = np.array([value_of(self.options.cv, part.frame(int(place))) for place in places])
                similar, beyond = self._steps(values, energies)
                pool.drop(rows.start + places[similar], TOO_SIMILAR)
                pool.drop(rows.start + places[beyond], OVER_NUMBER)

    def _steps(self, values: np.ndarray, energies: np.ndarray) -> tuple[list[int], list[int]]:
        """Which frames of a run are too similar to one that was kept, and which would be one too many."""
        kept: list[int] = []
        similar: list[int] = []
        beyond: list[int] = []
        for number, (value, energy) in enumerate(zip(values, energies, strict=True)):
            gone = np.abs(away(self.options.cv, values[kept], value)) > self.options.min_step
            changed = np.abs(energies[kept] - energy) > self.options.min_energy_eV
            if not (gone & changed).all():
                similar.append(number)
            elif len(kept) < self.options.most:
                kept.append(number)
            else:
                beyond.append(number)
        return similar, beyond
