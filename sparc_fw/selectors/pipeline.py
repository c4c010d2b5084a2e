"""Step after step, from all explored frames to the picks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sparc_fw.errors import InputError, named
from sparc_fw.selectors.base import Choice, Context, Step
from sparc_fw.selectors.crossings import Crossings, onsets
from sparc_fw.selectors.pool import Pool
from sparc_fw.selectors.rules import Judge, Rule, sift
from sparc_fw.selectors.screens import drop_broken, drop_test_frames
from sparc_fw.trajectories import Exploration


def select(explorations: Sequence[Exploration], steps: Sequence[Step[Any]], context: Context) -> Choice:
    """Judge every explored frame, and pick what is worth a label.

    Frames without a finite position or force deviation go first, then those of the test set. Rules that follow each
    other judge together. What is still in after the last step is picked, best first, as far as the budget and the
    shares of the systems allow. Where most frames failed, the rules choose once more, among the frames where runs began
    to fail.

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
    pool = Pool(explorations, context.labelled)
    drop_broken(pool)
    drop_test_frames(pool, context.kept_apart)
    limits = [*_caps(enumerate(steps)), (context.limit, -1)]
    context = replace(context, room=min(limits)[0])
    place = 0
    while place < len(steps):
        pool.at_work = place
        rules = _rules_from(steps, place)
        if rules:
            behind = limits if place + len(rules) == len(steps) else _caps(rules)
            _judge_together(pool, rules, context, behind)
        else:
            _apply(pool, steps[place], place, context)
        place += max(1, len(rules))
    pool.at_work = -1
    if not steps or not isinstance(steps[-1], Rule):
        _judge_together(pool, [], context, limits)
    if len(pool) and (pool.frame_class == "failed").mean() > context.most_failed:
        crossings = Crossings(pool, context.before_failure)
        rules = [(place, step) for place, step in enumerate(steps) if isinstance(step, Rule)]
        _judge_together(pool, rules, context, limits, first=[crossings])
        crossings.settle()
    return _choice(pool)


def _rules_from(steps: Sequence[Step[Any]], place: int) -> list[tuple[int, Rule[Any]]]:
    """The rules that follow each other from a place on, each with its place."""
    found = []
    for number, step in enumerate(steps[place:], start=place):
        if not isinstance(step, Rule):
            break
        found.append((number, step))
    return found


def _caps(steps: Iterable[tuple[int, Step[Any]]]) -> list[tuple[int, int]]:
    """Most picks that steps let through, each with the step's place."""
    return [(cap, place) for place, step in steps if (cap := step.options.most_picks) is not None]


def _judge_together(
    pool: Pool,
    rules: Sequence[tuple[int, Rule[Any]]],
    context: Context,
    limits: Sequence[tuple[int, int]],
    first: Sequence[Judge] = (),
) -> None:
    """Let rules, each with its place, go through the frames side by side, up to the least of some limits.

    The last ones keep the limits of all steps: frames drawn by lot come beside what a step without rules let through.
    """
    order = pool.taking_turns()
    judges = [(-1, judge) for judge in first]
    for place, rule in rules:
        with named(_named(place, rule)):
            judges.append((place, rule.judge(pool, context.at(place, rule.options.kind), order)))
    limit, limited_by = min(limits, default=(len(pool), -1))
    sift(pool, judges, limit, context.shares if limits else (), limited_by)


def _apply(pool: Pool, step: Step[Any], place: int, context: Context) -> None:
    """Let a step work, and see that it kept to the rules."""
    before, lots = pool.fate.copy(), pool.drawn.copy()
    with named(_named(place, step)):
        step.apply(pool, context.at(place, step.options.kind))
        out = (before != "") & ~(lots & pool.screened)
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
    found = onsets(pool)
    return Choice(pool.verdicts(), picks, pool.window, pool.measure, found, pool.windows, pool.different())
