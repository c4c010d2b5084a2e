"""Structures near a known one: displaced at random, rattled, or along normal modes by the forces of a driver."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, CalculatorError
from ase.data import covalent_radii
from ase.geometry import get_distances
from ase.optimize import FIRE

from sparc_fw.errors import InputError, StageFailed
from sparc_fw.geometry.normal_modes import normal_modes, thermal_displacements
from sparc_fw.geometry.scan import scan_frames
from sparc_fw.geometry.sources import DisplacementSource, NormalModeSource, RattleSource

ATTEMPTS = 100
"""An atom that finds no room in so many draws stays where it is."""


def displaced_frames(structure: Atoms, source: DisplacementSource, random: np.random.Generator) -> list[Atoms]:
    """Displace every coordinate at random.

    With the defaults these are the configurations that Jung et al. add beside sampled ones: uniform noise of up to
    0.05 Å along each axis (Digital Discovery 3 (2024) 514, section 2.3.4).
    """
    centres = scan_frames(structure, source.around) if source.around is not None else [structure]
    frames = []
    for number in range(source.frames):
        frame = centres[number % len(centres)].copy()
        shape = frame.positions.shape
        if source.distribution == "uniform":
            frame.positions += random.uniform(-source.amplitude_A, source.amplitude_A, shape)
        else:
            frame.positions += random.normal(scale=source.amplitude_A, size=shape)
        frames.append(frame)
    return frames


def rattled_frames(structure: Atoms, source: RattleSource, random: np.random.Generator) -> list[Atoms]:
    """Strain the cell and displace atoms one after the other, none of them too near to another.

    Raises
    ------
    InputError
        If a molecule is to be strained.

    Notes
    -----
    Monte Carlo rattling with a hard limit: F. Eriksson, E. Fransson, P. Erhart, Adv. Theory Simul. 2 (2019) 1800184.
    """
    if source.strain and not structure.pbc.any():
        raise InputError(
            f"rattle: strain: found {source.strain:g} for a molecule, expected 0: it has no cell to strain"
        )
    frames = []
    for _ in range(source.frames):
        frame = structure.copy()
        if source.strain:
            drawn = random.uniform(-source.strain, source.strain, (3, 3))
            # Symmetric: what is left of a strain without its rotation.
            strain = np.triu(drawn) + np.triu(drawn, 1).T
            frame.set_cell(frame.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        for atom in random.permutation(len(frame)):
            _rattle(frame, int(atom), source, random)
        frames.append(frame)
    return frames


def _rattle(frame: Atoms, atom: int, source: RattleSource, random: np.random.Generator) -> None:
    others = np.delete(np.arange(len(frame)), atom)
    radii = covalent_radii[frame.numbers]
    place = frame.positions[atom].copy()
    least = source.min_fraction * (radii[others] + radii[atom])
    # Atoms that are nearer already may stay so, but come no nearer.
    least = np.minimum(least, _distances(frame, place, others))
    for _ in range(ATTEMPTS):
        moved = place + random.normal(scale=source.stdev_A, size=3)
        if (_distances(frame, moved, others) >= least).all():
            frame.positions[atom] = moved
            return


def _distances(frame: Atoms, place: np.ndarray, others: np.ndarray) -> np.ndarray:
    if not len(others):
        return np.zeros(0)
    distances = get_distances(place[None], frame.positions[others], cell=frame.cell, pbc=frame.pbc)[1]
    return np.asarray(distances[0])


def mode_frames(structure: Atoms, source: NormalModeSource, driver: Calculator, seed: int) -> list[Atoms]:
    """Relax a structure with a driver and displace it along its normal modes.

    Raises
    ------
    StageFailed
        If the driver fails, or does not relax the structure.
    """
    atoms = structure.copy()
    driver.reset()
    atoms.calc = driver

    def forces_of(positions: np.ndarray) -> np.ndarray:
        moved = atoms.copy()
        moved.calc = driver
        forces = []
        for places in positions:
            moved.positions = places
            forces.append(moved.get_forces())
        return np.array(forces)

    try:
        with FIRE(atoms, logfile=None) as optimizer:
            if source.relax and not optimizer.run(fmax=source.fmax_eV_A, steps=source.max_steps):
                raise StageFailed(
                    f"normal_modes: the structure is not relaxed after max_steps = {source.max_steps}; the longest "
                    f"force is {np.linalg.norm(atoms.get_forces(), axis=1).max():.3g} eV/Å, fmax_eV_A = "
                    f"{source.fmax_eV_A:g}"
                )
        modes = normal_modes(atoms, forces_of, source.difference_A)
    except (CalculatorError, RuntimeError) as error:
        raise StageFailed(f"normal_modes: the driver failed: {type(error).__name__}: {error}") from error
    frames = []
    for displacement in thermal_displacements(modes, source, np.random.default_rng(seed)):
        frame = structure.copy()
        frame.positions = atoms.positions + displacement
        frames.append(frame)
    return frames
