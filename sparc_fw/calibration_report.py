"""What a report shows of thresholds that set themselves: a table, and a picture of each system."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparc_fw.calibrating import known_labels
from sparc_fw.calibration_figure import draw_calibration
from sparc_fw.store import Store

COLUMNS = (
    "iteration",
    "system",
    "labels (random, failed)",
    "aimed %",
    "random: held out / new %",
    "picks: held out / new %",
    "mean bound eV/Å",
    "rank correlation",
    "f_lo eV/Å",
    "f_hi eV/Å",
    "below f_lo: labels (within the target %)",
)


def draw_calibrations(store: Store, campaign_id: str, folder: Path) -> list[Path]:
    """Draw the last calibration of every system that had labels; returns the files."""
    known = store.calibrations_of(campaign_id)
    drawn = []
    for system, found in (known[max(known)] if known else {}).items():
        pairs = known_labels(store, campaign_id, system, max(known))
        if len(pairs):
            drawn.append(draw_calibration(found, pairs, folder / f"calibration_{system}.png"))
    return drawn


def calibration_table(status: dict[str, Any]) -> list[str]:
    """Thresholds, coverage and sharpness by iteration and system, as Markdown; empty where thresholds are fixed."""
    rows = [(row["iteration"], found) for row in status["iterations"] for found in row["calibrations"]]
    if not rows:
        return []
    target = rows[-1][1]["target"]
    lines = ["", "## Thresholds from labels", ""]
    lines += [
        f"For a force error of {target:g} eV/Å. Errors are the largest of a frame, of the member that validation "
        "prefers, on labels that its committee had not seen. Held out: the bound was fitted without them; new: it was "
        "fitted an iteration before. Picks are held against a bound of their own.",
        "",
    ]
    lines += ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(_cells(iteration, found)) + " |" for iteration, found in rows]
    return [*lines, "", *(f"- {found['sentence']}." for iteration, found in rows if iteration == rows[-1][0])]


def _cells(iteration: int, found: dict[str, Any]) -> list[str]:
    wide = "" if found["calibrated"] else " (wide)"
    within = found["accurate_within"]
    return [
        str(iteration),
        found["system"],
        f"{found['labels']} ({found['drawn']}, {found['failed']})",
        f"{100 * found['confidence']:g}",
        _covered(found, "random"),
        _covered(found, "picks"),
        "–" if found["mean_bound"] is None else f"{found['mean_bound']:.3g}",
        "–" if found["rank_correlation"] is None else f"{found['rank_correlation']:.2f}",
        f"{found['f_lo']:.3g}{wide}",
        f"{found['f_hi']:.3g}{wide}",
        f"{found['accurate_labels']}" + ("" if within is None else f" ({100 * within:.0f})"),
    ]


def _covered(found: dict[str, Any], kind: str) -> str:
    """Coverage found on held-out and on new labels, with the numbers of labels."""
    rows = {row["source"]: row for row in found["coverage"] if row["kind"] == kind}
    told = (rows.get(source) for source in ("held out", "new labels"))
    return " / ".join("–" if row is None else f"{100 * row['found']:.0f} of {row['labels']}" for row in told)
