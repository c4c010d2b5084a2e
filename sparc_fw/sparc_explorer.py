"""The exploration of a SPARC run as an explorer of a campaign."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ase.units import fs

from sparc_fw.errors import InputError
from sparc_fw.sparc_options import INPUT, NotCarried, option

PLUMED = "plumed.dat"


def explorer_section(options: Mapping[str, Any], biased: bool) -> tuple[dict[str, Any], list[NotCarried]]:
    """Dynamics as long as they really were, by ASE where PLUMED biases them.

    SPARC multiplies its time step by ASE's femtosecond twice, so that "1 fs" runs at 0.098 fs. The campaign takes the
    step that was stated, and the time that was really simulated.
    """
    stated = float(option(options, "deepmd_setup.timestep_fs", 1.0))
    steps = int(option(options, "deepmd_setup.md_steps", 0))
    every = int(option(options, "deepmd_setup.log_frequency", 1))
    real = stated * fs
    thermostat = str(option(options, "md_simulation.thermostat", "")).lower()
    nve = str(option(options, "md_simulation.ensemble", "NVT")).upper() == "NVE"
    explorer: dict[str, Any] = {
        **({"kind": "ase_md", "plumed_file": PLUMED} if biased else {"kind": "lammps"}),
        "ensemble": "nve" if nve else "nose_hoover" if thermostat.startswith("nose") else "langevin",
        "replicas": option(options, "deepmd_setup.multiple_run", 1),
        "temperature_K": [float(option(options, "md_simulation.temperature", 300))],
        "timestep_fs": stated,
        "frame_every_fs": round(max(every * real, stated), 3),
    }
    bounds = _distance_bounds(options)
    if bounds:
        explorer["distances"] = bounds
    if steps:
        explorer["duration_ps"] = [round(max(steps * real, explorer["frame_every_fs"]) / 1000, 6)]
    why = (
        f"SPARC converts its time step to ASE's units twice: {stated:g} fs ran at {real:.4f} fs. The campaign takes "
        f"steps of {stated:g} fs as stated, but the time that was simulated, {steps * real / 1000:.1f} ps "
        f"({steps} steps, which would be {steps * stated / 1000:g} ps as stated), and a frame every "
        f"{explorer['frame_every_fs']:g} fs (every {every} steps)"
    )
    if biased:
        why += f". PACE and STRIDE in {PLUMED} count steps, of which each now lasts {1 / fs:.1f} times as long"
    return explorer, [NotCarried(f"{INPUT}: deepmd_setup.timestep_fs", f"{stated:g} fs", why)]


def plumed_texts(folder: Path, options: Mapping[str, Any]) -> dict[str, str]:
    """The text of the PLUMED file that biased the exploration, by the name that it gets; empty where none did."""
    if not option(options, "deepmd_setup.use_plumed", False):
        return {}
    path = folder / str(option(options, "deepmd_setup.plumed_file", "plumed.dat"))
    try:
        return {PLUMED: path.read_text()}
    except OSError as error:
        raise InputError(f"{path}: deepmd_setup.plumed_file cannot be read: {error.strerror}") from error


def _distance_bounds(options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """SPARC's ``distance_metrics``, which end a run there, too; atoms are counted from 0 in both."""
    found = option(options, "distance_metrics", [])
    names = {"pair": "atoms", "min_distance": "min_A", "max_distance": "max_A"}
    bounds = []
    for number, entry in enumerate(found if isinstance(found, list) else [found]):
        known = isinstance(entry, Mapping) and set(entry) <= set(names)
        if not known or "pair" not in entry or len(entry) < 2:
            raise InputError(
                f"{INPUT}: distance_metrics[{number}]: found {entry!r}, expected 'pair' and 'min_distance' or "
                "'max_distance' (Å)"
            )
        bounds.append({names[key]: value for key, value in entry.items() if value is not None})
    return bounds
