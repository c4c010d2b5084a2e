"""A selection is a list of steps; this is what they share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, TypeVar

from ase import Atoms

from sparc_fw.backend import Backend, Options
from sparc_fw.documents import FrameVerdict
from sparc_fw.measure_names import FORCE_MAX, in_unit
from sparc_fw.seeds import derive_seed
from sparc_fw.selectors.calibration_records import Calibration, Goal
from sparc_fw.selectors.crossings import Onset
from sparc_fw.selectors.pool import Pool
from sparc_fw.selectors.shares import Share


class StepOptions(Options):
    """Options that every step has."""

    classifies: ClassVar[bool] = False
    """Whether the step tells the class of every frame and the thresholds that it goes by; one step of a list does."""

    @property
    def most_picks(self) -> int | None:
        """Most picks of an iteration that the step lets through; None where it does not count them."""
        return None

    @property
    def goal(self) -> Goal | None:
        """What thresholds are fitted to, of a step that classifies; None where they are fixed, or there are none."""
        return None


StepOptionsType = TypeVar("StepOptionsType", bound=StepOptions)


@dataclass(frozen=True)
class Context:
    """What a selection knows besides the frames.

    Attributes
    ----------
    labelled : sequence of Atoms
        What needs no label any more.
    energies : sequence of float
        Of `labelled`, eV; NaN where a label failed. Empty where they are not known.
    limit : int
        Labels that are left of the budget.
    seed : int
        Every random choice derives from it; each step has its own.
    shares : sequence of Share
        What the systems may have of the picks; empty where they compete for all of them.
    iteration : int
        Counted from 0.
    kept_apart : frozenset of str
        `frame_hash` of the frames of the test set, which are never picked.
    room : int
        Most picks that the steps of the list and the budget allow; the pipeline knows.
    most_failed : float
        Where more than this fraction of the frames failed, picks come from where runs began to fail, …
    before_failure : int
        … at most so many sound frames of each run, and the first that failed.
    calibration : mapping of str to Calibration
        What labels told of the deviation, by system; empty where thresholds are fixed.
    """

    labelled: Sequence[Atoms]
    limit: int
    seed: int
    shares: Sequence[Share] = ()
    iteration: int = 0
    kept_apart: frozenset[str] = frozenset()
    energies: Sequence[float] = ()
    room: int = 0
    most_failed: float = 1.0
    before_failure: int = 5
    calibration: Mapping[str, Calibration] = field(default_factory=dict)

    def at(self, place: int, kind: str) -> Context:
        """The context of the step at a place of the list."""
        return replace(self, seed=derive_seed(self.seed, place, kind))


@dataclass
class Choice:
    """Every explored frame with its class and fate, in the order (replica, index), and the picks.

    Attributes
    ----------
    picks : list of (replica, index)
        In the order in which they deserve a label.
    window : tuple of float
        Thresholds between which a frame is a candidate, in the unit of `measure`.
    measure : str
        What the frames were judged by, and whose values they carry.
    onsets : list of Onset
        When each replica that runs in time failed first.
    windows : dict of str to tuple of float
        The thresholds of each system, where they have their own; then `window` spans them all.
    different : int or None
        How many of the frames differ from each other; None where all do.
    """

    frames: list[FrameVerdict]
    picks: list[tuple[int, int]]
    window: tuple[float, float]
    measure: str = FORCE_MAX
    onsets: list[Onset] = field(default_factory=list)
    windows: dict[str, tuple[float, float]] = field(default_factory=dict)
    different: int | None = None

    @property
    def thresholds(self) -> tuple[str, str]:
        """The window's lower and upper end with their unit; where systems have their own, from the least on."""
        return self._threshold(0), self._threshold(1)

    def _threshold(self, end: int) -> str:
        values = [window[end] for window in self.windows.values()] or [self.window[end]]
        ends = dict.fromkeys(f"{value:.4g}" for value in (min(values), max(values)))
        return in_unit(" to ".join(ends), self.measure)


class Step(Backend[StepOptionsType]):
    """One step of a selection: takes frames out, each with a reason, or says what they are worth."""

    def check(self, structures: Mapping[str, Atoms]) -> None:
        """Raise `InputError` where the step cannot work with the start structures, by the name of their system."""

    @abstractmethod
    def apply(self, pool: Pool, context: Context) -> None:
        """Drop frames of the pool with a reason, or set ``frame_class`` and ``score``; nothing else changes.

        Raises
        ------
        InputError
            If the explorations lack what the step needs.
        """
