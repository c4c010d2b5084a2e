"""ASE's integrators by the name of the ensemble."""

from __future__ import annotations

from typing import Literal

import numpy as np
from ase import Atoms, units
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT, NoseHooverChainNVT
from ase.md.velocitydistribution import Stationary, ZeroRotation
from ase.md.verlet import VelocityVerlet

Ensemble = Literal["nve", "langevin", "nose_hoover", "bussi", "npt", "npt_cell"]


def draw_velocities(atoms: Atoms, kelvin: float, rng: np.random.Generator) -> None:
    """Give atoms Maxwell's velocities; nothing moves or, as a molecule, turns as a whole."""
    width = np.sqrt(atoms.get_masses() * units.kB * kelvin)
    atoms.set_momenta(rng.normal(size=(len(atoms), 3)) * width[:, None])
    Stationary(atoms)
    if not atoms.pbc.any():
        # A linear molecule has no moment of inertia about its axis, which ASE divides by before it looks.
        with np.errstate(divide="ignore", invalid="ignore"):
            ZeroRotation(atoms)


def integrator(
    ensemble: Ensemble,
    atoms: Atoms,
    timestep_fs: float,
    kelvin: float,
    friction_per_ps: float,
    gigapascal: float,
    pressure_relaxation_ps: float,
    rng: np.random.Generator,
) -> MolecularDynamics:
    """The integrator of an ensemble.

    Parameters
    ----------
    ensemble : str
        ``nve`` (velocity Verlet), ``langevin``, ``nose_hoover`` (a chain of three), ``bussi`` (stochastic velocity
        rescaling), ``npt`` (Martyna, Tobias, Klein; the cell keeps its shape) or ``npt_cell`` (it does not).
    timestep_fs, kelvin, gigapascal, pressure_relaxation_ps : float
        fs, K, GPa, ps.
    friction_per_ps : float
        1/ps: Langevin's friction, or the inverse relaxation time of the other heat baths.
    rng : Generator
        What the random baths draw from.
    """
    timestep = timestep_fs * units.fs
    damping = 1000 * units.fs / friction_per_ps
    if ensemble == "nve":
        return VelocityVerlet(atoms, timestep)
    if ensemble == "langevin":
        return Langevin(atoms, timestep, temperature_K=kelvin, friction=1 / damping, rng=rng, fixcm=False)
    if ensemble == "nose_hoover":
        return NoseHooverChainNVT(atoms, timestep, temperature_K=kelvin, tdamp=damping)
    if ensemble == "bussi":
        return Bussi(atoms, timestep, temperature_K=kelvin, taut=damping, rng=rng)
    barostat = {"npt": IsotropicMTKNPT, "npt_cell": MTKNPT}[ensemble]
    return barostat(
        atoms,
        timestep,
        temperature_K=kelvin,
        pressure_au=gigapascal * units.GPa,
        tdamp=damping,
        pdamp=pressure_relaxation_ps * 1000 * units.fs,
    )
