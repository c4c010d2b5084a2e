"""Whether a campaign can ever show what its convergence asks for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from sparc_fw.campaign import Campaign
from sparc_fw.errors import InputError, named
from sparc_fw.explorers.base import ExplorerOptions
from sparc_fw.explorers.bias import Bias, Steered, atoms_of
from sparc_fw.explorers.md import MDOptions
from sparc_fw.explorers.phase_options import PhasesOptions
from sparc_fw.explorers.windows import free_umbrellas
from sparc_fw.geometry.files import Files
from sparc_fw.selectors.goals import EnergyDifference, FromExplorer, PairDistances, PullingWork, Reach


def check_goals(campaign: Campaign, structures: Mapping[str, Atoms], files: Files) -> None:
    """Check reach and observables against systems and explorers.

    Raises
    ------
    InputError
        Names the key, what was found and what is expected.
    """
    for place, reach in enumerate(campaign.convergence.reach):
        with named(f"convergence.reach[{place}]"):
            _check_reach(reach, _structure(campaign, reach.system, structures))
    for place, observable in enumerate(campaign.convergence.observables):
        with named(f"convergence.observables[{place}]"):
            if isinstance(observable, FromExplorer):
                _check_source(campaign, observable)
            elif isinstance(observable, PairDistances):
                _check_elements(campaign, observable, _structure(campaign, observable.system, structures))
            else:
                _check_ends(observable, files, _structure(campaign, observable.system, structures))


def _structure(campaign: Campaign, system: str | None, structures: Mapping[str, Atoms]) -> Atoms:
    if system is None and len(campaign.systems) > 1:
        raise InputError(f"system: found none, expected one of {', '.join(structures)}")
    return structures[campaign.system(system).name]


def _check_reach(reach: Reach, structure: Atoms) -> None:
    last = max(atoms_of(reach.cv))
    if last >= len(structure):
        raise InputError(f"cv: found atom {last}, but the structure has {len(structure)} atoms, counted from 0")


def _check_elements(campaign: Campaign, observable: PairDistances, structure: Atoms) -> None:
    for element in observable.elements:
        if element not in atomic_numbers:
            raise InputError(f"elements: found {element!r}, expected chemical symbols")
        # Phases build what they explore.
        built = any(isinstance(explorer, PhasesOptions) for explorer in campaign.explorer)
        if not built and element not in structure.symbols:
            found = ", ".join(sorted(set(structure.symbols)))
            raise InputError(f"elements: found {element!r}, but the structure has only {found}")


def _check_ends(observable: EnergyDifference, files: Files, structure: Atoms) -> None:
    first, second = (files.frames(path, "-1")[0] for path in observable.of)
    if not np.array_equal(np.sort(first.numbers), np.sort(second.numbers)):
        raise InputError(
            f"of: found {first.get_chemical_formula()} in {observable.of[0]} and {second.get_chemical_formula()} in "
            f"{observable.of[1]}, expected two structures of the same atoms"
        )
    unknown = sorted(set(first.symbols) - set(structure.symbols))
    if unknown:
        raise InputError(f"of: found {unknown[0]} in {observable.of[0]}, which the system's structure does not have")


def _check_source(campaign: Campaign, observable: FromExplorer) -> None:
    pulls = isinstance(observable, PullingWork)
    sources = [
        explorer.title
        for explorer in campaign.explorer
        if observable.explorer in (None, explorer.title)
        and (observable.system is None or explorer.explores(observable.system))
        and (_pulls(explorer) if pulls else _has_windows(explorer))
    ]
    if not sources:
        what = "steered bias" if pulls else "umbrella windows"
        of = "explorer" if observable.explorer is None else f"explorer {observable.explorer!r}"
        where = "" if observable.system is None else f" of system {observable.system!r}"
        raise InputError(
            f"found no {what} in {of}{where}, expected what shows it: without, nothing would ever converge"
        )


def _has_windows(explorer: ExplorerOptions) -> bool:
    return isinstance(explorer, MDOptions) and explorer.windows is not None and bool(free_umbrellas(explorer.bias))


def _pulls(explorer: ExplorerOptions) -> bool:
    biases: list[Bias] = []
    if isinstance(explorer, PhasesOptions):
        biases = [bias for phase in explorer.phases for bias in phase.bias]
    elif isinstance(explorer, MDOptions):
        biases = list(explorer.bias)
    return any(isinstance(bias, Steered) for bias in biases)
