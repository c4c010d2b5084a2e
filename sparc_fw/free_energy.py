"""Free energy along collective variables from umbrella windows, by MBAR.

M. R. Shirts and J. D. Chodera, J. Chem. Phys. 129 (2008) 124105, whose pymbar does the work.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sparc_fw.explorers.bias import Umbrella
from sparc_fw.explorers.variables import away
from sparc_fw.explorers.windows import described

if TYPE_CHECKING:
    from types import ModuleType

LEAST_OVERLAP = 0.03
"""Entry of the overlap matrix from which on two windows overlap (P. V. Klimovich, M. R. Shirts and D. L. Mobley,
J. Comput.-Aided Mol. Des. 29 (2015) 397)."""
LEAST_SAMPLES = 5
"""A bin with fewer independent samples has no point of the curve: its logarithm would lie too high."""
BINS_PER_WIDTH = 2
"""Bins in the width that an umbrella alone would give a variable, √(kT/k)."""
MOST_BINS = 300
PROMINENCE = 3.0
"""A maximum of the curve is a barrier where it rises above what is on both sides by so many times its error."""


@dataclass(frozen=True)
class Window:
    """What the runs of one window saw.

    Attributes
    ----------
    centres : tuple of float
        Where each umbrella held its variable, in the variable's unit.
    runs : sequence of ndarray of shape (n_values, n_umbrellas)
        Of each run the umbrellas' variables at equal times, in their units.
    walls : sequence of ndarray of shape (n_values,)
        Energy in what acted in all windows alike and is not part of the system, eV.
    """

    centres: tuple[float, ...]
    runs: Sequence[np.ndarray]
    walls: Sequence[np.ndarray]


@dataclass(frozen=True)
class Curve:
    """Free energy along one variable, above its lowest point.

    Attributes
    ----------
    at : ndarray of shape (n_bins,)
        Middles of the bins, in the variable's unit.
    energy, error : ndarray of shape (n_bins,)
        -kT ln p of the variable, and the standard error of its difference from the lowest point, eV. No Jacobian is
        taken away: along a distance of two free atoms, p has a factor r^2.
    barrier : tuple of (float, float, float) or None
        Place, height above the lowest point, and error of the most prominent maximum; None where there is none.
    """

    at: np.ndarray
    energy: np.ndarray
    error: np.ndarray
    barrier: tuple[float, float, float] | None


@dataclass(frozen=True)
class FreeEnergy:
    """What umbrella windows give together.

    Attributes
    ----------
    centres : list of tuple of float
        Of the windows, by their places.
    samples : list of int
        Independent samples of each window.
    overlap : ndarray of shape (n_windows, n_windows)
        MBAR's overlap matrix; NaN where MBAR has no solution.
    problem : str or None
        Why there is no curve, in one sentence.
    curves : list of Curve
        One for each umbrella's variable; none where there is a problem.
    """

    centres: list[tuple[float, ...]]
    samples: list[int]
    overlap: np.ndarray
    problem: str | None
    curves: list[Curve]


def free_energy(windows: Sequence[Window], umbrellas: Sequence[Umbrella], kelvin: float) -> FreeEnergy:
    """Free energy along the variables of umbrellas, without them and without walls.

    What a run saw before it came to equilibrium is left out, and of the rest only what is independent is kept
    (J. D. Chodera, J. Chem. Theory Comput. 12 (2016) 1799).

    Parameters
    ----------
    windows : sequence of Window
        Two or more.
    umbrellas : sequence of Umbrella
        One for each of a window's centres, for their stiffness; their own centres do not matter.
    kelvin : float
        Temperature of all windows, K.
    """
    from ase.units import kB

    pymbar = pymbar_library()
    windows = sorted(windows, key=lambda window: window.centres)
    taken = [_independent(window, pymbar.timeseries) for window in windows]
    values = np.concatenate([part for part, _ in taken])
    walls = np.concatenate([part for _, part in taken])
    counts = [len(part) for part, _ in taken]
    kT = kB * kelvin
    reduced = np.array([(_umbrella_energy(values, window, umbrellas) + walls) / kT for window in windows])
    centres = [window.centres for window in windows]
    overlap = np.full((len(windows), len(windows)), np.nan)
    curves: list[Curve] = []
    try:
        surface = pymbar.FES(reduced, np.array(counts))
        overlap = np.array(surface.get_mbar().compute_overlap()["matrix"])
        problem = _apart(centres, overlap)
        for column, umbrella in enumerate(umbrellas if problem is None else []):
            here = values[:, column]
            curves.append(_curve(surface, here, _edges(here, float(np.sqrt(kT / umbrella.stiffness))), kT))
    except pymbar.utils.ParameterError as error:
        # Its equations have no solution where samples lie far from all centres.
        words = " ".join(str(error).removeprefix("Warning: ").split())
        problem = f"MBAR finds no solution: do the runs stay near the centres of their windows? ({words})"
    except _TooFew:
        problem = f"{len(values)} independent samples are too few for a curve: run longer"
    return FreeEnergy(centres, counts, overlap, problem, curves if problem is None else [])


class _TooFew(Exception):
    """There is no bin, or one only, with samples enough."""


def pymbar_library() -> ModuleType:
    """The library, without its word that it could be faster."""
    logging.getLogger("pymbar").setLevel(logging.ERROR)
    import pymbar

    module: ModuleType = pymbar
    return module


def _independent(window: Window, timeseries: Any) -> tuple[np.ndarray, np.ndarray]:
    """Independent samples of the variables and of the walls' energy, from all runs of a window."""
    values, walls = [], []
    for run, wall in zip(window.runs, window.walls, strict=True):
        nskip = max(1, len(run) // 50)
        # The slowest variable decides.
        found = [timeseries.detect_equilibration(column, nskip=nskip) for column in run.T]
        begin, slowness = max(int(each[0]) for each in found), max(float(each[1]) for each in found)
        kept = begin + np.array(timeseries.subsample_correlated_data(run[begin:, 0], g=slowness), dtype=int)
        values.append(run[kept])
        walls.append(wall[kept])
    return np.concatenate(values), np.concatenate(walls)


def _umbrella_energy(values: np.ndarray, window: Window, umbrellas: Sequence[Umbrella]) -> np.ndarray:
    """Energy of samples in a window's umbrellas, eV; shape (n_samples,)."""
    energy = np.zeros(len(values))
    for column, (umbrella, centre) in enumerate(zip(umbrellas, window.centres, strict=True)):
        energy += 0.5 * umbrella.stiffness * away(umbrella.cv, values[:, column], centre) ** 2
    return energy


def _apart(centres: Sequence[tuple[float, ...]], overlap: np.ndarray) -> str | None:
    """Which windows do not overlap with the others, in one sentence; None where all hang together."""
    from scipy.sparse.csgraph import connected_components

    count, group = connected_components(overlap >= LEAST_OVERLAP, directed=False)
    if count == 1:
        return None
    names = [described(place) for place in centres]
    if len(centres[0]) == 1:
        gaps = [f"{names[k]} and {names[k + 1]}" for k in range(len(names) - 1) if group[k] != group[k + 1]]
        where = "there is next to no overlap between windows " + ", nor between ".join(gaps)
    else:
        parts = [" | ".join(np.array(names)[group == number]) for number in range(count)]
        where = f"{count} groups of windows have next to no overlap with each other: {'; '.join(parts)}"
    return (
        f"{where}, so that nothing tells how much higher one side is than the other; put windows between them, make "
        "the umbrellas softer, or run longer"
    )


def _edges(values: np.ndarray, width: float) -> np.ndarray:
    """Edges of the bins over all samples, each a fraction of `width` wide."""
    low, high = float(values.min()), float(values.max())
    bins = int(np.clip(np.ceil((high - low) / width * BINS_PER_WIDTH), 1, MOST_BINS))
    # The last edge belongs to no bin.
    return np.linspace(low, np.nextafter(high, np.inf), bins + 1)


def _curve(surface: Any, values: np.ndarray, edges: np.ndarray, kT: float) -> Curve:
    """The curve over the bins that have samples enough; errors are of the difference from the lowest of them."""
    surface.generate_fes(np.zeros(len(values)), values, fes_type="histogram", histogram_parameters={"bin_edges": edges})
    middles = 0.5 * (edges[1:] + edges[:-1])
    at = middles[np.histogram(values, edges)[0] >= LEAST_SAMPLES]
    if len(at) < 2:
        raise _TooFew
    lowest = at[int(np.argmin(surface.get_fes(at)["f_i"]))]
    found = surface.get_fes(at, reference_point="from-specified", fes_reference=lowest, uncertainty_method="analytical")
    energy, error = kT * np.asarray(found["f_i"]), kT * np.asarray(found["df_i"])
    return Curve(at, energy, error, _barrier(at, energy, error))


def _barrier(at: np.ndarray, energy: np.ndarray, error: np.ndarray) -> tuple[float, float, float] | None:
    from scipy.signal import find_peaks, peak_prominences

    peaks = find_peaks(energy)[0]
    if not len(peaks):
        return None
    prominences = peak_prominences(energy, peaks)[0]
    best = int(np.argmax(prominences))
    peak = int(peaks[best])
    if prominences[best] < PROMINENCE * max(float(np.median(error)), float(error[peak])):
        return None
    return float(at[peak]), float(energy[peak]), float(error[peak])
