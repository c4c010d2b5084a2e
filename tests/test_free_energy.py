"""Free energies of windows whose samples come from distributions that are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ase import units
from scipy.stats import norm

from sparc_fw.explorers.bias import Umbrella
from sparc_fw.free_energy import Window, free_energy

KELVIN = 300.0
KT = units.kB * KELVIN
GRID = np.linspace(-4.0, 4.0, 40001)
Energy = Callable[[np.ndarray], np.ndarray]


def umbrella(stiffness: float, kind: str = "difference") -> Umbrella:
    """One whose variable may be anything."""
    atoms = {"difference": {"atoms": [0, 1], "minus": [1, 2]}, "dihedral": {"atoms": [0, 1, 2, 3]}}[kind]
    return Umbrella.model_validate({"kind": "umbrella", "cv": {"kind": kind} | atoms, "stiffness": stiffness})


def double_well(x: np.ndarray) -> np.ndarray:
    """Minima at -1 and 1, 0.4 eV below what is between them, the second one 0.1 eV deeper."""
    return 0.4 * (x**2 - 1) ** 2 - 0.05 * x


def samples(
    energy: Energy, rng: np.random.Generator, count: int = 1500, memory: float = 0.8, grid: np.ndarray = GRID
) -> np.ndarray:
    """A series with the canonical distribution in which each value remembers the one before; shape (count, 1)."""
    steps = rng.normal(size=count)
    walk = np.empty(count)
    walk[0] = steps[0]
    for k in range(1, count):
        walk[k] = memory * walk[k - 1] + np.sqrt(1 - memory**2) * steps[k]
    weights = np.exp(-(energy(grid) - energy(grid).min()) / KT)
    return np.asarray(np.interp(norm.cdf(walk), np.cumsum(weights) / weights.sum(), grid))[:, None]


def window(centre: float, stiffness: float, energy: Energy, seed: int, **more: float) -> Window:
    rng = np.random.default_rng((seed, int(1000 * centre) + 10_000))
    held = samples(lambda x: energy(x) + 0.5 * stiffness * (x - centre) ** 2, rng, **more)  # type: ignore[arg-type]
    return Window((centre,), [held], [np.zeros(len(held))])


def test_double_well_within_its_error_bars() -> None:
    off: list[float] = []
    for seed in range(3):
        windows = [window(float(c), 5.0, double_well, seed) for c in np.linspace(-1.5, 1.5, 16)]
        found = free_energy(windows, [umbrella(5.0)], KELVIN)
        assert found.problem is None
        # Each value remembers 0.8 of the one before: (1 + 0.8) / (1 - 0.8) = 9 of them are one independent sample.
        assert np.median(found.samples) == pytest.approx(1500 / 9, rel=0.35)
        [curve] = found.curves
        exact = double_well(curve.at)
        lowest = int(curve.energy.argmin())
        off += list((curve.energy - exact + exact[lowest])[curve.error > 0] / curve.error[curve.error > 0])
        assert curve.error.max() < 0.05
        assert curve.barrier is not None
        at, height, error = curve.barrier
        assert at == pytest.approx(0.03, abs=0.15)
        assert height == pytest.approx(0.45, abs=3 * error)
    # All points of a curve share the error of its lowest one.
    assert np.mean(np.abs(off) < 2) > 0.85
    assert np.abs(off).max() < 4.5
    assert np.abs(off).mean() > 0.3, "the error bars are not far too wide either"


def test_walls_are_no_part_of_the_free_energy() -> None:
    def walled(x: np.ndarray) -> np.ndarray:
        return np.asarray(2.0 * np.clip(x - 0.4, 0, None) ** 2)

    windows = []
    for centre in np.linspace(-0.8, 0.8, 9):
        [held] = window(float(centre), 8.0, walled, 1, memory=0.0).runs
        windows.append(Window((float(centre),), [held], [walled(held[:, 0])]))
    [curve] = free_energy(windows, [umbrella(8.0)], KELVIN).curves
    inside = np.abs(curve.at) < 0.8
    assert np.ptp(curve.energy[inside]) < 0.02, "free of the wall, it is flat"


def test_windows_that_do_not_overlap_are_named() -> None:
    windows = [window(c, 40.0, double_well, 1) for c in (1.3, -1.0, 1.2, -1.1)]
    found = free_energy(windows, [umbrella(40.0)], KELVIN)
    assert found.curves == []
    assert found.problem is not None
    assert found.problem.startswith("there is next to no overlap between windows -1 and 1.2, so that nothing tells")
    assert found.overlap[0, 1] > 0.03 > 1e-6 > found.overlap[1, 2]


def test_samples_that_give_no_curve_are_told() -> None:
    """Two short runs that only drift: next to nothing of them is independent."""
    drift = np.linspace(0.0, 0.1, 30)[:, None]
    found = free_energy([Window((c,), [drift], [np.zeros(30)]) for c in (0.0, 0.05)], [umbrella(100.0)], KELVIN)
    assert found.curves == []
    assert found.problem == f"{sum(found.samples)} independent samples are too few for a curve: run longer"


def test_two_umbrellas_give_a_curve_for_each_variable() -> None:
    rng = np.random.default_rng(3)
    windows = []
    for first in (-0.15, 0.0, 0.15):
        for second in (-0.15, 0.0, 0.15):
            columns = [
                samples(lambda x, c=c, k=k: 0.5 * k * x**2 + 4.0 * (x - c) ** 2, rng, memory=0.0)  # type: ignore[misc]
                for c, k in ((first, 2.0), (second, 6.0))
            ]
            windows.append(Window((first, second), [np.hstack(columns)], [np.zeros(1500)]))
    found = free_energy(windows, [umbrella(8.0), umbrella(8.0)], KELVIN)
    assert found.problem is None
    for curve, stiffness in zip(found.curves, (2.0, 6.0), strict=True):
        inside = np.abs(curve.at) < 0.2
        fitted = np.polyfit(curve.at[inside], curve.energy[inside], 2)[0]
        assert fitted == pytest.approx(stiffness / 2, rel=0.1)


def test_a_dihedral_goes_round() -> None:
    """Windows all round on a cosine: the one at 180 degrees sees both -180 and 180."""
    rng = np.random.default_rng(4)
    stiffness, windows = 2e-4, []
    for centre in range(-180, 180, 30):
        around = np.linspace(centre - 180.0, centre + 180.0, 40001)
        held = samples(
            lambda x, c=centre: 0.1 * np.cos(np.radians(x)) + 0.5 * stiffness * (x - c) ** 2,  # type: ignore[misc]
            rng,
            memory=0.0,
            grid=around,
        )
        windows.append(Window((float(centre),), [(held + 180) % 360 - 180], [np.zeros(len(held))]))
    [curve] = free_energy(windows, [umbrella(stiffness, "dihedral")], KELVIN).curves
    exact = 0.1 * np.cos(np.radians(curve.at))
    assert curve.at.max() > 170 > -170 > curve.at.min()
    assert np.abs(curve.energy - (exact - exact.min())).max() < 0.02


def test_runs_of_one_window_count_together_and_their_beginnings_do_not() -> None:
    windows = []
    for centre in (-0.2, 0.0, 0.2):
        parts = [window(centre, 8.0, np.zeros_like, seed, memory=0.0).runs[0] for seed in (1, 2)]
        # The second run comes from far away.
        parts[1][:100, 0] = np.linspace(3.0, centre, 100)
        windows.append(Window((centre,), parts, [np.zeros(len(part)) for part in parts]))
    found = free_energy(windows, [umbrella(8.0)], KELVIN)
    assert len(found.samples) == 3
    assert all(2000 < count < 2950 for count in found.samples)
    [curve] = found.curves
    assert curve.at.max() < 1.0, "what was on its way there is not in the curve"
    assert np.ptp(curve.energy[np.abs(curve.at) < 0.2]) < 0.01
