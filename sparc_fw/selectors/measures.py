"""What the committee says of a frame, put into one number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from pydantic import Field, model_validator
from typing_extensions import Self

from sparc_fw.errors import InputError
from sparc_fw.geometry.confinement import AtomIndex
from sparc_fw.measure_names import FORCE_MAX
from sparc_fw.section import Positive
from sparc_fw.selectors.base import StepOptions
from sparc_fw.selectors.pool import Pool
from sparc_fw.trajectories import Uncertainty

Measure = Literal["force_max", "force_mean", "force_quantile", "force_normalised", "energy", "energy_per_atom"]
QUANTILE, EPSILON = 0.9, 0.1


class MeasureOptions(StepOptions):
    """Which number the frames are judged by."""

    measure: Measure = FORCE_MAX
    """What frames are judged by. Of the standard deviation of the force on an atom over the members: `force_max`, the
    largest of all atoms, `force_mean`, `force_quantile` (eV/Å); `force_normalised`, the largest after division by the
    force itself (no unit). `energy`: standard deviation of the total energy (eV); `energy_per_atom` (eV/atom)."""
    quantile: float | None = Field(None, gt=0, le=1)
    """Of `force_quantile`: so large a part of the atoms has a smaller deviation; 0.9 where unset."""
    epsilon_eV_per_A: Positive | None = None
    """Of `force_normalised`: added to the length of the mean force, eV/Å, so that atoms at rest do not count most; 0.1
    where unset."""
    elements: Annotated[list[str], Field(min_length=1)] | None = None
    """Only atoms of these elements are looked at, of frames that have one; where unset, all."""
    atoms: Annotated[list[AtomIndex], Field(min_length=1)] | None = None
    """Only these atoms are looked at, counted from 0, of frames that have one; where unset, all."""

    @model_validator(mode="after")
    def _belongs(self) -> Self:
        for key, measure in (("quantile", "force_quantile"), ("epsilon_eV_per_A", "force_normalised")):
            if getattr(self, key) is not None and self.measure != measure:
                raise ValueError(f"{key}: found it beside the measure {self.measure}, expected it with {measure} only")
        if self.measure.startswith("energy") and (self.elements or self.atoms):
            raise ValueError(f"elements, atoms: found them beside {self.measure}, expected a measure of forces")
        if self.elements and self.atoms:
            raise ValueError("elements, atoms: found both, expected one of them")
        for name in self.elements or []:
            if name not in chemical_symbols[1:]:
                raise ValueError(f"elements: found {name!r}, expected chemical symbols")
        return self


def measured(pool: Pool, options: MeasureOptions) -> np.ndarray:
    r"""The measure of every frame, shape (n_frames,); not finite where the committee gave no finite number.

    Notes
    -----
    - ``force_max``: Y. Zhang et al., Comput. Phys. Commun. 253 (2020) 107206 (DP-GEN).
    - ``force_normalised``: :math:`\sigma_i / (|\langle F_i\rangle| + \epsilon)`, A. Pacini et al. (2025, SCS), who take
      it by component; here it is taken by atom, so that it does not depend on how the frame is turned.
    - ``energy``: G. S. Jung et al. (2024); deviations are over all members, not one less.

    Raises
    ------
    InputError
        If the explorations carry no more than the force deviation, and more is asked for.
    """
    if options.measure == FORCE_MAX and not (options.elements or options.atoms):
        return pool.measures[FORCE_MAX]
    found = np.full(len(pool), np.nan)
    for run, (rows, trajectory) in enumerate(pool.runs()):
        found[rows] = _of_trajectory(pool.said(run, f"measure {options.measure}"), trajectory.numbers, options)
    return found


def _of_trajectory(uncertainty: Uncertainty, numbers: np.ndarray, options: MeasureOptions) -> np.ndarray:
    """The measure of every frame of a trajectory."""
    with np.errstate(invalid="ignore", over="ignore"):
        if options.measure == "energy":
            return np.asarray(uncertainty.energies.std(axis=0))
        if options.measure == "energy_per_atom":
            return np.asarray(uncertainty.energies.std(axis=0) / len(numbers))
        chosen = _chosen(numbers, options)
        deviation = uncertainty.force_deviation[:, chosen].astype(float)
        if options.measure == "force_mean":
            return np.asarray(deviation.mean(axis=1))
        if options.measure == "force_quantile":
            return np.asarray(np.quantile(deviation, options.quantile or QUANTILE, axis=1))
        if options.measure == "force_normalised":
            deviation = deviation / (uncertainty.mean_force[:, chosen] + (options.epsilon_eV_per_A or EPSILON))
        return np.asarray(deviation.max(axis=1))


def check_atoms(options: MeasureOptions, structures: Mapping[str, Atoms]) -> None:
    """Raise `InputError` where no system has an atom that is to be looked at."""
    there = {symbol for structure in structures.values() for symbol in structure.symbols}
    most = max(len(structure) for structure in structures.values())
    for name in options.elements or []:
        if name not in there:
            raise InputError(f"elements: found {name!r}, expected of {sorted(there)}, which the systems have")
    for atom in options.atoms or []:
        if atom >= most:
            raise InputError(f"atoms: found atom {atom}, expected 0 to {most - 1}, which the largest system has")


def _chosen(numbers: np.ndarray, options: MeasureOptions) -> np.ndarray:
    """The atoms that are looked at; all where a composition has none of those asked for."""
    if options.elements is not None:
        chosen = np.flatnonzero(np.isin(numbers, [atomic_numbers[name] for name in options.elements]))
    else:
        chosen = np.array([atom for atom in options.atoms or [] if atom < len(numbers)], dtype=int)
    return chosen if len(chosen) else np.arange(len(numbers))
