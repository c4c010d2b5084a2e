"""What the models of later iterations lost of what earlier ones knew, on sets of labels that never change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sparc_fw.documents import Report

TEST = "test"


@dataclass(frozen=True)
class Memory:
    """How well the committees of all iterations knew one fixed set of labels.

    Attributes
    ----------
    name : str
        ``test``, or the iteration whose held-out labels they are, as text.
    first : int
        The first iteration whose committee could know the set: it was trained on labels drawn like it.
    mae : tuple of float
        Mean absolute force error, mean over the members, eV/Å, from iteration `first` on.
    noise : tuple of float
        Standard error of each of these means, from the scatter of the members, eV/Å.
    """

    name: str
    first: int
    mae: tuple[float, ...]
    noise: tuple[float, ...]

    @property
    def title(self) -> str:
        """The set in words."""
        return "the test set" if self.name == TEST else f"labels held out in iteration {self.name}"

    @property
    def ratio(self) -> float:
        """Forgetting ratio: growth of the error since `first`, relative to what it was then; below 0 where it fell.

        (MAE now - MAE then) / MAE then, as in continual learning; 0 where both are 0.
        """
        if self.mae[0] == 0.0:
            return float("inf") if self.mae[-1] > 0.0 else 0.0
        return self.mae[-1] / self.mae[0] - 1.0

    @property
    def is_clear(self) -> bool:
        """Whether the error grew by more than twice what the scatter of the members explains."""
        return self.mae[-1] - self.mae[0] > 2.0 * float(np.hypot(self.noise[0], self.noise[-1]))


def memories(reports: Sequence[Report]) -> list[Memory]:
    """What is known of every fixed set, the test set first, then held-out labels by their iteration.

    Parameters
    ----------
    reports : sequence of Report
        Of iterations 0, 1, …, in order.
    """
    if not reports:
        return []
    found = []
    for name in (TEST, *sorted(reports[-1].members[0]["held_out"], key=int)):
        first = 0 if name == TEST else int(name)
        rows = [[_mae(member, name) for member in report.members] for report in reports[first:]]
        known = [[value for value in row if value is not None] for row in rows]
        # A set without labels in some iteration (all of them dropped as wrong) cannot be followed.
        if known and all(known):
            noise = tuple(float(np.std(row, ddof=1) / np.sqrt(len(row))) if len(row) > 1 else 0.0 for row in known)
            found.append(Memory(name, first, tuple(float(np.mean(row)) for row in known), noise))
    return found


def forgotten(known: Sequence[Memory], limit: float) -> str:
    """One clause about the set that was forgotten most, where one passed `limit` clearly; empty otherwise."""
    clear = [memory for memory in known if memory.is_clear and memory.ratio > limit]
    if not clear:
        return ""
    worst = max(clear, key=lambda memory: memory.ratio)
    return (
        f"forgetting: the mean force error on {worst.title} rose from {worst.mae[0]:.3f} to "
        f"{worst.mae[-1]:.3f} eV/Å, by {100 * worst.ratio:.0f} % (limit {100 * limit:.3g} %)"
    )


def _mae(member: dict[str, Any], name: str) -> float | None:
    errors = member[TEST] if name == TEST else member["held_out"].get(name)
    return None if errors is None else float(errors["force_mae"])


def stalled(known: Sequence[Memory], unsure: Sequence[float], patience: int, min_gain: float) -> str:
    """One clause where the last iterations gained nothing; empty where they did, or are too few to tell.

    Both must be flat: the error on the set that all iterations share (the test set, or what was held out of the start
    labels), and the unsure fraction. Flat is what the best of the last `patience` iterations did not lower by
    `min_gain` of what the best before them had.

    Parameters
    ----------
    unsure : sequence of float
        Fraction of candidate and failed frames in each iteration, this one included.
    """
    shared = [memory for memory in known if memory.first == 0]
    if not shared or len(unsure) <= patience or len(shared[0].mae) <= patience:
        return ""
    memory = shared[0]
    for values in (memory.mae, unsure):
        if min(values[-patience:]) < (1.0 - min_gain) * min(values[:-patience]):
            return ""
    return (
        f"{patience} iterations lowered neither the mean force error on {memory.title} "
        f"({min(memory.mae[:-patience]):.3f} eV/Å before, {min(memory.mae[-patience:]):.3f} since) nor the unsure "
        f"fraction ({100 * min(unsure[:-patience]):.3g} % before, {100 * min(unsure[-patience:]):.3g} % since) by "
        f"{100 * min_gain:.3g} %; try other start frames, a larger net, a longer training or a narrower exploration"
    )
