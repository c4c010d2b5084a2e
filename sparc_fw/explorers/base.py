"""The explorer interface."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar

from ase import Atoms
from pydantic import Field, ValidationError, model_validator
from typing_extensions import Self

from sparc_fw.backend import Backend, Options
from sparc_fw.documents import Label
from sparc_fw.explorers.timestep import timestep_warning
from sparc_fw.geometry.files import Files
from sparc_fw.plain_words import first_finding
from sparc_fw.potentials.base import Potential, Progress
from sparc_fw.section import Positive
from sparc_fw.trajectories import Trajectory

FIXED = ("kind", "name", "systems", "replicas", "windows", "schedule")
"""Keys that no schedule changes: they decide which Fireworks an iteration has."""


class ExplorerOptions(Options):
    """Options that every explorer has."""

    name: str | None = Field(None, pattern=r"^[A-Za-z0-9_.-]{1,40}$")
    """What it is called beside others of the campaign; where unset, its kind."""
    systems: list[str] | None = Field(None, min_length=1)
    """The systems that it explores; where unset, all."""
    replicas: int = Field(1, ge=1)
    """Independent runs per system and iteration, each a Firework of its own; of windows, so many runs of each."""
    starts: list[Literal["structure", "start_frames", "labels", "nearest", "last_end"]] = Field(
        ["structure"], min_length=1
    )
    """Where replicas begin, by replica, the list over and over: the system's structure, a start frame drawn at random,
    any frame labelled so far drawn at random, that frame labelled so far which the replica's restraints hold with the
    least energy (the collective variable's nearest), or where the same replica ended in the iteration before (the
    structure in the first iteration, and after a run that ended early)."""
    schedule: dict[Annotated[int, Field(ge=0)], dict[str, Any]] = {}
    """Options that change from an iteration on, by its number: a temperature, a pressure, a bias, a length, …"""

    @model_validator(mode="after")
    def _schedule_is_of_options(self) -> Self:
        for iteration, changes in self.schedule.items():
            fixed = sorted(changes.keys() & {*FIXED, *self.text_files})
            if fixed:
                raise ValueError(f"schedule[{iteration}]: found {fixed[0]!r}, which is the same in all iterations")
            try:
                self.at(iteration)
            except ValidationError as error:
                raise ValueError(f"schedule[{iteration}]: {first_finding(error, type(self).model_fields)}") from error
        return self

    def at(self, iteration: int) -> Self:
        """The options of an iteration: all changes up to it, the later ones over the earlier ones."""
        changes: dict[str, Any] = {}
        for first in sorted(number for number in self.schedule if number <= iteration):
            changes |= self.schedule[first]
        if not changes:
            return self
        values = self.model_dump(serialize_as_any=True, by_alias=True)
        return type(self).model_validate({**values, **changes, "schedule": {}})

    @model_validator(mode="after")
    def _nearest_to_something(self) -> Self:
        if "nearest" in self.starts and not self.restrained:
            raise ValueError("starts: found 'nearest', expected a bias of kind umbrella or steered, to be nearest to")
        return self

    @property
    def title(self) -> str:
        """The name, or the kind where it has none."""
        return self.name or self.kind

    def explores(self, system: str) -> bool:
        """Whether a system is among those that it explores."""
        return self.systems is None or system in self.systems

    @property
    def runs(self) -> int:
        """Runs per system and iteration."""
        return self.replicas

    @property
    def restrained(self) -> bool:
        """Whether restraints hold something where a run begins."""
        return False

    def restraint_energy(self, frame: Atoms, number: int) -> float:
        """Energy of a frame in the restraints where a run of that number begins, eV."""
        return 0.0

    def start_file(self, number: int) -> str | None:
        """The file whose last frame a run of that number begins from, as written; None where `starts` decides."""
        return None

    def place(self, number: int) -> str:
        """What a run of that number has of its own, in a word or two; empty where only the seed differs."""
        return ""

    @property
    def summary(self) -> str:
        """What it is called, and, where its runs are not mere replicas, what they are."""
        return self.title

    def planned_ps(self, iteration: int) -> float:
        """Time that a replica simulates, ps; 0 for what is no dynamics."""
        return 0.0

    def timesteps(self) -> dict[str, float]:
        """The time steps that it takes, fs, by key."""
        return {}

    @property
    def paths(self) -> list[str]:
        """The files of structures that the options name, as written."""
        return []

    @property
    def most_labels(self) -> int:
        """Labels that a replica may ask for while it runs."""
        return 0

    @property
    def looks_back(self) -> bool:
        """Whether a replica begins from where its parts ended in the iteration before."""
        return False

    @property
    def goes_on(self) -> bool:
        """Whether a replica's bias begins with what it learned in the iteration before."""
        return False

    def lasting(self, ps: float) -> Self:
        """The same with replicas of another length."""
        return self

    def shortened(self, iteration: int, factor: float) -> Self:
        """The options of an iteration whose replicas last a fraction of their planned time."""
        options = self.at(iteration)
        return options if factor == 1 else options.lasting(factor * options.planned_ps(iteration))


class TimedOptions(ExplorerOptions):
    """Options of everything that runs in time; a list is taken entry by entry, the last one repeats."""

    duration_ps: list[Positive] = Field([1.0], min_length=1)
    """Length of each run by iteration, ps."""
    timestep_fs: float = Field(0.5, gt=0)
    """MD time step, fs."""
    temperature_K: list[Positive] = Field([300.0], min_length=1)
    """Target temperature and that of the first velocities, by replica, K."""
    frame_every_fs: float = Field(5.0, gt=0)
    """Time between frames that are kept and judged, fs."""

    def planned_ps(self, iteration: int) -> float:
        """Time that a replica simulates, ps."""
        return by_place(self.duration_ps, iteration)

    def timesteps(self) -> dict[str, float]:
        """The one time step that it takes, fs."""
        return {"timestep_fs": self.timestep_fs}

    def lasting(self, ps: float) -> Self:
        """The same with runs of another length."""
        return self.model_copy(update={"duration_ps": [ps]})

    def shortened(self, iteration: int, factor: float) -> Self:
        """The options of an iteration whose runs last a fraction of their time, but as long as to the first frame."""
        options = self.at(iteration)
        least = options.frame_every_fs / 1000 / options.planned_ps(iteration)
        return super().shortened(iteration, min(1.0, max(factor, least)))


ExplorerOptionsType = TypeVar("ExplorerOptionsType", bound=ExplorerOptions)


class Teacher(Protocol):
    """Who labels frames and teaches them to the committee while a run waits."""

    @property
    def allowed(self) -> int:
        """Labels that the run may ask for."""

    def label(self, frame: Atoms) -> Label:
        """The label of a frame; failures are labels, too."""

    def learn(self, steps: int) -> list[Path]:
        """Teach every member all good labels so far in so many steps; returns their files, first member first."""


@dataclass(frozen=True)
class Replica:
    """One run of an explorer, and all that it may use.

    Attributes
    ----------
    start : Atoms
        Where it begins; ``info`` names system, charge and spin.
    models : sequence of Path
        The committee's files, first member first.
    iteration, number : int
        Its place: the iteration, and which of the explorer's runs of this system it is.
    seed : int
        All its random choices derive from it.
    directory : Path
        Empty; what the engine writes goes there.
    progress : callable
        Told (done, total) along the way.
    files : Files
        The frames of every file that the campaign names.
    earlier : mapping of str to Atoms
        Where the parts of this replica's run ended in the iteration before, by name, where the options look back.
    teacher : Teacher or None
        Where the options ask for labels.
    learned : mapping of str to str
        What the bias of this replica's run in the iteration before learned (`Trajectory.learned`), where the options
        go on from it.
    """

    start: Atoms
    potential: Potential[Any]
    models: Sequence[Path]
    iteration: int
    number: int
    seed: int
    directory: Path
    progress: Progress
    files: Files = field(default_factory=lambda: Files({}))
    earlier: Mapping[str, Atoms] = field(default_factory=dict)
    teacher: Teacher | None = None
    learned: Mapping[str, str] = field(default_factory=dict)


class Explorer(Backend[ExplorerOptionsType]):
    """Looks for configurations with a trained potential."""

    @abstractmethod
    def explore(self, replica: Replica) -> list[Trajectory]:
        """Run one replica; usually gives one trajectory, several where the atoms change along the way.

        A run that blows up is not an error: the trajectory up to there comes back, and ``ended`` says why.

        Raises
        ------
        StageFailed
            If the engine could not run at all, with its own last lines.
        """

    def check(self, structure: Atoms) -> None:
        """Raise `InputError` where the options cannot fit a structure (an atom that does not exist, …)."""

    def bias_text(self, structure: Atoms) -> str:
        """What the engine reads of the first replica's bias, so that people can look at it; empty for none."""
        return ""

    def warnings(self, structure: Atoms, files: Files) -> list[str]:
        """What is allowed, but hardly meant, with the key and the numbers."""
        told = {key: timestep_warning(step, structure.numbers) for key, step in self.options.timesteps().items()}
        return [f"{key}: {sentence}" for key, sentence in told.items() if sentence]

    def check_geometries(self, structure: Atoms, files: Files) -> None:
        """Raise `InputError` where structures that the explorer builds itself cannot be built."""


def by_place(values: Sequence[float], place: int) -> float:
    """The entry for an iteration or replica; the last one repeats."""
    return values[min(place, len(values) - 1)]
