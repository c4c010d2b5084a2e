"""Normal modes of a structure, and structures displaced along them as a temperature would."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from ase import Atoms, units
from pydantic import Field

from sparc_fw.section import Section

ForcesOf = Callable[[np.ndarray], np.ndarray]
"""Forces (eV/Å) of positions (Å), both of shape (n_frames, n_atoms, 3)."""

# sqrt(eV/Å^2/u) as an energy over that of a wave of 1/cm.
PER_CM = units._hbar * 1e10 * np.sqrt(units._e / units._amu) / (units._e * units.invcm)
"""Wavenumber, 1/cm, of a mode whose curvature is 1 eV/(Å^2 u)."""


class ModeSampling(Section):
    """How structures are displaced along normal modes."""

    frames: int = Field(50, ge=1)
    """Number of displaced structures."""
    temperature_K: float = Field(300.0, gt=0)
    """Temperature of the amplitudes, K."""
    difference_A: float = Field(0.01, gt=0)
    """Displacement of the finite differences that the Hessian is made of, Å."""
    imaginary: Literal["stable", "skip"] = "stable"
    """Modes of negative curvature: displaced as if the curvature were positive, or left alone."""
    mode_limit_A: float = Field(0.3, gt=0)
    """Soft modes have their amplitudes lowered such that one standard deviation of a mode moves no atom farther, Å."""


@dataclass(frozen=True)
class Modes:
    """Normal modes without translations and rotations.

    Attributes
    ----------
    curvatures : ndarray of shape (n_modes,)
        Eigenvalues of the mass-weighted Hessian, eV/(Å^2 u), ascending; negative where a mode is imaginary.
    vectors : ndarray of shape (n_modes, n_atoms, 3)
        Displacements of the atoms, Å, for a mass-weighted amplitude of 1 Å u^(1/2).
    """

    curvatures: np.ndarray
    vectors: np.ndarray

    @property
    def wavenumbers(self) -> np.ndarray:
        """Wavenumbers, 1/cm, negative where a mode is imaginary; shape (n_modes,)."""
        return np.asarray(np.sign(self.curvatures) * np.sqrt(np.abs(self.curvatures)) * PER_CM)


def hessian(positions: np.ndarray, forces_of: ForcesOf, difference: float) -> np.ndarray:
    """Second derivatives of the energy by central differences of forces, in one batch of 6 n_atoms frames.

    Parameters
    ----------
    positions : ndarray of shape (n_atoms, 3)
        Å.
    difference : float
        Displacement to either side, Å.

    Returns
    -------
    ndarray of shape (3 n_atoms, 3 n_atoms)
        eV/Å^2, symmetric.
    """
    size = positions.size
    shifts = difference * np.eye(size).reshape(size, *positions.shape)
    forces = forces_of(np.concatenate([positions + shifts, positions - shifts])).reshape(2, size, size)
    matrix = (forces[1] - forces[0]) / (2 * difference)
    return np.asarray((matrix + matrix.T) / 2)


def rigid_motions(positions: np.ndarray, weights: np.ndarray, turns: bool) -> np.ndarray:
    """Orthonormal translations and, where `turns`, rotations in coordinates scaled by the root of `weights`.

    Parameters
    ----------
    positions : ndarray of shape (n_atoms, 3)
        Å.
    weights : ndarray of shape (n_atoms,)
        Masses, or ones for plain coordinates.

    Returns
    -------
    ndarray of shape (n_motions, n_atoms, 3)
        Six for a molecule, five for a linear one, three for an atom or where nothing turns.
    """
    centred = positions - np.average(positions, axis=0, weights=weights)
    axes = np.eye(3)
    motions = [np.broadcast_to(axis, positions.shape) for axis in axes]
    if turns:
        motions += [np.cross(axis, centred) for axis in axes]
    scaled = np.array(motions) * np.sqrt(weights)[:, None]
    _, sizes, rows = np.linalg.svd(scaled.reshape(len(scaled), -1), full_matrices=False)
    # Turning a linear molecule about its axis, or an atom, moves nothing.
    return np.asarray(rows[sizes > 1e-6 * sizes[0]].reshape(-1, *positions.shape))


def normal_modes(frame: Atoms, forces_of: ForcesOf, difference: float, fixed: Sequence[int] = ()) -> Modes:
    """Normal modes of a structure, which should be a stationary point.

    Parameters
    ----------
    frame : Atoms
        Translations are taken out of it and, if it is a molecule, rotations; neither where atoms are fixed.
    difference : float
        Displacement of the finite differences, Å.
    fixed : sequence of int
        Atoms that do not move.

    Notes
    -----
    E. B. Wilson, J. C. Decius, P. C. Cross, Molecular Vibrations (McGraw-Hill, 1955). The Hessian is projected onto
    what is orthogonal to rigid motions before it is diagonalised (W. H. Miller, N. C. Handy, J. E. Adams, J. Chem.
    Phys. 72 (1980) 99), so that no small eigenvalue has to be guessed to be one of them.
    """
    masses = frame.get_masses()
    roots = np.repeat(np.sqrt(masses), 3)
    weighted = hessian(frame.positions, forces_of, difference) / np.outer(roots, roots)
    if len(fixed):
        free = np.setdiff1d(np.arange(len(frame)), fixed)
        basis = np.eye(frame.positions.size)[(3 * free[:, None] + np.arange(3)).ravel()]
    else:
        rigid = rigid_motions(frame.positions, masses, turns=not frame.pbc.any()).reshape(-1, frame.positions.size)
        basis = np.linalg.svd(rigid)[2][len(rigid) :]
    curvatures, mixtures = np.linalg.eigh(basis @ weighted @ basis.T)
    vectors = (mixtures.T @ basis) / roots
    return Modes(curvatures, vectors.reshape(-1, *frame.positions.shape))


def thermal_displacements(modes: Modes, sampling: ModeSampling, random: np.random.Generator) -> np.ndarray:
    """Displacements with Boltzmann's distribution in the harmonic approximation, classical nuclei.

    Each stable mode holds k_B T / 2 of potential energy on average. A mode of negative curvature has no such
    distribution: it is displaced with the width of a mode of the same curvature with the opposite sign, or not at all
    (`ModeSampling.imaginary`). A mode so soft that its width would move an atom by more than
    `ModeSampling.mode_limit_A` is displaced with just that width.

    Returns
    -------
    ndarray of shape (frames, n_atoms, 3)
        Å.

    Notes
    -----
    Normal-mode sampling: J. S. Smith, O. Isayev, A. E. Roitberg, Chem. Sci. 8 (2017) 3192. They draw energies that are
    bounded by the temperature; here they are Boltzmann's.
    """
    reach = np.linalg.norm(modes.vectors, axis=2).max(axis=1)
    widest = sampling.mode_limit_A / reach
    with np.errstate(divide="ignore"):
        widths = np.minimum(np.sqrt(units.kB * sampling.temperature_K / np.abs(modes.curvatures)), widest)
    if sampling.imaginary == "skip":
        widths[modes.curvatures < 0] = 0.0
    amplitudes = random.standard_normal((sampling.frames, len(widths))) * widths
    return np.asarray(np.einsum("fk,kax->fax", amplitudes, modes.vectors))
