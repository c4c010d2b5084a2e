"""What an iteration concludes: go on, or stop and say why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sparc_fw.campaign import Budget
from sparc_fw.documents import Verdict
from sparc_fw.selectors.base import Choice
from sparc_fw.selectors.calibration_records import Calibration
from sparc_fw.selectors.calibration_sentences import told_of, unproven
from sparc_fw.selectors.forgetting import Memory, forgotten, stalled
from sparc_fw.selectors.goals import Convergence
from sparc_fw.selectors.observables import Change

CLASSES = ("accurate", "candidate", "failed")


@dataclass(frozen=True)
class Progress:
    """Where the campaign stands when an iteration has been explored.

    Attributes
    ----------
    iteration : int
        Counted from 0.
    labels_spent : int
        Labels asked for so far, failed ones included.
    hours : float
        Wall time since the campaign was registered.
    planned_ps, survived_ps : float
        Exploration time of this iteration, over all replicas that run in time.
    earlier : sequence of (fractions, verdict)
        What the iterations before this one concluded, in order.
    calm : sequence of bool
        Which of the iterations before this one were calm, in order.
    memories : sequence of Memory
        What the committees so far know of labels that never change.
    unreached : sequence of str
        What the exploration should have covered and did not, in clauses.
    changes : sequence of Change
        What became of the observables that the campaign names.
    calibrations : sequence of Calibration
        What the thresholds of each system rest on; empty where they are fixed.
    """

    iteration: int
    labels_spent: int
    hours: float
    planned_ps: float
    survived_ps: float
    earlier: Sequence[tuple[dict[str, float], Verdict]]
    calm: Sequence[bool] = ()
    memories: Sequence[Memory] = ()
    unreached: Sequence[str] = ()
    changes: Sequence[Change] = ()
    calibrations: Sequence[Calibration] = ()

    @property
    def survived(self) -> float:
        """Fraction of the planned exploration time that was survived; 1 where nothing was to run in time."""
        return min(1.0, self.survived_ps / self.planned_ps) if self.planned_ps > 0 else 1.0


@dataclass(frozen=True)
class Outcome:
    """A verdict with the numbers that it rests on.

    Attributes
    ----------
    fractions : dict
        ``accurate``, ``candidate``, ``failed`` of all frames, and ``survived`` of the planned time.
    counts : dict
        ``frames``, then frames by fate (``pick``, ``accurate``, ``nan``, …).
    go_on : bool
        Whether the next iteration is to be appended.
    time_factor : float
        Fraction of their planned time that its runs last.
    calm : bool
        Whether nothing but patience, or observables that still move, was missing; runs at their full length.
    """

    fractions: dict[str, float]
    counts: dict[str, int]
    verdict: Verdict
    sentence: str
    go_on: bool
    time_factor: float = 1.0
    calm: bool = False


def conclude(choice: Choice, progress: Progress, convergence: Convergence, budget: Budget) -> Outcome:
    """Judge an iteration.

    In this order: nothing explored is ``stalled``; too many failed frames is ``exploded``, and the next runs are
    shorter; neither is ever converged; few unsure frames for `patience` iterations, on enough frames of runs that
    survived, is ``converged``; a spent budget, or spent shares of all systems with frames to label, is ``exhausted``;
    nothing to label in an iteration with flaws is ``stalled``, and so are several iterations that gained nothing. Where
    only patience is missing, the campaign goes on, if need be without picks. Where thresholds set themselves,
    iterations without enough labels below the lower one are not calm. What was forgotten is named whatever the verdict
    is.
    """
    classes: Counter[str] = Counter(frame.frame_class for frame in choice.frames)
    total = len(choice.frames)
    fractions = {name: classes[name] / total if total else 0.0 for name in CLASSES}
    fractions["survived"] = progress.survived
    fates = Counter(frame.fate for frame in choice.frames)
    counts = {"frames": total, **{fate: fates[fate] for fate in sorted(fates)}}
    verdict, sentence, go_on = _judge(choice, fractions, progress, convergence, budget)
    lost = forgotten(progress.memories, convergence.max_forgetting)
    told = [f"{verdict}: {sentence}", told_of(progress.calibrations), lost]
    factor = _time_factor(progress, convergence, now=verdict == "exploded")
    calm = verdict in ("continue", "converged") and not _flaws(choice, fractions, progress, convergence)
    calm = calm and not _shortened(progress, convergence)
    return Outcome(fractions, counts, verdict, "; ".join(filter(None, told)), go_on, factor, calm)


def _judge(
    choice: Choice, fractions: dict[str, float], progress: Progress, convergence: Convergence, budget: Budget
) -> tuple[Verdict, str, bool]:
    spent = _spent(progress, budget)
    if not choice.frames:
        ran = f"{progress.survived_ps:.1f} of {progress.planned_ps:.1f} ps ran"
        return "stalled", f"no frame was explored ({ran if progress.planned_ps else _survival(progress)})", False
    if fractions["failed"] > convergence.max_failed_fraction:
        return _exploded(choice, fractions, progress, convergence, spent)
    numbers = "; ".join([_numbers(choice, fractions, progress, convergence), *_told(progress, True)])
    flaws = _flaws(choice, fractions, progress, convergence)
    moving = [*_told(progress, False), *_shortened(progress, convergence)]
    row = 0 if flaws else 1 + _calm_before(progress)
    if row >= convergence.patience and not moving:
        return "converged", numbers, False
    calm = "" if flaws or row >= convergence.patience else _calm(row, convergence)
    missing = "; ".join(filter(None, [*flaws, calm, *moving]))
    if spent:
        return "exhausted", f"{spent}; not converged: {missing}; {numbers}", False
    # An iteration without flaws asks again, if need be without new labels, until it has been calm often enough and
    # nothing moves any more.
    if not choice.picks and flaws and any(frame.fate == "over_share" for frame in choice.frames):
        told = f"the systems with frames to label have spent their label_share ({_fates(choice)})"
        return "exhausted", f"{told}; not converged: {missing}; {numbers}", False
    if not choice.picks and flaws:
        return "stalled", f"nothing could be picked ({_fates(choice)}), though {missing}; {numbers}", False
    unsure = [_unsure(before) for before, _ in progress.earlier] + [_unsure(fractions)]
    flat = stalled(progress.memories, unsure, convergence.stall_patience, convergence.min_gain) if flaws else ""
    if flat:
        return "stalled", f"{flat}; {missing}; {numbers}", False
    return "continue", f"{len(choice.picks)} frames picked; {missing}; {numbers}", True


def _exploded(
    choice: Choice, fractions: dict[str, float], progress: Progress, convergence: Convergence, spent: str
) -> tuple[Verdict, str, bool]:
    row = 1 + _exploded_before(progress)
    failed, limit = _percent(fractions["failed"]), _percent(convergence.max_failed_fraction)
    sentence = (
        f"{failed} of {len(choice.frames):,} frames failed, above {choice.thresholds[1]} or broken (limit {limit}), "
        f"{'; '.join([_survival(progress), *_onset(choice)])}"
    )
    if spent:
        return "exploded", f"{sentence}; stopped: {spent}", False
    if row >= convergence.max_exploded:
        advice = (
            "explore shorter or colder, widen the window (f_hi), or begin with more and more varied start frames, "
            "among them some like those that failed first"
        )
        return "exploded", f"{sentence}; stopped after {row} exploded iteration(s) in a row: {advice}", False
    if not choice.picks:
        return "exploded", f"{sentence}; stopped: nothing could be picked ({_fates(choice)})", False
    factor = _time_factor(progress, convergence, now=True)
    shorter = f", and with runs of {_percent(factor)} of the planned time" if factor < 1 else ""
    return "exploded", f"{sentence}; going on with {len(choice.picks)} picks{shorter}", True


def _onset(choice: Choice) -> list[str]:
    """A clause on when runs failed first, where they run in time."""
    fallen = [onset for onset in choice.onsets if onset.failed]
    if not fallen:
        return []
    first = min(fallen, key=lambda onset: onset.ps)
    last = max(choice.onsets, key=lambda onset: onset.ps)
    told = f"the first failure came after {first.ps:.3g} ps (replica {first.replica})"
    if len(choice.onsets) == 1:
        return [told]
    return [f"{told}, replica {last.replica} went longest without one ({last.ps:.3g} ps)"]


def _exploded_before(progress: Progress) -> int:
    """How many iterations right before this one exploded."""
    row = 0
    for _, verdict in reversed(progress.earlier):
        if verdict != "exploded":
            break
        row += 1
    return row


def _time_factor(progress: Progress, convergence: Convergence, now: bool) -> float:
    """Fraction of the planned time that the next runs last, if this iteration exploded or not."""
    return float(convergence.shorten ** (1 + _exploded_before(progress))) if now and progress.planned_ps else 1.0


def _shortened(progress: Progress, convergence: Convergence) -> list[str]:
    """A clause where this iteration's runs were shortened: what they did not reach, nobody knows."""
    factor = convergence.shorten ** _exploded_before(progress)
    if factor == 1 or not progress.planned_ps:
        return []
    return [f"runs lasted {_percent(factor)} of the planned time, for the iteration before exploded"]


def _flaws(choice: Choice, fractions: dict[str, float], progress: Progress, convergence: Convergence) -> list[str]:
    """Everything in this iteration that forbids to call it calm."""
    flaws = []
    if _unsure(fractions) > convergence.max_unsure_fraction:
        flaws.append(f"{_percent(_unsure(fractions))} of the frames are unsure")
    count = len(choice.frames) if choice.different is None else choice.different
    if count < convergence.min_frames:
        kind = "frames" if count == len(choice.frames) else "different frames"
        flaws.append(f"only {count:,} {kind} were explored, {convergence.min_frames:,} asked for")
    if progress.survived < convergence.min_survived_fraction:
        flaws.append(
            f"only {_percent(progress.survived)} of the time was survived, "
            f"{_percent(convergence.min_survived_fraction)} asked for"
        )
    return [*flaws, *progress.unreached, *unproven(progress.calibrations)]


def _told(progress: Progress, settled: bool) -> list[str]:
    """What is said of the observables that stand still, or of those that do not."""
    return [change.clause for change in progress.changes if change.settled == settled]


def _calm(row: int, convergence: Convergence) -> str:
    return f"calm for {row} iteration(s) in a row, {convergence.patience} asked for"


def _calm_before(progress: Progress) -> int:
    """How many iterations right before this one were calm."""
    return next((row for row, calm in enumerate(reversed(progress.calm)) if not calm), len(progress.calm))


def _spent(progress: Progress, budget: Budget) -> str:
    """Which budget is used up; empty where none is."""
    if progress.labels_spent >= budget.labels:
        return f"{progress.labels_spent} of {budget.labels} labels spent"
    if progress.iteration + 1 >= budget.iterations:
        return f"{progress.iteration + 1} of {budget.iterations} iterations done"
    if budget.hours is not None and progress.hours >= budget.hours:
        return f"{progress.hours:.1f} of {budget.hours:g} hours passed"
    return ""


def _numbers(choice: Choice, fractions: dict[str, float], progress: Progress, convergence: Convergence) -> str:
    return (
        f"{_percent(_unsure(fractions))} of {len(choice.frames):,} frames above {choice.thresholds[0]} "
        f"(limit {_percent(convergence.max_unsure_fraction)}), {_survival(progress)}"
    )


def _survival(progress: Progress) -> str:
    if not progress.planned_ps:
        return "nothing ran in time"
    if progress.survived >= 1.0:
        return f"all of {progress.planned_ps:.1f} ps survived"
    return f"{progress.survived_ps:.2f} of {progress.planned_ps:.2f} ps survived"


def _fates(choice: Choice) -> str:
    """Why frames were not picked: ``"12 too_similar, 3 failed"``."""
    fates = Counter(frame.fate for frame in choice.frames)
    return ", ".join(f"{count:,} {fate}" for fate, count in sorted(fates.items()))


def _unsure(fractions: dict[str, float]) -> float:
    return fractions["candidate"] + fractions["failed"]


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.3g} %"
