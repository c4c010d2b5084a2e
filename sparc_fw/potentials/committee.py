"""What a committee thinks of frames: force deviation, errors on labels, energies along a path; all in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from ase import Atoms

from sparc_fw.documents import Errors, Label
from sparc_fw.errors import InputError
from sparc_fw.potentials.base import Evaluator
from sparc_fw.trajectories import Trajectory, Uncertainty

CHUNK_ATOMS = 131072
"""Atoms whose forces are held at a time: some 10 MB per array."""


def force_deviation(
    evaluators: Sequence[Evaluator],
    trajectory: Trajectory,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    r"""Force deviation of every frame of a trajectory.

    Parameters
    ----------
    evaluators : sequence of Evaluator
        The members, two or more.
    trajectory : Trajectory
    progress : callable, optional
        Called with (frames done, frames).

    Returns
    -------
    ndarray of shape (n_frames,)
        :math:`\max_i \sqrt{\langle |F_i - \langle F_i\rangle|^2\rangle}` over the members, eV/Å; NaN where a position
        or any member's force is not finite.

    Notes
    -----
    ``max_devi_f`` of DP-GEN: Zhang et al., Comput. Phys. Commun. 253, 107206 (2020), equation 3. The mean is over all
    M members, not M - 1.
    """
    return opinion(evaluators, trajectory, progress)[0]


def opinion(
    evaluators: Sequence[Evaluator],
    trajectory: Trajectory,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[np.ndarray, Uncertainty]:
    """Force deviation of every frame as `force_deviation` gives it, and what it is taken from, atom by atom."""
    if len(evaluators) < 2:
        raise InputError(f"committee: found {len(evaluators)} members, expected at least 2 for a deviation")
    frames, atoms = trajectory.positions.shape[:2]
    deviation = np.full(frames, np.nan)
    by_atom = np.full((frames, atoms), np.nan, dtype=np.float32)
    found = Uncertainty(by_atom, by_atom.copy(), np.full((len(evaluators), frames), np.nan))
    finite = np.isfinite(trajectory.positions).all(axis=(1, 2)) & np.isfinite(trajectory.cells).all(axis=(1, 2))
    for part in chunks(np.flatnonzero(finite), atoms):
        spreads, mean = spread_by_atom(_forces(evaluators, trajectory, part, found.energies))
        deviation[part] = largest(spreads)
        with np.errstate(invalid="ignore", over="ignore"):
            found.force_deviation[part] = spreads
            found.mean_force[part] = np.linalg.norm(mean, axis=2)
        if progress is not None:
            progress(int(part[-1]) + 1, frames)
    return deviation, found


def _forces(
    evaluators: Sequence[Evaluator], trajectory: Trajectory, part: np.ndarray, energies: np.ndarray
) -> Iterator[np.ndarray]:
    """Forces of some frames, one member after the other, whose energies are noted on the way."""
    cells = trajectory.cells[part] if any(trajectory.pbc) else None
    for member, evaluator in enumerate(evaluators):
        energies[member, part], forces = evaluator.evaluate(trajectory.numbers, trajectory.positions[part], cells)
        yield forces


def chunks(indices: np.ndarray, atoms: int) -> Iterator[np.ndarray]:
    """Split frame indices such that no part holds more than `CHUNK_ATOMS` atoms."""
    size = max(1, CHUNK_ATOMS // max(1, atoms))
    for begin in range(0, len(indices), size):
        yield indices[begin : begin + size]


def spread(forces: Iterator[np.ndarray]) -> np.ndarray:
    """Force deviation of frames, shape (n_frames,), from the members' forces; as `spread_by_atom`."""
    return largest(spread_by_atom(forces)[0])


def largest(deviation: np.ndarray) -> np.ndarray:
    """The force deviation of frames from those of their atoms; NaN where one is not finite."""
    found: np.ndarray = deviation.max(axis=1)
    found[~np.isfinite(found)] = np.nan
    return found


def spread_by_atom(forces: Iterator[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviation and mean of the forces on every atom, one member at a time.

    Parameters
    ----------
    forces : iterator of ndarray of shape (n_frames, n_atoms, 3)
        eV/Å.

    Returns
    -------
    deviation : ndarray of shape (n_frames, n_atoms)
        Root of the mean square of the force vector's deviation from the mean over the members, eV/Å; not finite where
        a force is not.
    mean : ndarray of shape (n_frames, n_atoms, 3)
        eV/Å.

    Notes
    -----
    Welford's update (Technometrics 4, 419, 1962): neither all members' forces at once, nor the cancellation of
    a sum of squares where members agree about a large force.
    """
    mean = next(forces).astype(float)
    squares = np.zeros(mean.shape[:2])
    members = 1
    # A force may be infinite; its frame becomes NaN, which is the answer and no accident.
    with np.errstate(invalid="ignore", over="ignore"):
        for force in forces:
            members += 1
            difference = force - mean
            mean += difference / members
            squares += np.einsum("fax,fax->fa", difference, force - mean)
        return np.sqrt(np.maximum(squares, 0.0) / members), mean


def energies(evaluator: Evaluator, frames: Sequence[Atoms]) -> np.ndarray:
    """Energies of frames of any composition, in their order, eV, shape (n_frames,)."""
    return np.array([energy for energy, _ in predictions(evaluator, frames)])


def errors(evaluator: Evaluator, labels: Sequence[Label]) -> Errors:
    """Errors of a model on labels of any composition, all of them ``ok``.

    Raises
    ------
    InputError
        If there is no label, or one without forces.
    """
    usable = [(x.frame, x.energy, x.forces) for x in labels if x.energy is not None and x.forces is not None]
    if not labels or len(usable) < len(labels):
        raise InputError(
            f"labels: found {len(labels)}, {len(labels) - len(usable)} of them without energy or forces, expected "
            "at least one and all with both"
        )
    force_squares = force_sum = energy_squares = 0.0
    atoms = 0
    found = predictions(evaluator, [frame for frame, _, _ in usable])
    for (frame, true_energy, true_forces), (energy, forces) in zip(usable, found, strict=True):
        energy_squares += ((energy - true_energy) / len(frame)) ** 2
        force_squares += float(((forces - true_forces) ** 2).sum())
        force_sum += float(np.abs(forces - true_forces).sum())
        atoms += len(forces)
    return Errors(
        force_rmse=float(np.sqrt(force_squares / (3 * atoms))),
        force_mae=force_sum / (3 * atoms),
        energy_rmse=float(np.sqrt(energy_squares / len(usable))),
        frames=len(usable),
        atoms=atoms,
    )


def predictions(evaluator: Evaluator, frames: Sequence[Atoms]) -> list[tuple[float, np.ndarray]]:
    """Energy (eV) and forces (eV/Å) of frames of any composition, in their order; equal ones are batched."""
    groups: dict[tuple[bytes, bool], list[int]] = {}
    for index, frame in enumerate(frames):
        groups.setdefault((frame.numbers.astype("<i4").tobytes(), bool(frame.pbc.any())), []).append(index)
    found: dict[int, tuple[float, np.ndarray]] = {}
    for (_, periodic), members in groups.items():
        numbers = frames[members[0]].numbers
        for part in chunks(np.array(members), len(numbers)):
            positions = np.array([frames[i].positions for i in part])
            cells = np.array([frames[i].cell.array for i in part]) if periodic else None
            energy, forces = evaluator.evaluate(numbers, positions, cells)
            found.update({int(i): (float(energy[k]), forces[k]) for k, i in enumerate(part)})
    return [found[index] for index in range(len(frames))]
