"""The baseline: picks at random, whatever the committee thinks of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from ase import Atoms

from sparc_fw.selectors.base import Choice
from sparc_fw.selectors.shares import Share
from sparc_fw.selectors.trust_window import TrustWindow, TrustWindowOptions
from sparc_fw.trajectories import Exploration


class RandomPicksOptions(TrustWindowOptions):
    """Options of the selector ``random``: the window still names the classes, but does not steer the picks."""

    kind: Literal["random"] = "random"  # type: ignore[assignment]


class RandomPicks(TrustWindow):
    """Picks frames at random among all that are not broken, to compare other selectors with.

    Spacing and difference are kept, so that only the choice by deviation is compared.
    """

    Options: ClassVar[type[RandomPicksOptions]] = RandomPicksOptions

    def select(
        self,
        explorations: Sequence[Exploration],
        labelled: Sequence[Atoms],
        limit: int,
        seed: int,
        shares: Sequence[Share] = (),
    ) -> Choice:
        """Judge every frame and draw at most `limit` of those without overlap and with a finite deviation."""
        ordered = sorted(explorations, key=lambda exploration: exploration.replica)
        frames = [verdict for exploration in ordered for verdict in self._judge(exploration)]
        sound = [frame for frame in frames if frame.fate not in ("nan", "overlap")]
        drawn = [sound[row] for row in np.random.default_rng(seed).permutation(len(sound))]
        return self._choice(frames, drawn, ordered, labelled, limit, shares)
