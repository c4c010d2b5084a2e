"""How many frames an iteration may have labelled."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from sparc_fw.selectors.base import Context, StepOptions
from sparc_fw.selectors.pool import Pool
from sparc_fw.selectors.rules import OVER_CAP, Judge, Rule


class BudgetOptions(StepOptions):
    """Options of the step ``budget``."""

    kind: Literal["budget"] = "budget"
    cap: int = Field(45, ge=1)
    """Most picks per iteration, of all systems together; each system is assured its `label_share` of them."""
    per_system: int | None = Field(None, ge=1)
    """Most picks of one system; where unset, no limit. Frames drawn by lot (`random_share` of `window`) count, and may
    go beyond it."""
    per_replica: int | None = Field(None, ge=1)
    """Most picks of one replica; where unset, no limit. Frames drawn by lot count, and may go beyond it."""

    @property
    def most_picks(self) -> int:
        """The cap."""
        return self.cap


class Budget(Rule[BudgetOptions]):
    """Lets the best frames through, as many as there is room for, shared out among the systems.

    Rules beside it in the list fill that room together; what comes behind another step is chosen from what got through.
    """

    Options: ClassVar[type[BudgetOptions]] = BudgetOptions

    def judge(self, pool: Pool, context: Context, order: np.ndarray) -> Judge:
        """Count what systems and replicas get; the cap is kept by whoever goes through the frames."""
        return _Counts(pool, self.options)


class _Counts:
    """Picks of each system and of each replica."""

    def __init__(self, pool: Pool, options: BudgetOptions) -> None:
        self._pool = pool
        limits = {"system": options.per_system, "replica": options.per_replica}
        self._limits = {name: limit for name, limit in limits.items() if limit is not None}
        self._taken: Counter[tuple[str, int]] = Counter()

    def _counted(self, row: int) -> list[tuple[str, int]]:
        return [(name, int(getattr(self._pool, name)[row])) for name in self._limits]

    def refuses(self, row: int) -> str:
        full = any(self._taken[key] >= self._limits[key[0]] for key in self._counted(row))
        return OVER_CAP if full else ""

    def take(self, row: int) -> None:
        self._taken.update(self._counted(row))
