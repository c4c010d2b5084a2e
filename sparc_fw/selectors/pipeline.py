"""Step after step, from all explored frames to the picks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sparc_fw.errors import InputError, named
from sparc_fw.selectors.base import Choice, Context, Step
from sparc_fw.selectors.pool import Pool
from sparc_fw.selectors.rules import Rule, sift
from sparc_fw.selectors.screens import drop_broken
from sparc_fw.trajectories import Exploration


def select(explorations: Sequence[Exploration], steps: Sequence[Step[Any]], context: Context) -> Choice:
    """Judge every explored frame, and pick what is worth a label.

    Frames without a finite position or force deviation go first. Rules that follow each other judge together. What is
    still in after the last step is picked, best first, as far as the budget and the shares of the systems allow.

    Parameters
    ----------
    explorations : sequence of Exploration
        In any order.
    steps : sequence of Step
        One of them tells the classes.

    Raises
    ------
    InputError
        Names the step that cannot work with what was explored, or that broke the rules for steps.
    """
    caps = [step.options.most_picks for step in steps]
    context = replace(context, most_picks=min([context.limit, *(cap for cap in caps if cap is not None)]))
    pool = Pool(explorations)
    drop_broken(pool)
    place = 0
    while place < len(steps):
        count = max(1, _rules_from(steps, place))
        last = place + count == len(steps)
        group = steps[place : place + count]
        pool.at_work = place
        if isinstance(group[0], Rule):
            _judge_together(pool, group, place, context, last)
        else:
            _apply(pool, group[0], place, context)
        place += count
    pool.at_work = -1
    if not steps or not isinstance(steps[-1], Rule):
        sift(pool, [], context.limit, context.shares)
    return _choice(pool)


def _rules_from(steps: Sequence[Step[Any]], place: int) -> int:
    """How many steps, from a place on, are rules."""
    others = (number for number, step in enumerate(steps[place:]) if not isinstance(step, Rule))
    return next(others, len(steps) - place)


def _judge_together(pool: Pool, rules: Sequence[Step[Any]], place: int, context: Context, last: bool) -> None:
    """Let rules go through the frames side by side; the last ones keep the campaign's budget, too."""
    order = pool.taking_turns()
    judges = []
    for number, rule in enumerate(rules, start=place):
        assert isinstance(rule, Rule)
        with named(_named(number, rule)):
            judges.append((number, rule.judge(pool, context.at(number, rule.options.kind), order)))
    caps = [(rule.options.most_picks, number) for number, rule in enumerate(rules, start=place)]
    limits = [(cap, number) for cap, number in caps if cap is not None] + ([(context.limit, -1)] if last else [])
    limit, limited_by = min(limits, default=(len(pool), -1))
    sift(pool, judges, limit, context.shares if limits else (), limited_by)


def _apply(pool: Pool, step: Step[Any], place: int, context: Context) -> None:
    """Let a step work, and see that it kept to the rules."""
    before = pool.fate.copy()
    with named(_named(place, step)):
        step.apply(pool, context.at(place, step.options.kind))
        out = before != ""
        if (pool.fate[out] != before[out]).any():
            raise InputError("changed the fate of frames that were out, expected that a reason stands for good")
        if not np.isfinite(pool.score[pool.fate == ""]).all():
            raise InputError("left frames in whose score is not finite, expected a number for each")


def _named(place: int, step: Step[Any]) -> str:
    return f"select[{place}] ({step.options.kind})"


def _choice(pool: Pool) -> Choice:
    if (pool.frame_class == "").any():
        raise InputError("select: left frames without a class, expected a step that tells it, as 'window' does")
    rows = np.concatenate([pool.alive(), np.flatnonzero(pool.drawn)])
    picks = list(zip(pool.replica[rows].tolist(), pool.index[rows].tolist(), strict=True))
    return Choice(pool.verdicts(), picks, pool.window, pool.measure, pool.windows)
