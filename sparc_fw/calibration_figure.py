"""The picture of a calibration: errors against the force deviation, and whether the bounds hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from sparc_fw.figures import save_figure
from sparc_fw.selectors.calibration_records import Calibration, Kind, Pairs

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.ticker import LogLocator

KINDS: dict[Kind, dict[str, Any]] = {
    "random": {"marker": "o", "color": "tab:orange", "markersize": 4},
    "picks": {"marker": ".", "color": "tab:blue", "markersize": 4},
}
ALLOWED = 0.05
"""Half the width of the band about the diagonal: what a coverage may miss its aim by."""


def draw_calibration(found: Calibration, pairs: Pairs, path: Path) -> Path:
    """Draw a calibration and the pairs that it was made from; returns the file.

    On the left all labels, the bounds and the thresholds; squares are the quantiles that the labels of a bin have at
    the calibration's confidence, which should lie on the bound. On the right the coverage that was found, on labels
    that the bounds were not fitted to, against the one aimed for; error bars are binomial standard deviations.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.8), width_ratios=[1.5, 1], layout="constrained")
    _draw_errors(left, found, pairs)
    _draw_coverage(right, found)
    # Labels may be anywhere in the axes.
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return save_figure(figure, path)


def _draw_errors(axes: Any, found: Calibration, pairs: Pairs) -> None:
    good = pairs.good
    for kind, style in KINDS.items():
        mine = good.part(good.kinds == kind)
        axes.plot(mine.sigma, mine.error, linestyle="", **style, label=f"{kind} ({len(mine)} labels)")
    percent = f"{100 * found.confidence:g} %"
    binned = {"marker": "s", "markersize": 6, "color": "k", "markerfacecolor": "none", "linestyle": ""}
    axes.plot([row.sigma for row in found.bins], [row.found for row in found.bins], **binned)
    axes.plot([], [], **binned, label=f"{percent} quantile of the labels of a bin")
    # The axes are logarithmic.
    seen = pairs.sigma[pairs.sigma > 0]
    if len(seen):
        picked = good.sigma[~good.random & (good.sigma > 0)]
        lines = (
            (found.explored, "-", f"{percent} bound, random frames", seen),
            # Elsewhere nothing is picked.
            (found.picks, "--", f"{percent} bound, picks", picked),
            (found.typical, ":", "typical error", seen),
        )
        for bound, line, told, there in lines:
            if bound is not None:
                sigma = np.geomspace(there.min(), there.max(), 200)
                axes.plot(sigma, bound.at(sigma), "k", linestyle=line, linewidth=1, label=told)
        axes.set_xlim(seen.min() / 1.2, seen.max() * 1.2)
    axes.set(xscale="log", yscale="log", xlabel="force deviation (eV/Å)", ylabel="largest force error (eV/Å)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    axes.axhline(found.target, color="tab:red", linewidth=0.8, label=f"target {found.target:g} eV/Å")
    wide = "" if found.calibrated else ", wide: too few labels"
    window = f"f_lo {found.f_lo:.3g} to f_hi {found.f_hi:.3g} eV/Å{wide}"
    axes.axvspan(found.f_lo, found.f_hi, color="tab:green", alpha=0.15, linewidth=0, label=window)
    failed = pairs.sigma[~np.isfinite(pairs.error)]
    if len(failed):
        # They have no error: ticks at the upper edge.
        transform = axes.get_xaxis_transform()
        mark = {"marker": "v", "color": "tab:red", "linestyle": "", "markersize": 5}
        axes.plot(failed, np.full(len(failed), 0.98), transform=transform, **mark)
        axes.plot([], [], **mark, label=f"failed ({len(failed)} labels)")
    correlation = "" if found.rank_correlation is None else f", rank correlation {found.rank_correlation:.2f}"
    axes.set_title(f"{found.system}{correlation}")


def _draw_coverage(axes: Any, found: Calibration) -> None:
    aims = np.array([0.0, 1.0])
    axes.fill_between(aims, aims - ALLOWED, aims + ALLOWED, color="0.9", label=f"± {100 * ALLOWED:g} points")
    axes.plot(aims, aims, color="0.5", linewidth=0.8)
    for kind, style in KINDS.items():
        held_out = [row for row in [*found.curve, *found.coverage] if row.source == "held out" and row.kind == kind]
        rows = sorted(held_out, key=lambda row: row.aimed)
        if rows:
            aimed = np.array([row.aimed for row in rows])
            bars = np.sqrt(aimed * (1 - aimed) / np.array([row.labels for row in rows]))
            label = f"{kind}, held out ({rows[-1].labels})"
            axes.errorbar(aimed, [row.found for row in rows], bars, **style, linewidth=1, capsize=2, label=label)
        for row in found.coverage:
            if row.source == "new labels" and row.kind == kind:
                shape = style | {"marker": "D", "markersize": 7, "markerfacecolor": "none", "linestyle": ""}
                axes.plot([row.aimed], [row.found], **shape, label=f"{kind}, new labels ({row.labels})")
    axes.set(xlabel="coverage aimed for", ylabel="coverage found", xlim=(0, 1), ylim=(0, 1), title="reliability")
    axes.set_aspect("equal")
    axes.legend(loc="upper left", frameon=False)
