"""What explorers return: frames along time or a path, and the committee's opinion of them.

Units as in `sparc_fw.documents`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms


@dataclass
class Trajectory:
    """What an explorer saw.

    Attributes
    ----------
    numbers : ndarray of shape (n_atoms,)
    positions : ndarray of shape (n_frames, n_atoms, 3)
        Å.
    cells : ndarray of shape (n_frames, 3, 3)
        Å.
    times : ndarray of shape (n_frames,)
        fs since the start of the run; NaN where frames do not follow each other in time (images of a path, samples),
        so that no frame is too close to another one in time, or lost because those before it failed.
    pbc : tuple of bool
    info : dict
        ``system``, ``charge`` and ``spin`` of the frames.
    steps : int
        Steps that were really made, of dynamics or of a search.
    ended : str
        ``"completed"``, or why the run ended early, in one sentence.
    series : dict of str to ndarray of shape (n_frames,) or longer
        Whatever the engine wrote along the way (collective variables, temperature), by name.
    name : str
        Which part of the run it is, where the run has several.
    lasted_fs : float or None
        Time that the run survived, fs; None where it is that of the last frame.
    end : Atoms or None
        Where the run ended; None where that is the last frame.
    learned : dict of str to str
        Texts by which the bias of a later run goes on from this one's, by file name.
    """

    numbers: np.ndarray
    positions: np.ndarray
    cells: np.ndarray
    times: np.ndarray
    pbc: tuple[bool, bool, bool]
    info: dict[str, Any]
    steps: int
    ended: str = "completed"
    seconds: float = 0.0
    series: dict[str, np.ndarray] = field(default_factory=dict)
    name: str = ""
    lasted_fs: float | None = None
    end: Atoms | None = None
    learned: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def survived_fs(self) -> float:
        """Time that the run survived, fs."""
        if self.lasted_fs is not None:
            return self.lasted_fs
        # Frames that follow no time have none.
        return float(np.nan_to_num(self.times[-1])) if len(self) else 0.0

    def frame(self, index: int) -> Atoms:
        """The frame at `index` as Atoms."""
        return Atoms(
            numbers=self.numbers,
            positions=self.positions[index],
            cell=self.cells[index],
            pbc=self.pbc,
            info=dict(self.info),
        )


@dataclass
class Uncertainty:
    """What the members of a committee say of every frame of a trajectory, from which every measure can be taken.

    Attributes
    ----------
    force_deviation : ndarray of float32, shape (n_frames, n_atoms)
        Standard deviation of the force vector on an atom over the members, eV/Å; NaN where a force is not finite.
    mean_force : ndarray of float32, shape (n_frames, n_atoms)
        Length of the members' mean force on an atom, eV/Å.
    energies : ndarray of shape (n_members, n_frames)
        eV.
    """

    force_deviation: np.ndarray
    mean_force: np.ndarray
    energies: np.ndarray


@dataclass
class Exploration:
    """What a replica saw, with the committee's opinion of every frame.

    Attributes
    ----------
    explorer : str
        Title of the explorer that ran it.
    trajectories : list of Trajectory
        Usually one; several where the atoms changed between parts of the run. Frames are counted through all of them.
    deviation : ndarray of shape (n_frames,)
        Force deviation, eV/Å; NaN where a member gave no finite force.
    planned_ps : float
        Time that the run was to last, ps.
    uncertainty : list of Uncertainty
        Of each trajectory; empty where it was not kept.
    """

    campaign_id: str
    iteration: int
    replica: int
    explorer: str
    trajectories: list[Trajectory]
    deviation: np.ndarray
    planned_ps: float
    seed: int
    seconds_deviation: float = 0.0
    uncertainty: list[Uncertainty] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(trajectory) for trajectory in self.trajectories)

    def parts(self) -> Iterator[tuple[int, Trajectory]]:
        """Every trajectory with the number of its first frame."""
        first = 0
        for trajectory in self.trajectories:
            yield first, trajectory
            first += len(trajectory)

    def locate(self, index: int) -> tuple[int, int]:
        """Which trajectory a frame, counted through all of them, is in, and its number there."""
        for part, (first, trajectory) in enumerate(self.parts()):
            if first <= index < first + len(trajectory):
                return part, index - first
        raise IndexError(f"replica {self.replica}: found frame {index}, expected 0 to {len(self) - 1}")

    def frame(self, index: int) -> Atoms:
        """A frame, counted through all trajectories, as Atoms."""
        part, place = self.locate(index)
        return self.trajectories[part].frame(place)

    @property
    def steps(self) -> int:
        """MD steps that were really made."""
        return sum(trajectory.steps for trajectory in self.trajectories)

    @property
    def survived_ps(self) -> float:
        """Time that the replica survived, ps."""
        return sum(trajectory.survived_fs for trajectory in self.trajectories) / 1000

    @property
    def ended(self) -> str:
        """``"completed"``, or why the first part that did not complete ended, in one sentence."""
        for trajectory in self.trajectories:
            if trajectory.ended != "completed":
                return f"{trajectory.name}: {trajectory.ended}" if trajectory.name else trajectory.ended
        return "completed"
