"""What biased runs gave, in sentences for the report."""

from __future__ import annotations

from collections.abc import Sequence

from sparc_fw.biased_runs import PullsFound, WindowsFound
from sparc_fw.explorers.windows import described
from sparc_fw.work_profiles import Barrier


def biased_sentences(found: Sequence[WindowsFound | PullsFound]) -> list[str]:
    """One sentence or several for every explorer, system and iteration."""
    sentences: list[str] = []
    for each in found:
        told = _of_windows(each) if isinstance(each, WindowsFound) else _of_pulls(each)
        sentences += [f"{each.place.sentence_begin()}: {sentence}" for sentence in told]
    return sentences


def _of_windows(found: WindowsFound) -> list[str]:
    left_out = [f"not used for the free energy: {run}." for run in found.left_out]
    result = found.result
    if result is None:
        return [*left_out, "no free energy: fewer than two windows are left."]
    if result.problem is not None:
        return [*left_out, f"no free energy: {result.problem}."]
    fewest = min(range(len(result.samples)), key=result.samples.__getitem__)
    base = (
        f"{len(result.samples)} windows at {found.kelvin:g} K, fewest independent samples {result.samples[fewest]} "
        f"(window {described(result.centres[fewest])})"
    )
    told = []
    for variable, unit, curve in zip(found.place.variables, found.place.units, result.curves, strict=True):
        lowest = f"lowest at {curve.at[int(curve.energy.argmin())]:.3g} {unit}".rstrip()
        if curve.barrier is None:
            height = "no barrier that stands out of the error"
        else:
            at, energy, error = curve.barrier
            height = f"a barrier of {energy:.3f} ± {error:.3f} eV at {at:.3g} {unit}".rstrip()
        told.append(f"free energy along {variable}: {lowest}, {height}; {base}.")
    return [*left_out, *told]


def _of_pulls(found: PullsFound) -> list[str]:
    [variable], [unit] = found.place.variables, found.place.units
    told = [f"{variable} pulled at {_barrier(barrier, unit)}" for barrier in found.barriers]
    for kelvin in sorted({barrier.kelvin for barrier in found.barriers}):
        same = [barrier for barrier in found.barriers if barrier.kelvin == kelvin]
        if len(same) > 1:
            slow, fast = same[0], same[-1]
            told.append(
                f"{fast.per_ps / slow.per_ps:.3g} times as fast, the highest work differs by "
                f"{fast.height - slow.height:+.3f} eV, at {kelvin:g} K."
            )
    return told


def _barrier(barrier: Barrier, unit: str) -> str:
    runs = f"{barrier.runs} run{'s' if barrier.runs > 1 else ''}"
    spread = "" if barrier.spread is None else f" ± {barrier.spread:.3f} (standard deviation)"
    place = f"{barrier.place:.3g} {unit}".rstrip()
    text = f"{barrier.per_ps:g} {unit}/ps and {barrier.kelvin:g} K: highest work {barrier.height:.3f}{spread} eV, "
    text += f"reached at {place} ({runs}"
    if barrier.jarzynski is not None:
        text += f"; Jarzynski's average {barrier.jarzynski[0]:.3f} ± {barrier.jarzynski[1]:.3f} eV"
    text += ")"
    if barrier.rising:
        text += ", and still rising at the end of the way"
    if barrier.broken:
        text += f"; {len(barrier.broken)} ended early ({barrier.broken[0]})"
    return text + "."
