"""The exploration of a SPARC run as an explorer of a campaign."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ase.units import fs

from sparc_fw.errors import InputError
from sparc_fw.sparc_options import INPUT, DistanceMetric, Dynamics, Exploration, NotCarried, SparcOptions

PLUMED = "plumed.dat"
HEAT_BATHS = {"nose": "nose_hoover", "langevin": "langevin"}
"""SPARC's, by how their names begin, and ours."""


def explorer_section(options: SparcOptions, biased: bool, cell: bool) -> tuple[dict[str, Any], list[NotCarried]]:
    """Dynamics as long as they really were, by ASE where PLUMED biases them.

    SPARC multiplies its time step by ASE's femtosecond twice, so that "1 fs" runs at 0.098 fs. The campaign takes the
    step that was stated, and the time that was really simulated.

    Parameters
    ----------
    cell : bool
        Whether the structure has three cell vectors.
    """
    setup = options.deepmd_setup
    stated, every = setup.timestep_fs, setup.log_frequency
    ensemble, lost = _ensemble(options.md_simulation, cell)
    explorer: dict[str, Any] = {
        **({"kind": "ase_md", "plumed_file": PLUMED} if biased else {"kind": "lammps"}),
        "ensemble": ensemble,
        "replicas": setup.multiple_run,
        "temperature_K": [options.md_simulation.temperature],
        "timestep_fs": stated,
        "frame_every_fs": round(max(every * stated * fs, stated), 3),
    }
    if options.distance_metrics:
        explorer["distances"] = [_bound(metric) for metric in options.distance_metrics]
    if setup.md_steps:
        simulated = max(setup.md_steps * stated * fs, explorer["frame_every_fs"])
        explorer["duration_ps"] = [round(simulated / 1000, 6)]
    else:
        why = "a campaign explores in every iteration: 'duration_ps' keeps its default"
        lost.append(NotCarried(f"{INPUT}: deepmd_setup.md_steps", "0", why))
    return explorer, [*lost, _timing(setup, explorer["frame_every_fs"], biased)]


def _timing(setup: Exploration, frame_every_fs: float, biased: bool) -> NotCarried:
    stated, steps = setup.timestep_fs, setup.md_steps
    real = stated * fs
    why = (
        f"SPARC converts its time step to ASE's units twice: {stated:g} fs ran at {real:.4f} fs. The campaign takes "
        f"steps of {stated:g} fs as stated, but the time that was simulated, {steps * real / 1000:.1f} ps "
        f"({steps} steps, which would be {steps * stated / 1000:g} ps as stated), and a frame every "
        f"{frame_every_fs:g} fs (every {setup.log_frequency} steps)"
    )
    if biased:
        why += f". PACE and STRIDE in {PLUMED} count steps, of which each now lasts {1 / fs:.1f} times as long"
    return NotCarried(f"{INPUT}: deepmd_setup.timestep_fs", f"{stated:g} fs", why)


def _ensemble(dynamics: Dynamics, cell: bool) -> tuple[str, list[NotCarried]]:
    """The explorer's ensemble, and what of the run's it is not."""
    ensemble, thermostat = f"{INPUT}: md_simulation.ensemble", f"{INPUT}: md_simulation.thermostat"
    name = dynamics.thermostat.type
    bath = next((ours for theirs, ours in HEAT_BATHS.items() if name.lower().startswith(theirs)), None)
    lost: list[NotCarried] = []
    if dynamics.ensemble == "NVE":
        if "thermostat" in dynamics.model_fields_set:
            lost.append(NotCarried(thermostat, name, "at constant energy ('nve') there is no heat bath"))
        return "nve", lost
    if bath is None:
        bath = "langevin"
        why = f"no explorer has such a heat bath: the campaign takes {bath!r}; nose_hoover and bussi are others"
        lost.append(NotCarried(thermostat, name, why))
    if dynamics.ensemble == "NVT":
        return bath, lost
    if not cell:
        why = f"a structure without a cell has no pressure: the campaign takes {bath!r}"
        return bath, [*lost, NotCarried(ensemble, "NPT", why)]
    why = (
        "carried over as 'npt' at 'pressure_GPa' 0, which SPARC states nowhere: set it. For a molecule in an empty box "
        f"take {bath!r}: its box would find no size"
    )
    if bath != "nose_hoover":
        lost.append(NotCarried(thermostat, name, "'npt' brings a heat bath of its own, a chain of Nosé and Hoover"))
    return "npt", [*lost, NotCarried(ensemble, "NPT", why)]


def plumed_texts(folder: Path, setup: Exploration) -> dict[str, str]:
    """The text of the PLUMED file that biased the exploration, by the name that it gets; empty where none did."""
    if not setup.use_plumed:
        return {}
    path = folder / setup.plumed_file
    try:
        return {PLUMED: path.read_text()}
    except OSError as error:
        raise InputError(f"{path}: deepmd_setup.plumed_file cannot be read: {error.strerror}") from error


def _bound(metric: DistanceMetric) -> dict[str, Any]:
    """A bound that ends a run there, too; atoms are counted from 0 in both."""
    bound = {"atoms": list(metric.pair), "min_A": metric.min_distance, "max_A": metric.max_distance}
    return {key: value for key, value in bound.items() if value is not None}
