"""Start frames from dynamics with a cheap driver, or with the labeler."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, CalculatorError
from ase.md.langevin import Langevin

from sparc_fw.child_process import end_with_parent
from sparc_fw.errors import StageFailed
from sparc_fw.explorers.bias_plumed import plumed_text
from sparc_fw.explorers.plumed import biased, input_lines, let_go, working_in
from sparc_fw.geometry.confinement import SoftSphere
from sparc_fw.geometry.descriptor import sorted_distances
from sparc_fw.geometry.isolation import nearest_neighbours
from sparc_fw.geometry.overlap import overlapping
from sparc_fw.geometry.sources import DynamicsSource
from sparc_fw.labelers.base import charge_and_spin
from sparc_fw.seeds import derive_seed
from sparc_fw.selectors.diversity import farthest_points


@dataclass(frozen=True)
class Run:
    """One run of the driver: where it starts and how hot, and which one it is."""

    start: Atoms
    temperature_K: float
    seed: int
    place: str
    number: int = 0


@dataclass(frozen=True)
class Samples:
    """What the driver said along one run, or several.

    Attributes
    ----------
    positions, forces : ndarray of shape (n_samples, n_atoms, 3)
        Å, and eV/Å without sphere and bias.
    energies : ndarray of shape (n_samples,)
        eV, without them.
    ended : str
        Why a run ended early; empty where it did not.
    """

    positions: np.ndarray
    forces: np.ndarray
    energies: np.ndarray
    ended: str = ""


def dynamics_frames(
    starts: list[Atoms],
    source: DynamicsSource,
    driver: Calculator,
    seed: int,
    processes: int = 1,
    progress: Callable[[int], None] | None = None,
) -> tuple[list[Atoms], Counter[str]]:
    """Run every start at every temperature and choose among all frames.

    Parameters
    ----------
    starts : list of Atoms
        Of one composition.
    driver : Calculator
        Reset before each run, so that no run depends on the one before it. It is asked once for each step of a run, and
        for its start.
    seed : int
        Each run's own seed derives from it and from the run's place.
    processes : int
        Runs side by side, each with a copy of the driver; the frames do not depend on it. A driver that cannot be
        copied takes one.
    progress : callable, optional
        Told after each run how many calculations it was to take.

    Returns
    -------
    frames : list of Atoms
        In the order of choice.
    dropped : Counter
        Frames that were lost, by reason: ``driver_failed``, ``overlap``, ``apart``, ``force_cap``,
        ``energy_cap``.

    Raises
    ------
    StageFailed
        If no frame is left to choose from.
    """
    dropped: Counter[str] = Counter()
    parts = []
    failure = ""
    runs = [
        Run(start, temperature, derive_seed(seed, at, rank), f"from start {at} at {temperature:g} K", number)
        for number, ((at, start), (rank, temperature)) in enumerate(
            product(enumerate(starts), enumerate(source.temperature_K))
        )
    ]
    for run, samples in zip(runs, _all_samples(runs, source, driver, processes), strict=True):
        if samples.ended:
            failure = f"{run.place}: {samples.ended}"
            dropped["driver_failed"] += source.samples - len(samples.positions)
        parts.append(samples)
        if progress is not None:
            progress(source.calculations_per_run)
    samples = Samples(
        positions=np.concatenate([part.positions for part in parts]),
        forces=np.concatenate([part.forces for part in parts]),
        energies=np.concatenate([part.energies for part in parts]),
    )
    pool = samples.positions[_usable(starts[0], samples, source, dropped)]
    if not len(pool):
        named = "the labeler" if source.driver is None else source.driver.kind
        raise StageFailed(f"dynamics: no frame is left of {len(parts)} run(s) with {named}: {dict(dropped)}; {failure}")
    return [_moved(starts[0], pool[row]) for row in _choose(starts[0], pool, source)], dropped


def _all_samples(runs: list[Run], source: DynamicsSource, driver: Calculator, processes: int) -> Iterator[Samples]:
    """What `_sample` gives for each run, in order and as soon as it is there, several at a time."""
    if min(processes, len(runs)) == 1:
        yield from (_sample(run, source, driver) for run in runs)
        return
    # Not forked: the caller may hold threads and connections.
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=end_with_parent) as pool:
        yield from pool.map(partial(_sample, source=source, driver=driver), runs)


def _sample(run: Run, source: DynamicsSource, driver: Calculator) -> Samples:
    """Run Langevin dynamics and keep what the driver says along the way."""
    atoms = run.start.copy()
    driver.reset()
    with _driving(atoms, run, source, driver):
        return _follow(atoms, _langevin(atoms, run, source), run, source, driver)


@contextmanager
def _driving(atoms: Atoms, run: Run, source: DynamicsSource, driver: Calculator) -> Iterator[None]:
    """Let the driver, with the bias if there is one, move the atoms while the context lasts."""
    if not source.bias:
        atoms.calc = driver
        yield
        return
    lines = bias_lines(source, run.number)
    with TemporaryDirectory() as folder, working_in(Path(folder)):
        atoms.calc = biased(driver, lines, atoms, source.timestep_fs, run.temperature_K)
        try:
            yield
        finally:
            let_go(atoms)


def bias_lines(source: DynamicsSource, number: int) -> list[str]:
    """PLUMED's input for a run, by its number: moving restraints may differ."""
    return input_lines(plumed_text(source.bias, source.timestep_fs, number, source.steps_per_sample))


def _langevin(atoms: Atoms, run: Run, source: DynamicsSource) -> Langevin:
    """The integrator, with first velocities drawn."""
    random = np.random.default_rng(run.seed)
    widths = np.sqrt(atoms.get_masses() * units.kB * run.temperature_K)
    atoms.set_momenta(random.standard_normal((len(atoms), 3)) * widths[:, None])
    return Langevin(
        atoms,
        timestep=source.timestep_fs * units.fs,
        temperature_K=run.temperature_K,
        friction=source.friction_per_ps / (1000 * units.fs),
        fixcm=False,
        rng=random,
    )


def _follow(atoms: Atoms, langevin: Langevin, run: Run, source: DynamicsSource, driver: Calculator) -> Samples:
    places: list[np.ndarray] = []
    forces: list[np.ndarray] = []
    energies: list[float] = []
    ended = ""
    try:
        for sample in range(source.samples):
            _set_phase(langevin, run, source, sample * source.steps_per_sample * source.timestep_fs)
            langevin.run(source.steps_per_sample)
            if not np.isfinite(atoms.positions).all():
                ended = "positions are not finite"
                break
            places.append(atoms.positions.copy())
            # What drives may be more than the driver; of these atoms it has its numbers at hand.
            forces.append(driver.get_forces(atoms))
            energies.append(float(driver.get_potential_energy(atoms)))
    except (CalculatorError, RuntimeError) as error:
        ended = f"{type(error).__name__}: {error}"
    shape = (-1, len(atoms), 3)
    # A failure can come between a frame and its energy.
    count = len(energies)
    return Samples(
        np.array(places[:count]).reshape(shape), np.array(forces[:count]).reshape(shape), np.array(energies), ended
    )


def _set_phase(langevin: Langevin, run: Run, source: DynamicsSource, time_fs: float) -> None:
    """Set temperature and confinement for the time that comes."""
    quench = source.quench
    cold = quench is not None and time_fs % (quench.hot_fs + quench.cold_fs) >= quench.hot_fs
    if quench is not None:
        langevin.set_temperature(temperature_K=quench.cold_K if cold else run.temperature_K)
    if source.confine is not None:
        radius = source.confine.radius_A + (quench.wider_A if quench is not None and cold else 0.0)
        langevin.atoms.set_constraint(SoftSphere(source.confine.around, radius, source.confine.stiffness_eV_A2))


def _usable(start: Atoms, samples: Samples, source: DynamicsSource, dropped: Counter[str]) -> np.ndarray:
    """Mask of the frames without overlap, with every atom near another one, bearable forces and a bearable energy."""
    pool = samples.positions
    cells = np.broadcast_to(start.cell.array, (len(pool), 3, 3))
    pbc = tuple(start.pbc)
    overlaps = overlapping(start.numbers, pool, cells, pbc)
    dropped["overlap"] += int(overlaps.sum())
    apart = np.zeros(len(pool), dtype=bool)
    if source.within_A is not None:
        apart = (nearest_neighbours(pool, cells, pbc) > source.within_A).any(axis=1) & ~overlaps
        dropped["apart"] += int(apart.sum())
    steep = np.zeros(len(pool), dtype=bool)
    if source.max_force is not None:
        steep = (np.abs(samples.forces) > source.max_force).any(axis=(1, 2)) & ~(overlaps | apart)
        dropped["force_cap"] += int(steep.sum())
    usable = ~(overlaps | apart | steep)
    if source.energy_window_eV is not None and usable.any():
        high = usable & (samples.energies > samples.energies[usable].min() + source.energy_window_eV)
        dropped["energy_cap"] += int(high.sum())
        usable &= ~high
    return usable


def _choose(start: Atoms, pool: np.ndarray, source: DynamicsSource) -> list[int]:
    if source.frames is None:
        return list(range(len(pool)))
    if source.choose == "even":
        count = min(source.frames, len(pool))
        return [int(row) for row in np.linspace(0, len(pool) - 1, count).round()]
    cells = np.broadcast_to(start.cell.array, (len(pool), 3, 3))
    return farthest_points(sorted_distances(start.numbers, pool, cells, tuple(start.pbc)), source.frames)


def _moved(start: Atoms, places: np.ndarray) -> Atoms:
    charge, spin = charge_and_spin(start)
    info = {**start.info, "charge": charge, "spin": spin}
    return Atoms(start.numbers, places, cell=start.cell, pbc=start.pbc, info=info)
