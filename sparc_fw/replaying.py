"""What another selection would have picked from the explorations that a campaign has: nothing is computed or stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sparc_fw.calibrating import other_calibrations
from sparc_fw.campaign import Campaign
from sparc_fw.documents import PICK, FrameVerdict
from sparc_fw.explaining import last_iteration, stored_selection
from sparc_fw.firetasks.base import make_backend
from sparc_fw.firetasks.selection_inputs import context_of, explorations_of
from sparc_fw.selectors.base import Step
from sparc_fw.selectors.pipeline import select
from sparc_fw.settings import Settings
from sparc_fw.store import Store

CLASSES = ("accurate", "candidate", "failed")


@dataclass(frozen=True)
class Outcome:
    """What a selection made of an iteration's frames.

    Attributes
    ----------
    picks : list of (replica, index)
        In the order in which they deserve a label.
    window : tuple of float
        Thresholds, in the unit of `measure`.
    fractions : dict of str to float
        Of the frames, by class.
    fates : dict of str to int
        Frames by fate.
    """

    picks: list[tuple[int, int]]
    window: tuple[float, float]
    measure: str
    fractions: dict[str, float]
    fates: dict[str, int]


@dataclass(frozen=True)
class Replayed:
    """An iteration's selection as it was, and as other steps make it."""

    iteration: int
    then: Outcome
    now: Outcome

    @property
    def common(self) -> int:
        """Picks that both have."""
        return len(set(self.then.picks) & set(self.now.picks))

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"common": self.common}


def replay(
    store: Store, settings: Settings, campaign: Campaign, iterations: Sequence[int] | None = None
) -> list[Replayed]:
    """Select again in iterations of a stored campaign, with the labels, budget, shares and seed that each had.

    What an iteration explored is what the picks of the ones before led to, so that from the second one on this tells
    what the steps make of the same frames, not what a campaign of theirs would have come to.

    Parameters
    ----------
    campaign : Campaign
        The stored one, but for its steps.
    iterations : sequence of int, optional
        All that have selected where unset.

    Raises
    ------
    InputError
        If an iteration has not selected, or a step cannot work with what was explored.
    """
    if iterations is None:
        iterations = range(last_iteration(store, campaign.name) + 1)
    steps: list[Step[Any]] = [make_backend("step", options, settings) for options in campaign.select]
    potential = make_backend("potential", campaign.potential, settings)
    found = []
    for iteration in iterations:
        stored = stored_selection(store, campaign.name, iteration)
        calibration = other_calibrations(store, campaign, potential, iteration)
        context = context_of(store, campaign, iteration, calibration)
        choice = select(explorations_of(store, campaign, iteration), steps, context)
        found.append(
            Replayed(
                iteration,
                _outcome(stored.places, stored.window, stored.measure, stored.frames),
                _outcome(choice.picks, choice.window, choice.measure, choice.frames),
            )
        )
    return found


def _outcome(
    picks: list[tuple[int, int]], window: tuple[float, float], measure: str, frames: Sequence[FrameVerdict]
) -> Outcome:
    classes = Counter[str](frame.frame_class for frame in frames)
    fates = Counter(frame.fate for frame in frames)
    fates[PICK] = len(picks)
    fractions = {name: classes[name] / max(1, len(frames)) for name in CLASSES}
    return Outcome(picks, window, measure, fractions, dict(fates.most_common()))
