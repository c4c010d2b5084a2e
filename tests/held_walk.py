"""An explorer for tests of biased campaigns: a Metropolis walk of two atoms that knows umbrellas, walls and pulls."""

from __future__ import annotations

from typing import Literal

import numpy as np
from ase import units

from sparc_fw.explorers.base import Explorer, Replica
from sparc_fw.explorers.bias import Bias, Steered, Umbrella, Walls
from sparc_fw.explorers.md import MDOptions
from sparc_fw.explorers.variables import value_of
from sparc_fw.testing import PLUGIN
from sparc_fw.trajectories import Trajectory

HELD_PLUGIN = {**PLUGIN, "sparc_fw.explorer": {"held_walk": "held_walk:HeldWalkExplorer"}}


class HeldWalkOptions(MDOptions):
    """Options of the walk; a step of it counts as `timestep_fs`."""

    kind: Literal["held_walk"] = "held_walk"


class HeldWalkExplorer(Explorer[HeldWalkOptions]):
    """Samples exactly the canonical distribution with the bias, by random moves of the second atom."""

    Options = HeldWalkOptions

    def explore(self, replica: Replica) -> list[Trajectory]:
        """Walk, and note what MD would note."""
        options = self.options
        biases = options.biases(replica.number)
        steps = round(1000 * options.planned_ps(replica.iteration) / options.timestep_fs)
        every = round(options.frame_every_fs / options.timestep_fs)
        kT = units.kB * options.temperature_K[0]
        rng = np.random.default_rng(replica.seed)
        atoms = replica.start.copy()
        atoms.calc = replica.potential.calculator(replica.models[0])
        positions, values, energies, works = [], [], [], []
        work, ps = 0.0, 0.0
        total = atoms.get_potential_energy() + _energies(biases, atoms, replica.number, ps).sum()
        for step in range(steps + 1):
            if step % every == 0:
                positions.append(atoms.positions.copy())
                values.append([value_of(bias.cv, atoms) for bias in biases])
                energies.append(_energies(biases, atoms, replica.number, ps))
                works.append(work)
            before = _energies(biases, atoms, replica.number, ps).sum()
            ps = (step + 1) * options.timestep_fs / 1000
            gained = _energies(biases, atoms, replica.number, ps).sum() - before
            work, total = work + gained, total + gained
            old = atoms.positions.copy()
            atoms.positions[1] += rng.normal(scale=0.08, size=3)
            new = atoms.get_potential_energy() + _energies(biases, atoms, replica.number, ps).sum()
            if rng.random() < np.exp(min(0.0, (total - new) / kT)):
                total = new
            else:
                atoms.positions = old
        times = np.arange(len(positions)) * options.frame_every_fs
        series = {"bias_time_fs": times}
        for number, bias in enumerate(biases):
            series |= {f"cv{number}": np.array(values)[:, number], f"bias{number}_eV": np.array(energies)[:, number]}
            if isinstance(bias, Steered):
                series |= {f"work{number}_eV": np.array(works)}
                series |= {f"centre{number}": np.array([_centre(bias, replica.number, t / 1000) for t in times])}
        start = replica.start
        return [
            Trajectory(
                numbers=start.numbers,
                positions=np.array(positions),
                cells=np.repeat(start.cell.array[None], len(positions), axis=0),
                times=times,
                pbc=(False, False, False),
                info=dict(start.info),
                steps=steps,
                series=series,
            )
        ]


def _centre(bias: Steered, replica: int, ps: float) -> float:
    way = min(abs(bias.last - bias.first), bias.velocity(replica) * ps)
    return float(bias.first + np.sign(bias.last - bias.first) * way)


def _energies(biases: list[Bias], atoms: object, replica: int, ps: float) -> np.ndarray:
    """Energy in every bias, eV."""
    energies = []
    for bias in biases:
        value = value_of(bias.cv, atoms)
        if isinstance(bias, Walls):
            beyond = max(0.0, value - bias.upper) if bias.upper is not None else 0.0
            energies.append(0.5 * bias.stiffness * beyond**2)
            continue
        assert isinstance(bias, Umbrella | Steered)
        centre = _centre(bias, replica, ps) if isinstance(bias, Steered) else bias.centre
        assert centre is not None
        energies.append(0.5 * bias.stiffness * (value - centre) ** 2)
    return np.array(energies)
