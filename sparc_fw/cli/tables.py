"""The tables of a campaign, live and at the end: each is right on a terminal of 80 columns, in a log and in a pipe."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sparc_fw.measure_names import titled
from sparc_fw.status import TABLE_STAGES, measure_of, picks_cell, seconds_cells
from sparc_fw.store import Store

VERDICT_STYLES = {
    "converged": "green",
    "continue": "cyan",
    "exploded": "red",
    "stalled": "yellow",
    "exhausted": "yellow",
}
QUANTILES = {"0.05": "5 %", "0.25": "25 %", "0.5": "50 %", "0.75": "75 %", "0.95": "95 %", "1.0": "max"}
CLASSES = ("accurate", "candidate", "failed")
UNITS = {
    "start": "MD steps",
    "label": "labels",
    "train": "training steps",
    "explore": "MD steps",
    "check": "labels again",
}
"""What the stages count that tell how far they are."""
STALE_SECONDS = 3600.0
"""A progress entry that nobody touched for so long is of a killed task."""


def iteration_tables(status: dict[str, Any]) -> Group:
    """What each iteration labelled, learned and met, and how long it took; one table of everything would be too wide.

    Errors are those of the member that the validation set prefers.
    """
    description = [Text(status["description"])] if status["description"] else []
    return Group(*description, _labels_and_errors(status), "", _explored(status), "", _seconds(status))


def _table(title: str, headings: Sequence[str]) -> Table:
    """An empty table of right-aligned columns, the first of which is the iteration."""
    table = Table(
        title=Text(title, style="bold"),
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
    )
    for heading in ("it.", *headings):
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _labels_and_errors(status: dict[str, Any]) -> Table:
    title = (
        f"{status['campaign']}: {status['state']}, {status['labels_spent']} of {status['labels_budget']} labels spent"
    )
    errors = ("test force\nRMSE eV/Å", "test energy\nRMSE meV/atom", "scan RMSE\nmeV")
    table = _table(title, ("labels", "failed", *errors, "picks"))
    table.add_column("verdict")
    for row in status["iterations"]:
        test, verdict = row["test"], row["verdict"] or "…"
        table.add_row(
            str(row["iteration"]),
            str(row["labels"]),
            str(row["labels_failed"]),
            f"{test['force_rmse']:.3f}" if test else "–",
            f"{1000 * test['energy_rmse']:.1f}" if test else "–",
            f"{1000 * row['scan_rmse']:.1f}" if row["scan_rmse"] is not None else "–",
            picks_cell(row) if row["picks"] is not None else "–",
            Text(verdict, style=VERDICT_STYLES.get(verdict, "")),
        )
    return table


def _explored(status: dict[str, Any]) -> Table:
    title = f"explored frames: quantiles of the {titled(measure_of(status))}, and classes"
    table = _table(title, (*QUANTILES.values(), *(f"{name} %" for name in CLASSES)))
    for row in status["iterations"]:
        quantiles, fractions = row["quantiles"], row["fractions"]
        deviations = [_short(quantiles[q]) if quantiles else "–" for q in QUANTILES]
        classes = [f"{100 * fractions[name]:.1f}" if fractions else "–" for name in CLASSES]
        table.add_row(str(row["iteration"]), *deviations, *classes)
    return table


def _short(value: float) -> str:
    """A number of at most five characters: deviations of what explodes know no bounds."""
    if value < 100:
        return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"
    return f"{value:.0f}" if value < 99_999 else f"{value:.0e}"


def _seconds(status: dict[str, Any]) -> Table:
    table = _table("wall seconds", list(TABLE_STAGES.values()))
    for row in status["iterations"]:
        table.add_row(str(row["iteration"]), *seconds_cells(row))
    return table


def progress_rows(store: Store, status: dict[str, Any]) -> Table:
    """A bar for each stage that can tell how far it is, over all its Fireworks, and the names of others that run."""
    now = time.time()
    table = Table.grid(padding=(0, 1))
    asked = {"campaign_id": status["campaign"], "updated": {"$gt": now - STALE_SECONDS}}
    entries = list(store.progress.find(asked))
    latest = max((entry["iteration"] for entry in entries), default=0)
    silent = dict(status["running"])
    for stage, unit in UNITS.items():
        mine = [entry for entry in entries if entry["stage"] == stage and entry["iteration"] == latest]
        done, total = sum(entry["done"] for entry in mine), sum(entry["total"] for entry in mine)
        if mine and done < total:
            silent.pop(stage, None)
            table.add_row(f"{stage} {latest}", ProgressBar(total, done, width=30), f"{done:,} of {total:,} {unit}")
    for stage, number in silent.items():
        table.add_row(stage, "", f"running ({number})" if number > 1 else "running")
    return table


def happenings(store: Store, status: dict[str, Any], repairs: list[str]) -> Group:
    """What goes on now, what was mended, and what is broken."""
    return Group(
        progress_rows(store, status),
        *(Text(f"mended: {sentence}", style="yellow") for sentence in repairs[-3:]),
        *(Text(f"FIZZLED {p['name']}: {p['reason']}", style="red") for p in status["problems"]),
    )


def live_view(store: Store, status: dict[str, Any], repairs: list[str]) -> Group:
    """What `run` shows while it waits: what changes comes first, for a low terminal does not show all."""
    return Group(happenings(store, status, repairs), "", iteration_tables(status))
