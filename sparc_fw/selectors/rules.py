"""Rules that look at one frame after the other, best first, and at what was picked before it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from sparc_fw.selectors.base import Context, Step, StepOptionsType
from sparc_fw.selectors.pool import Pool
from sparc_fw.selectors.shares import Room, Share

OVER_CAP, OVER_SHARE = "over_cap", "over_share"


class Judge(Protocol):
    """What a rule knows while it goes through the frames."""

    def refuses(self, row: int) -> str:
        """Why a frame may not be picked beside those that were; empty where it may."""

    def take(self, row: int) -> None:
        """Remember a frame that all rules let through."""


class Rule(Step[StepOptionsType]):
    """A step that compares a frame with what was picked before it.

    Rules that follow each other in the list judge together, so that a frame which one of them refuses stands in
    nobody's way with the others, and takes up no room in the budget.
    """

    @abstractmethod
    def judge(self, pool: Pool, context: Context, order: np.ndarray) -> Judge:
        """Begin to go through the rows in `order`; those that were drawn come first, and are taken."""

    def apply(self, pool: Pool, context: Context) -> None:
        """Go through the frames that are in, by this rule alone."""
        cap = self.options.most_picks
        judges = [(pool.at_work, self.judge(pool, context, pool.taking_turns()))]
        sift(pool, judges, len(pool) if cap is None else cap, () if cap is None else context.shares)


def sift(
    pool: Pool,
    judges: Sequence[tuple[int, Judge]],
    limit: int,
    shares: Sequence[Share],
    limited_by: int | None = None,
) -> None:
    """Go through the frames that are in, best first, until `limit` of them have passed all judges.

    Systems with shares get what they are assured first; what they leave of it goes to the others, best first. A frame
    that would have had a place without shares, and has none, is ``over_share``; what comes when all places are given
    away is ``over_cap`` and not looked at. What was drawn has its place already.

    Parameters
    ----------
    judges : sequence of (int, Judge)
        Each with the place of its step.
    limited_by : int, optional
        Place of the step that sets the limit; -1 where it is the campaign's budget, the step at work where unset.
    """
    order = pool.alive().tolist()
    pool.turn[order] = np.arange(len(order))
    system = [pool.systems[code] for code in pool.system[order].tolist()]
    room = Room(limit, shares)
    for row in np.flatnonzero(pool.drawn).tolist():
        room.take(pool.systems[pool.system[row]])
        for _, judge in judges:
            judge.take(row)
    waiting: list[tuple[int, str]] = []
    untold: list[int] = []
    ousted = 0
    for number, (row, name) in enumerate(zip(order, system, strict=True)):
        if room.full:
            untold = order[number:]
            break
        if room.assures(name):
            _offer(pool, judges, row, name, room)
        else:
            ousted += room.taken + len(waiting) < limit
            waiting.append((row, name))
    refused = []
    for place, (row, name) in enumerate(waiting):
        if not room.full and room.allows(name):
            _offer(pool, judges, row, name, room)
        else:
            refused.append((place, row))
    over_share = [row for place, row in refused if place < ousted or not room.full]
    pool.drop(over_share, OVER_SHARE, limited_by)
    pool.drop([*sorted({row for _, row in refused}.difference(over_share)), *untold], OVER_CAP, limited_by)


def _offer(pool: Pool, judges: Sequence[tuple[int, Judge]], row: int, system: str, room: Room) -> None:
    """Give a frame one of the places, unless a judge refuses it."""
    for place, judge in judges:
        reason = judge.refuses(row)
        if reason:
            pool.drop([row], reason, place)
            return
    for _, judge in judges:
        judge.take(row)
    room.take(system)
