"""What the observables that a campaign names were in an iteration, from its explorations and its models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sparc_fw.biased_runs import PullsFound, WindowsFound
from sparc_fw.campaign import Campaign
from sparc_fw.documents import Report
from sparc_fw.free_energy import Curve
from sparc_fw.selectors.goals import (
    EnergyDifference,
    FreeEnergyProfile,
    FromExplorer,
    Observable,
    PairDistances,
    ProfileBarrier,
)
from sparc_fw.selectors.observables import Change, Observed, change, pair_distances_of, reached, sound_runs
from sparc_fw.trajectories import Exploration


@dataclass(frozen=True)
class Seen:
    """What an iteration offers to look at.

    Attributes
    ----------
    biased : sequence
        What its biased runs gave.
    failed : mapping of int to ndarray of bool, shape (n_frames,)
        Which frames of a replica failed.
    report : Report or None
        Its models' errors, and the energy differences that they predict.
    """

    biased: Sequence[WindowsFound | PullsFound]
    explorations: Sequence[Exploration]
    failed: Mapping[int, np.ndarray]
    report: Report | None


def observe(campaign: Campaign, seen: Seen) -> dict[str, Observed]:
    """Every observable that the iteration shows, by its key ``observables[0]: name``."""
    found = {}
    for place, observable in enumerate(campaign.convergence.observables):
        for each in _observed(campaign, observable, place, seen):
            found[f"observables[{place}]: {each.name}"] = each
    return found


def changes(campaign: Campaign, before: Mapping[str, Observed], now: Mapping[str, Observed]) -> list[Change]:
    """How far every observable moved since the iteration before; one that was not seen has not settled."""
    told = []
    for place, observable in enumerate(campaign.convergence.observables):
        tolerance = observable.tolerance if isinstance(observable, PairDistances) else observable.tolerance_eV
        mine, old = (
            {key: each for key, each in seen.items() if key.startswith(f"observables[{place}]: ")}
            for seen in (now, before)
        )
        told += [Change(f"{old[key].name} is no longer seen", False) for key in old if key not in mine]
        if not mine:
            told.append(Change(f"convergence.observables[{place}] ({observable.kind}): nothing was seen of it", False))
        told += [change(before.get(key), each, tolerance) for key, each in mine.items()]
    return told


def unreached(campaign: Campaign, seen: Seen) -> list[str]:
    """A clause for every range of a variable that was not covered."""
    return [
        clause
        for goal in campaign.convergence.reach
        if (clause := reached(goal, sound_runs(seen.explorations, seen.failed, campaign.system(goal.system).name)))
    ]


def _observed(campaign: Campaign, observable: Observable, place: int, seen: Seen) -> list[Observed]:
    if isinstance(observable, EnergyDifference):
        return _differences(observable, place, seen.report)
    if isinstance(observable, PairDistances):
        runs = sound_runs(seen.explorations, seen.failed, campaign.system(observable.system).name)
        found = pair_distances_of(observable, runs) if runs else None
        return [] if found is None else [found]
    mine = [each for each in seen.biased if _asked(observable, each)]
    if isinstance(observable, FreeEnergyProfile | ProfileBarrier):
        return [
            _of_curve(observable, f"{each.place.explorer} of {each.place.system}, {variable}", curve)
            for each in mine
            if isinstance(each, WindowsFound) and each.result is not None
            for variable, curve in zip(each.place.variables, each.result.curves, strict=False)
        ]
    return [found for each in mine if isinstance(each, PullsFound) for found in _of_pulls(each)]


def _asked(observable: FromExplorer, found: WindowsFound | PullsFound) -> bool:
    # A phase that pulls is called by its explorer and its own name.
    explorer = found.place.explorer.partition(", phase ")[0]
    return observable.explorer in (None, explorer) and observable.system in (None, found.place.system)


def _of_curve(observable: FreeEnergyProfile | ProfileBarrier, name: str, curve: Curve) -> Observed:
    if isinstance(observable, FreeEnergyProfile):
        columns = (curve.at.tolist(), curve.energy.tolist(), curve.error.tolist())
        return Observed(f"free energy ({name})", "eV", *columns, level=True)
    # No barrier that stands out is a height of 0, as well known as the curve is.
    _, height, error = curve.barrier or (0.0, 0.0, float(curve.error.max()))
    return Observed(f"barrier ({name})", "eV", [0.0], [height], [error])


def _of_pulls(found: PullsFound) -> Iterator[Observed]:
    """The highest work by velocity, at each temperature."""
    for kelvin in sorted({barrier.kelvin for barrier in found.barriers}):
        ordered = sorted((each for each in found.barriers if each.kelvin == kelvin), key=lambda each: each.per_ps)
        errors = [0.0 if each.spread is None else float(each.spread / np.sqrt(each.runs)) for each in ordered]
        where = f"{found.place.explorer} of {found.place.system}, {found.place.variables[0]}, {kelvin:g} K"
        heights = [each.height for each in ordered]
        yield Observed(f"highest work ({where})", "eV", [each.per_ps for each in ordered], heights, errors)


def _differences(observable: EnergyDifference, place: int, report: Report | None) -> list[Observed]:
    values = [] if report is None else [member["differences"][str(place)] for member in report.members]
    if not values:
        return []
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else 0.0
    name = f"energy of {observable.of[1]} above {observable.of[0]}"
    return [Observed(name, "eV", [0.0], [float(np.mean(values))], [error])]
