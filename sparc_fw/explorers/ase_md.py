"""Molecular dynamics by ASE (Larsen et al., J. Phys.: Condens. Matter 29, 273002, 2017), for any ASE calculator."""

from __future__ import annotations

import time
from typing import ClassVar, Literal

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.md.langevin import Langevin
from ase.md.md import MolecularDynamics
from ase.md.velocitydistribution import Stationary, ZeroRotation
from ase.md.verlet import VelocityVerlet

from sparc_fw.documents import Trajectory
from sparc_fw.encoding import frame_info
from sparc_fw.explorers.base import Explorer, Replica
from sparc_fw.explorers.md import MDOptions, plan
from sparc_fw.geometry.confinement import SoftSphere
from sparc_fw.geometry.isolation import describe_isolation
from sparc_fw.geometry.overlap import describe_overlap


class ASEOptions(MDOptions):
    """Options of dynamics by ASE."""

    kind: Literal["ase_md"] = "ase_md"
    ensemble: Literal["nve", "langevin"] = "langevin"
    """Constant energy (velocity Verlet) or constant temperature (Langevin)."""


class ASEExplorer(Explorer[ASEOptions]):
    """Runs ASE's integrators with the potential's calculator, in this process."""

    Options: ClassVar[type[ASEOptions]] = ASEOptions

    def check(self, structure: Atoms) -> None:
        """Raise `InputError` where the sphere's centre is made of atoms that do not exist."""
        if self.options.confine is not None:
            self.options.confine.check("explorer: confine", len(structure))

    def explore(self, replica: Replica) -> Trajectory:
        """Run one replica with the first model of the committee; a run of n steps computes forces n + 1 times."""
        started = time.perf_counter()
        run = plan(self.options, replica)
        start, progress = replica.start, replica.progress
        atoms = start.copy()
        confine = self.options.confine
        if confine is not None:
            atoms.set_constraint(SoftSphere(confine.around, confine.radius_A, confine.stiffness_eV_A2))
        atoms.calc = self._calculator(replica)
        dynamics = self._dynamics(atoms, run.temperature, np.random.default_rng(replica.seed))
        kept: list[tuple[int, np.ndarray, float, float, float]] = []
        step, ended = 0, self._trouble(atoms, atoms.get_forces(md=True), closest=True)
        while True:
            # A frame that ended the run is kept only where it can be judged: positions that are numbers.
            if step % run.every == 0 and np.isfinite(atoms.positions).all():
                potential_energy = float(atoms.get_potential_energy())
                kinetic_energy = float(atoms.get_kinetic_energy())
                kept.append((step, atoms.positions.copy(), atoms.get_temperature(), potential_energy, kinetic_energy))
                progress(step, run.steps)
            if ended is not None or step == run.steps:
                break
            forces = dynamics.step()
            step += 1
            ended = self._trouble(atoms, forces, closest=step % run.every == 0)
        steps, positions, temperatures, potentials, kinetics = (np.array(column) for column in zip(*kept, strict=True))
        return Trajectory(
            numbers=start.numbers.copy(),
            positions=positions,
            cells=np.repeat(start.cell.array[None], len(kept), axis=0),
            times=steps * self.options.timestep_fs,
            pbc=(bool(start.pbc[0]), bool(start.pbc[1]), bool(start.pbc[2])),
            info=frame_info(start),
            steps=step,
            ended="completed" if ended is None else f"{ended} at step {step}",
            seconds=time.perf_counter() - started,
            series={
                "time_fs": steps * self.options.timestep_fs,
                "temperature_K": temperatures,
                "potential_energy_eV": potentials,
                "total_energy_eV": potentials + kinetics,
            },
        )

    def _calculator(self, replica: Replica) -> Calculator:
        """What the dynamics run on; an explorer that adds to it overrides this."""
        return replica.potential.calculator(replica.models[0])

    def _dynamics(self, atoms: Atoms, kelvin: float, rng: np.random.Generator) -> MolecularDynamics:
        """Give atoms velocities and an integrator; nothing moves or, as a molecule, turns as a whole."""
        width = np.sqrt(atoms.get_masses() * units.kB * kelvin)
        atoms.set_momenta(rng.normal(size=(len(atoms), 3)) * width[:, None])
        Stationary(atoms)
        if not atoms.pbc.any():
            # A linear molecule has no moment of inertia about its axis, which ASE divides by before it looks.
            with np.errstate(divide="ignore", invalid="ignore"):
                ZeroRotation(atoms)
        timestep = self.options.timestep_fs * units.fs
        if self.options.ensemble == "nve":
            return VelocityVerlet(atoms, timestep)
        friction = self.options.friction_per_ps / (1000 * units.fs)
        return Langevin(atoms, timestep, temperature_K=kelvin, friction=friction, rng=rng, fixcm=False)

    def _trouble(self, atoms: Atoms, forces: np.ndarray, closest: bool) -> str | None:
        """Why the run cannot go on, or None."""
        if not np.isfinite(forces).all():
            return "a force is not finite"
        largest = float(np.abs(forces).max())
        if largest > self.options.max_force:
            return f"a force of {largest:.4g} eV/Å passed max_force, {self.options.max_force:g} eV/Å"
        if not closest:
            return None
        within = self.options.within_A
        return describe_overlap(atoms) or (None if within is None else describe_isolation(atoms, within))
