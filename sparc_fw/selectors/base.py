"""The selector interface."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from ase import Atoms

from sparc_fw.backend import Backend, Options
from sparc_fw.documents import FrameVerdict
from sparc_fw.selectors.shares import Share
from sparc_fw.trajectories import Exploration


class SelectorOptions(Options):
    """Options that every selector has."""


SelectorOptionsType = TypeVar("SelectorOptionsType", bound=SelectorOptions)


@dataclass
class Choice:
    """Every explored frame with its class and fate, in the order (replica, index), and the picks.

    ``picks`` are ``(replica, index)`` in the order in which they deserve a label.
    """

    frames: list[FrameVerdict]
    picks: list[tuple[int, int]]
    window: tuple[float, float]


class Selector(Backend[SelectorOptionsType]):
    """Chooses which explored frames are worth a label."""

    @abstractmethod
    def select(
        self,
        explorations: Sequence[Exploration],
        labelled: Sequence[Atoms],
        limit: int,
        seed: int,
        shares: Sequence[Share] = (),
    ) -> Choice:
        """Judge every frame and pick at most `limit` (the budget that is left) of them.

        Parameters
        ----------
        shares : sequence of Share
            What the systems may have of the picks; empty where they compete for all of them.
        """
