"""The tables and the bars of a campaign, on terminals as narrow as they come."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console, RenderableType

from sparc_fw.cli.tables import iteration_tables, progress_rows
from sparc_fw.store import Store

QUANTILES = {"0.05": 0.031, "0.25": 0.062, "0.5": 0.0911, "0.75": 0.145, "0.95": 0.431, "1.0": 1.53}


def iteration(**values: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "iteration": 0,
        "labels": 144,
        "labels_failed": 2,
        "test": {"force_rmse": 0.1652, "energy_rmse": 0.01312},
        "scan_rmse": 0.0308,
        "quantiles": QUANTILES,
        "measure": "force_max",
        "fractions": {"accurate": 0.952, "candidate": 0.045, "failed": 0.003},
        "picks": 40,
        "copies": 0,
        "verdict": "converged",
        "seconds": {
            "start": 51.2, "label": 1211.4, "label_test": 45.0, "train": 1188.0, "explore": 410.0, "validate": 6.0,
            "check": 12.0, "select": 3.0,
        },
    }  # fmt: skip
    return row | values


EXPLODED = {"0.05": 0.03, "0.25": 31.2, "0.5": 99.99, "0.75": 1450.2, "0.95": 1e6, "1.0": 3e17}
TO_COME = dict.fromkeys(("label", "train", "explore", "validate", "check", "select"), 0.0)
ROWS = [
    iteration(),
    iteration(
        iteration=1, quantiles=EXPLODED, verdict="exploded",
        fractions={"accurate": 0.0, "candidate": 0.0, "failed": 1.0},
    ),
    iteration(
        iteration=2, test=None, scan_rmse=None, quantiles=None, fractions=None, picks=None, verdict=None,
        seconds=TO_COME | {"label": 95.0},
    ),
]  # fmt: skip
STATUS: dict[str, Any] = {
    "campaign": "nh3bh3-20260101-101500",
    "description": "Reactive potential for ammonia borane",
    "state": "running",
    "labels_spent": 186,
    "labels_budget": 300,
    "iterations": ROWS,
    "running": {},
}


def shown(renderable: RenderableType, width: int) -> list[str]:
    """The lines of what a pipe gets."""
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.mark.parametrize("width", [80, 120])
def test_every_number_has_its_place_on_one_line(width: int) -> None:
    lines = shown(iteration_tables(STATUS), width)
    assert max(len(line) for line in lines) <= width
    assert lines[:2] == [STATUS["description"], "nh3bh3-20260101-101500: running, 186 of 300 labels spent"]
    assert [" ".join(line.split()) for line in lines if line.startswith("it.")] == [
        "it. labels failed RMSE eV/Å RMSE meV/atom meV picks verdict",
        "it. 5 % 25 % 50 % 75 % 95 % max accurate % candidate % failed %",
        "it. start label test labels train explore validate check select",
    ]
    assert [line.split() for line in lines if line.startswith("  0 ")] == [
        ["0", "144", "2", "0.165", "13.1", "30.8", "40", "converged"],
        ["0", "0.031", "0.062", "0.091", "0.14", "0.43", "1.53", "95.2", "4.5", "0.3"],
        ["0", "51", "1211", "45", "1188", "410", "6", "12", "3"],
    ]
    assert ["1", "0.030", "31.20", "99.99", "1450", "1e+06", "3e+17", "0.0", "0.0", "100.0"] in map(str.split, lines)
    # What is to come is no zero.
    assert [line.split() for line in lines if line.startswith("  2 ")] == [
        ["2", "144", "2", "–", "–", "–", "–", "…"],
        ["2", *["–"] * 9],
        ["2", "–", "95", *["–"] * 6],
    ]


def test_stages_show_how_far_they_are_or_that_they_run(store: Store) -> None:
    store.report_progress("one", 0, "start", "train", 300, 1000)
    store.report_progress("one", 0, "start", "test", 50, 50)
    store.report_progress("other", 3, "explore", "0", 1, 2)
    lines = shown(progress_rows(store, {"campaign": "one", "running": {"start": 1, "select": 2}}), 80)
    assert [line.partition(" ━")[0].split()[0] for line in lines] == ["start", "select"]
    assert lines[0].startswith("start 0 ━")
    assert lines[0].endswith("350 of 1,050 MD steps")
    assert lines[1].endswith("running (2)")
