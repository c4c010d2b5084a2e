"""The report of a campaign: Markdown and pictures in one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sparc_fw.biased_figures import draw_biased
from sparc_fw.biased_runs import PullsFound, WindowsFound, biased_runs
from sparc_fw.biased_sentences import biased_sentences
from sparc_fw.calibration_report import calibration_table, draw_calibrations
from sparc_fw.figures import draw_all
from sparc_fw.measure_names import TITLES, in_unit
from sparc_fw.sentences import counted, learning_sentences, loss_sentences, promoted_sentence, saving_sentences
from sparc_fw.status import TABLE_STAGES, measure_of, picks_cell, seconds_cells
from sparc_fw.store import Store

DEVIATION = "deviation"
COLUMNS = (
    "iteration",
    "labels (failed)",
    "test force RMSE eV/Å",
    "test energy RMSE meV/atom",
    "scan RMSE meV",
    DEVIATION,
    "accurate / candidate / failed %",
    "picks",
    "verdict",
    *(f"{name} s" for name in TABLE_STAGES.values()),
)


def write_report(
    store: Store, status: dict[str, Any], folder: Path
) -> tuple[list[Path], list[WindowsFound | PullsFound]]:
    """Write ``report.md`` and its pictures into `folder`; returns all files, and what biased runs gave."""
    campaign = store.campaign(status["campaign"])
    biased = biased_runs(store, campaign, len(status["iterations"]))
    pictures = [
        *draw_all(store, campaign, status, folder),
        *draw_calibrations(store, campaign.name, folder),
        *draw_biased(biased, folder),
    ]
    text = folder / "report.md"
    text.write_text(report_text(status, [picture.name for picture in pictures], biased_sentences(biased)))
    return [text, *pictures], biased


def report_text(status: dict[str, Any], pictures: list[str], biased: Sequence[str] = ()) -> str:
    """The report as Markdown, with sentences about what biased runs gave."""
    lines = [f"# Campaign {status['campaign']}", ""]
    if status["description"]:
        lines += [status["description"], ""]
    lines += [f"State: {status['state']}. {status['sentence'] or 'No verdict yet.'}", ""]
    lines += [f"{status['labels_spent']} of {status['labels_budget']} labels were spent.", ""]
    promoted = status["promoted"]
    if promoted:
        lines += [promoted_sentence(status), ""]
    measure = measure_of(status)
    heads = [in_unit(f"{TITLES[measure]} 50 % / 95 % / max", measure) if x == DEVIATION else x for x in COLUMNS]
    lines += ["| " + " | ".join(heads) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(_row(row)) + " |" for row in status["iterations"]]
    lines += ["", "Errors are those of the member that the validation set prefers.", ""]
    for row in status["iterations"]:
        if row["sentence"]:
            lines.append(f"- Iteration {row['iteration']}: {row['sentence']}. Frames: {counted(row['fates'])}.")
    told = learning_sentences(status) + saving_sentences(status) + loss_sentences(status)
    lines += ["", *(f"- {sentence}" for sentence in told)]
    lines += calibration_table(status) + memory_table(status)
    if biased:
        lines += ["", "## Free energies and work", "", *(f"- {sentence}" for sentence in biased)]
    lines += ["", *(f"![{name}]({name})" for name in pictures)]
    for problem in status["problems"]:
        lines.append(f"- FIZZLED {problem['name']} (Firework {problem['fw_id']}): {problem['reason']}")
    return "\n".join(lines) + "\n"


def memory_table(status: dict[str, Any]) -> list[str]:
    """Mean force errors of all committees on labels that never change, as Markdown; empty before the second model."""
    sets = status["fixed_sets"]
    count = max((one["first"] + len(one["mae"]) for one in sets), default=0)
    if count < 2:
        return []
    names = ["test set" if one["name"] == "test" else f"held out in iteration {one['name']}" for one in sets]
    lines = ["", "## What is known of labels that never change", ""]
    lines += ["Mean absolute force error in eV/Å, mean over the members; none was ever trained on.", ""]
    lines += ["| " + " | ".join(["iteration", *names]) + " |", "|" + "---|" * (len(sets) + 1)]
    for iteration in range(count):
        cells = [f"{one['mae'][iteration - one['first']]:.3f}" if iteration >= one["first"] else "" for one in sets]
        lines.append("| " + " | ".join([str(iteration), *cells]) + " |")
    since = [f"{100 * one['forgetting']:+.0f} %" if len(one["mae"]) > 1 else "" for one in sets]
    return [*lines, "| " + " | ".join(["change since its first", *since]) + " |"]


def _row(row: dict[str, Any]) -> list[str]:
    test, quantiles, fractions = row["test"], row["quantiles"], row["fractions"]
    return [
        str(row["iteration"]),
        f"{row['labels']} ({row['labels_failed']})",
        f"{test['force_rmse']:.3f}" if test else "",
        f"{1000 * test['energy_rmse']:.1f}" if test else "",
        f"{1000 * row['scan_rmse']:.1f}" if row["scan_rmse"] is not None else "",
        " / ".join(f"{quantiles[q]:.3f}" for q in ("0.5", "0.95", "1.0")) if quantiles else "",
        " / ".join(f"{100 * fractions[c]:.1f}" for c in ("accurate", "candidate", "failed")) if fractions else "",
        picks_cell(row) if row["picks"] is not None else "",
        row["verdict"] or "",
        *seconds_cells(row),
    ]
