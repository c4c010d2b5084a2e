"""The explorer interface."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from ase import Atoms
from pydantic import Field

from sparc_fw.backend import Backend, Options
from sparc_fw.documents import Trajectory
from sparc_fw.potentials.base import Potential, Progress

Positive = Annotated[float, Field(gt=0)]


class ExplorerOptions(Options):
    """Options that every molecular-dynamics explorer has; a list is taken entry by entry, the last one repeats."""

    replicas: int = Field(1, ge=1)
    """Independent runs per iteration, each a Firework of its own."""
    starts: list[Literal["structure", "start_frames"]] = Field(["structure"], min_length=1)
    """Where replicas begin, by replica: the system's structure, or a start frame drawn at random."""
    duration_ps: list[Positive] = Field([1.0], min_length=1)
    """Length of each run by iteration, ps."""
    timestep_fs: float = Field(0.5, gt=0)
    """MD time step, fs."""
    temperature_K: list[Positive] = Field([300.0], min_length=1)
    """Target temperature and that of the first velocities, by replica, K."""
    frame_every_fs: float = Field(5.0, gt=0)
    """Time between frames that are kept and judged, fs."""


ExplorerOptionsType = TypeVar("ExplorerOptionsType", bound=ExplorerOptions)


class Explorer(Backend[ExplorerOptionsType]):
    """Runs dynamics with a trained potential."""

    @abstractmethod
    def explore(
        self,
        start: Atoms,
        potential: Potential[Any],
        models: Sequence[Path],
        iteration: int,
        replica: int,
        seed: int,
        directory: Path,
        progress: Progress,
    ) -> Trajectory:
        """Run one replica with the first model of the committee, in `directory`.

        A run that blows up is not an error: the trajectory up to there comes back, and ``ended`` says why.

        Raises
        ------
        StageFailed
            If the engine could not run at all, with its own last lines.
        """

    def check(self, structure: Atoms) -> None:
        """Raise `InputError` where the options cannot fit a structure (an atom that does not exist, …)."""


def by_place(values: Sequence[float], place: int) -> float:
    """The entry for an iteration or replica; the last one repeats."""
    return values[min(place, len(values) - 1)]
