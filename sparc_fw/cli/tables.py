"""The table of a campaign, live and at the end."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sparc_fw.status import STAGES, TABLE_STAGES
from sparc_fw.store import Store

VERDICT_STYLES = {
    "converged": "green",
    "continue": "cyan",
    "exploded": "red",
    "stalled": "yellow",
    "exhausted": "yellow",
}
STALE_SECONDS = 3600.0
"""A progress entry that nobody touched for so long is of a killed task."""


def iteration_table(status: dict[str, Any]) -> Table:
    """One row per iteration; errors are those of the member that the validation set prefers."""
    title = (
        f"{status['campaign']}: {status['state']}, {status['labels_spent']} of {status['labels_budget']} labels spent"
    )
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("it.", justify="right")
    table.add_column("labels\n(failed)", justify="right")
    table.add_column("test force\nRMSE eV/Å", justify="right")
    table.add_column("test energy\nmeV/atom", justify="right")
    table.add_column("scan\nmeV", justify="right")
    table.add_column("deviation eV/Å\n50 %  95 %  max", justify="right")
    table.add_column("accurate/candidate/\nfailed %", justify="right")
    table.add_column("picks", justify="right")
    table.add_column("verdict")
    for row in status["iterations"]:
        table.add_row(*_cells(row))
    return table


def seconds_table(status: dict[str, Any]) -> Table:
    """Wall seconds of each stage, one row per iteration; kept apart so that both tables fit a terminal."""
    table = Table(title="wall seconds", title_justify="left", header_style="bold")
    table.add_column("it.", justify="right")
    for heading in TABLE_STAGES.values():
        table.add_column(heading, justify="right")
    for row in status["iterations"]:
        seconds = row["seconds"]
        shown = (f"{seconds[stage]:.0f}" if stage in seconds else "–" for stage in TABLE_STAGES)
        table.add_row(str(row["iteration"]), *shown)
    return table


def _cells(row: dict[str, Any]) -> list[str | Text]:
    test, quantiles, fractions = row["test"], row["quantiles"], row["fractions"]
    verdict = row["verdict"] or "…"
    return [
        str(row["iteration"]),
        f"{row['labels']} ({row['labels_failed']})",
        f"{test['force_rmse']:.3f}" if test else "–",
        f"{1000 * test['energy_rmse']:.1f}" if test else "–",
        f"{1000 * row['scan_rmse']:.1f}" if row["scan_rmse"] is not None else "–",
        "  ".join(f"{quantiles[q]:.2f}" for q in ("0.5", "0.95", "1.0")) if quantiles else "–",
        " / ".join(f"{100 * fractions[c]:.1f}" for c in ("accurate", "candidate", "failed")) if fractions else "–",
        str(row["picks"]) if row["picks"] is not None else "–",
        Text(verdict, style=VERDICT_STYLES.get(verdict, "")),
    ]


def progress_rows(store: Store, campaign_id: str) -> Table:
    """A bar for each stage that is under way: labels, training steps and MD steps, over all its Fireworks."""
    now = time.time()
    table = Table.grid(padding=(0, 1))
    entries = list(store.progress.find({"campaign_id": campaign_id, "updated": {"$gt": now - STALE_SECONDS}}))
    if not entries:
        return table
    latest = max(entry["iteration"] for entry in entries)
    for stage in STAGES:
        mine = [entry for entry in entries if entry["stage"] == stage and entry["iteration"] == latest]
        done, total = sum(entry["done"] for entry in mine), sum(entry["total"] for entry in mine)
        if mine and done < total:
            unit = {"label": "labels", "train": "training steps", "explore": "MD steps"}.get(stage, "")
            table.add_row(f"{stage} {latest}", ProgressBar(total, done, width=40), f"{done:,} of {total:,} {unit}")
    return table


def live_view(store: Store, status: dict[str, Any], repairs: list[str]) -> RenderableType:
    """What `run` shows while it waits."""
    return Group(
        iteration_table(status),
        seconds_table(status),
        progress_rows(store, status["campaign"]),
        *(Text(f"mended: {sentence}", style="yellow") for sentence in repairs[-3:]),
        *(Text(f"FIZZLED {p['name']}: {p['reason']}", style="red") for p in status["problems"]),
    )
