"""What the biased runs of a campaign tell together: free energies of umbrella windows, barriers of steered runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparc_fw.campaign import Campaign
from sparc_fw.explorers.base import by_place
from sparc_fw.explorers.bias import Bias, Steered, Umbrella
from sparc_fw.explorers.md import MDOptions
from sparc_fw.explorers.phase_options import PhasesOptions
from sparc_fw.explorers.variables import UNITS, name_of
from sparc_fw.explorers.windows import described, free_umbrellas
from sparc_fw.free_energy import FreeEnergy, Window, free_energy
from sparc_fw.store import Store
from sparc_fw.trajectories import Exploration, Trajectory
from sparc_fw.work_profiles import Barrier, Pull, barriers

LEAST_VALUES = 20
"""A run with fewer values of its variable says nothing of how independent they are."""


@dataclass(frozen=True)
class Place:
    """Whose runs were looked at.

    Attributes
    ----------
    variables, units : list of str
        The collective variables in words, atoms counted from 0, and their units.
    driver : str
        What drove the dynamics: the kind of a driver, or ``"committee"`` for its first member.
    """

    iteration: int
    explorer: str
    system: str
    variables: list[str]
    units: list[str]
    driver: str

    def sentence_begin(self) -> str:
        """The first words of what is told of it."""
        driven = "" if self.driver == "committee" else f", driven by {self.driver}"
        return f"Iteration {self.iteration}, explorer {self.explorer}, {self.system}{driven}"

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return dict(vars(self))


@dataclass(frozen=True)
class WindowsFound:
    """The windows of an iteration and what they give.

    Attributes
    ----------
    left_out : list of str
        Runs that the free energy does not use, and why.
    result : FreeEnergy or None
        None where fewer than two windows are left.
    """

    place: Place
    kelvin: float
    left_out: list[str]
    result: FreeEnergy | None


@dataclass(frozen=True)
class PullsFound:
    """The steered runs of an iteration and their barriers, the slowest first."""

    place: Place
    barriers: list[Barrier]


def biased_runs(store: Store, campaign: Campaign, iterations: int) -> list[WindowsFound | PullsFound]:
    """Free energies and barriers of every iteration whose biased runs are all there, in order."""
    return [found for iteration in range(iterations) for found in biased_runs_of(store, campaign, iteration)]


def biased_runs_of(store: Store, campaign: Campaign, iteration: int) -> list[WindowsFound | PullsFound]:
    """Free energies and barriers of one iteration, of those whose runs are all there."""
    found: list[WindowsFound | PullsFound] = []
    for (index, system), replicas in _groups(campaign).items():
        options = campaign.explorer[index].at(iteration)
        if isinstance(options, PhasesOptions):
            found += _phase_pulls(store, campaign.name, options, system, iteration, replicas)
        if not isinstance(options, MDOptions):
            continue
        umbrellas = free_umbrellas(options.bias) if options.windows is not None else []
        steered = _steered(options.bias)
        if not umbrellas and not steered:
            continue
        explorations = _runs(store, campaign.name, iteration, replicas)
        if explorations is None:
            continue
        runs = [exploration.trajectories[-1] for exploration in explorations]
        place = _place(options, system, iteration, umbrellas or steered[:1])
        kelvins = [by_place(options.temperature_K, number) for number in range(len(runs))]
        found.append(_windows(place, options, runs) if umbrellas else _pulls(place, options.bias, kelvins, runs))
    return found


def _steered(biases: Sequence[Bias]) -> list[int]:
    """Which of them pull."""
    return [number for number, bias in enumerate(biases) if isinstance(bias, Steered)]


def _phase_pulls(
    store: Store, campaign_id: str, options: PhasesOptions, system: str, iteration: int, replicas: Sequence[int]
) -> list[PullsFound]:
    """The steered phases of an iteration, each as if it were an explorer of its own."""
    phases = [phase for phase in options.phases if _steered(phase.bias)]
    explorations = _runs(store, campaign_id, iteration, replicas) if phases else None
    if explorations is None:
        return []
    found = []
    for phase in phases:
        runs = [part for each in explorations for part in each.trajectories if part.name == phase.name]
        first = phase.bias[_steered(phase.bias)[0]].cv
        driver = phase.driver.kind if phase.driver is not None and phase.driven(iteration) else "committee"
        title = f"{options.title}, phase {phase.name}"
        place = Place(iteration, title, system, [name_of(first)], [UNITS[first.kind]], driver)
        found.append(_pulls(place, phase.bias, [phase.timed[0].kelvin(0)] * len(runs), runs))
    return found


def _groups(campaign: Campaign) -> dict[tuple[int, str], list[int]]:
    """The replicas of each explorer and system."""
    groups: dict[tuple[int, str], list[int]] = {}
    for replica, (index, system, _) in enumerate(campaign.runs()):
        groups.setdefault((index, system), []).append(replica)
    return groups


def _runs(store: Store, campaign_id: str, iteration: int, replicas: Sequence[int]) -> list[Exploration] | None:
    """Every run, or None where one is missing."""
    found = []
    for replica in replicas:
        exploration = store.exploration(campaign_id, iteration, replica)
        if exploration is None:
            return None
        found.append(exploration)
    return found


def _place(options: MDOptions, system: str, iteration: int, biases: Sequence[int]) -> Place:
    driver = getattr(options, "driver", None)
    driven = driver is not None and iteration < getattr(options, "driver_iterations", 0)
    variables = [options.bias[number].cv for number in biases]
    return Place(
        iteration,
        options.title,
        system,
        [name_of(cv) for cv in variables],
        [UNITS[cv.kind] for cv in variables],
        driver.kind if driven and driver is not None else "committee",
    )


def _windows(place: Place, options: MDOptions, runs: Sequence[Trajectory]) -> WindowsFound:
    free, kelvin = free_umbrellas(options.bias), options.temperature_K[0]
    others = [number for number in range(len(options.bias)) if number not in free]
    umbrellas: list[Umbrella] = [bias for number in free if isinstance(bias := options.bias[number], Umbrella)]
    assert options.windows is not None
    places = options.windows.places()
    values: dict[tuple[float, ...], list[tuple[np.ndarray, np.ndarray]]] = {}
    left_out = []
    for number, run in enumerate(runs):
        centres, series = places[number % len(places)], run.series
        count = len(series.get("bias_time_fs", ()))
        if run.ended != "completed" or count < LEAST_VALUES:
            why = run.ended if run.ended != "completed" else f"it has {count} values of its variable"
            left_out.append(f"a run of window {described(centres)}: {why}")
            continue
        walls = np.sum([series[f"bias{n}_eV"] for n in others], axis=0) + np.zeros(count)
        values.setdefault(centres, []).append((np.column_stack([series[f"cv{n}"] for n in free]), walls))
    windows = [Window(centres, [v for v, _ in parts], [w for _, w in parts]) for centres, parts in values.items()]
    result = free_energy(windows, umbrellas, kelvin) if len(windows) > 1 else None
    return WindowsFound(place, kelvin, left_out, result)


def _pulls(place: Place, biases: Sequence[Bias], kelvins: Sequence[float], runs: Sequence[Trajectory]) -> PullsFound:
    steered = _steered(biases)
    first = biases[steered[0]]
    assert isinstance(first, Steered)
    pulls = []
    for number, (run, kelvin) in enumerate(zip(runs, kelvins, strict=True)):
        # What was written after a run had left its bounds is no pull any more.
        kept = run.series.get("bias_time_fs", np.zeros(0)) <= run.survived_fs + 1e-6
        if not kept.any():
            continue
        centre = run.series[f"centre{steered[0]}"][kept]
        work = np.sum([run.series[f"work{n}_eV"] for n in steered], axis=0)[kept]
        pulls.append(Pull(first.velocity(number), kelvin, centre, work, run.ended))
    return PullsFound(place, barriers(pulls))


def as_dicts(found: Sequence[WindowsFound | PullsFound]) -> Iterator[dict[str, Any]]:
    """Plain JSON-able values: eV, Å, degrees."""
    for each in found:
        if isinstance(each, WindowsFound):
            yield {"kind": "windows", **each.place.as_dict(), "kelvin": each.kelvin, **_windows_dict(each)}
        else:
            yield {"kind": "steered", **each.place.as_dict(), "barriers": [_barrier_dict(b) for b in each.barriers]}


def _windows_dict(found: WindowsFound) -> dict[str, Any]:
    result = found.result
    if result is None:
        return {"left_out": found.left_out, "problem": "fewer than two windows are left", "curves": []}
    return {
        "left_out": found.left_out,
        "problem": result.problem,
        "centres": [list(centres) for centres in result.centres],
        "independent_samples": result.samples,
        "overlap": result.overlap.tolist() if np.isfinite(result.overlap).all() else None,
        "curves": [
            {
                "at": curve.at.tolist(),
                "energy_eV": curve.energy.tolist(),
                "error_eV": curve.error.tolist(),
                "barrier": None
                if curve.barrier is None
                else dict(zip(("at", "height_eV", "error_eV"), curve.barrier, strict=True)),
            }
            for curve in result.curves
        ],
    }


def _barrier_dict(barrier: Barrier) -> dict[str, Any]:
    values = {key: value for key, value in vars(barrier).items() if not isinstance(value, np.ndarray)}
    values.pop("free_energy", None)
    values.pop("error", None)
    return values | {
        "jarzynski_eV": None if (highest := barrier.jarzynski) is None else highest[0],
        "jarzynski_error_eV": None if highest is None else highest[1],
        "centre": barrier.centre.tolist(),
        "mean_work_eV": barrier.mean.tolist(),
        "free_energy_eV": None if barrier.free_energy is None else barrier.free_energy.tolist(),
    }
