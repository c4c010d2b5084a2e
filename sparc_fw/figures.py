"""The three pictures of a campaign."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from sparc_fw.campaign import Campaign
from sparc_fw.dataset import reference_labels
from sparc_fw.geometry.sources import ScanSource
from sparc_fw.measure_names import FORCE_MAX, in_unit, titled
from sparc_fw.store import Store

matplotlib.use("Agg")
from matplotlib import pyplot as plt

PICKED: dict[str, Any] = {"marker": "o", "linestyle": "", "color": "k", "markersize": 3, "markerfacecolor": "none"}
COORDINATES = {2: "distance (Å)", 3: "angle (°)", 4: "dihedral (°)"}


def draw_all(store: Store, campaign: Campaign, status: dict[str, Any], folder: Path) -> list[Path]:
    """Draw the pictures that the campaign has data for; returns their files."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = status["iterations"]
    drawn = []
    if any(row["verdict"] for row in rows):
        drawn.append(draw_deviation(store, campaign.name, rows, folder / "force_deviation.png"))
    if (
        any(row["scan_rmse"] is not None for row in rows)
        and campaign.test is not None
        and campaign.test.scan is not None
    ):
        drawn.append(draw_scan(store, campaign, status, folder / "scan.png"))
    if any(row["test"] for row in rows):
        drawn.append(draw_errors(rows, folder / "force_rmse.png"))
    return drawn


def draw_deviation(store: Store, campaign_id: str, rows: list[dict[str, Any]], path: Path) -> Path:
    """Force deviation of every explored frame, iteration after iteration, with the trust window shaded."""
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    offset = undrawn = 0
    ticks, names = [], []
    windows: list[tuple[float, float]] = []
    measure = FORCE_MAX
    for row in rows:
        selection = store.selection(campaign_id, row["iteration"])
        if selection is None:
            continue
        windows.append(selection.window)
        measure = selection.measure
        values = np.array([frame.deviation for frame in selection.frames], dtype=float)
        # The axis is logarithmic.
        values = np.where(np.isfinite(values) & (values > 0), values, np.nan)
        undrawn += int(np.isnan(values).sum())
        axes.plot(offset + np.arange(len(values)), values, ".", markersize=2, rasterized=True)
        if row["picks"]:
            picked = np.array([i for i, frame in enumerate(selection.frames) if frame.fate == "pick"], dtype=int)
            axes.plot(offset + picked, values[picked], **PICKED)
        axes.fill_between([offset, offset + len(values)], *selection.window, color="tab:green", alpha=0.15, linewidth=0)
        ticks.append(offset + len(values) / 2)
        names.append(f"{row['iteration']}\n{row['labels']} labels")
        offset += len(values)
        axes.axvline(offset, color="0.8", linewidth=0.8)
    if windows:
        shown = in_unit("{:.4g} to {:.4g}".format(*windows[-1]), measure)
        last = ", the last one" if len(set(windows)) > 1 else ""
        axes.fill_between([], [], [], color="tab:green", alpha=0.15, label=f"trust window{last} {shown}")
    axes.plot([], [], **PICKED, label="picked and labelled")
    if undrawn:
        axes.plot([], [], " ", label=f"{undrawn:,} frames not drawn: deviation NaN, infinite or 0")
    axes.set(yscale="log", xlabel="iteration (explored frames in order)", ylabel=titled(measure))
    axes.set_xlim(0, max(offset, 1))
    axes.set_xticks(ticks, names)
    axes.set_title(campaign_id)
    # Frames may be anywhere in the axes.
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return save_figure(figure, path)


def draw_scan(store: Store, campaign: Campaign, status: dict[str, Any], path: Path) -> Path:
    """The reference scan and that of each iteration's best member, relative to the reference's minimum."""
    assert campaign.test is not None
    assert campaign.test.scan is not None
    scan: ScanSource = campaign.test.scan
    labels = reference_labels(store, campaign.name, "scan")
    reference = np.array([label.energy for label in labels], dtype=float)
    coordinate = np.array([_coordinate(label.frame, scan.atoms) for label in labels])
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(7, 6), sharex=True, height_ratios=[3, 1.4], layout="constrained"
    )
    upper.plot(coordinate, reference - reference.min(), "k.-", linewidth=2, label=campaign.labeler.kind)
    reports = store.report_records(campaign.name)
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.9, max(len(reports), 1)))
    for colour, report in zip(colours, reports, strict=False):
        member = report.members[report.best]
        if member["scan"] is None:
            continue
        energies = np.array(member["scan"])
        difference = energies - reference
        shifted = energies - difference.mean() - reference.min()
        label = f"iteration {report.iteration}: {1000 * member['scan_rmse']:.0f} meV"
        upper.plot(coordinate, shifted, "-", color=colour, label=label)
        lower.plot(coordinate, 1000 * (difference - difference.mean()), "-", color=colour)
    upper.set(ylabel="energy (eV)", title=f"{campaign.name}: rigid scan over atoms {scan.atoms}")
    lower.set(xlabel=COORDINATES[len(scan.atoms)], ylabel="model − reference (meV)")
    lower.axhline(0, color="k", linewidth=0.8)
    upper.legend()
    return save_figure(figure, path)


def draw_errors(rows: list[dict[str, Any]], path: Path) -> Path:
    """Force error on the test set against labels spent until then: all members, and the one that validation prefers."""
    rows = [row for row in rows if row["test"]]
    figure, axes = plt.subplots(figsize=(6, 4.5), layout="constrained")
    labels = [row["labels_paid_to_train"] for row in rows]
    for count, row in zip(labels, rows, strict=True):
        members = [member["test"]["force_rmse"] for member in row["members"]]
        axes.plot([count] * len(members), members, "o", color="0.7", markersize=4)
    axes.plot(labels, [row["test"]["force_rmse"] for row in rows], "o-", color="tab:blue", label="best on validation")
    axes.plot([], [], "o", color="0.7", label="other members")
    axes.set(xlabel="labels spent", ylabel="force RMSE on the test set (eV/Å)")
    axes.set_ylim(bottom=0)
    axes.legend()
    return save_figure(figure, path)


def _coordinate(frame: Any, atoms: list[int]) -> float:
    measure = {2: frame.get_distance, 3: frame.get_angle, 4: frame.get_dihedral}[len(atoms)]
    return float(measure(*atoms))


def save_figure(figure: Any, path: Path) -> Path:
    """Write a figure as PNG and forget it."""
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path
