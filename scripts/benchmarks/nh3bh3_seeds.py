"""The campaign nh3bh3 over several seeds, and random picks at equal numbers of labels.

Usage: ``python scripts/benchmarks/nh3bh3_seeds.py FOLDER [SEED ...]``: runs in FOLDER, two campaigns side by side with
one worker each; seeds 1, 2 and 3 where none are named. Campaigns that are there already are only reported. Test errors
per iteration are those of the member that validation prefers, then those of the promoted model.
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sparc_fw.backend import find_command

SIDE_BY_SIDE = 2
CAMPAIGN = Path(__file__).parents[2] / "fw_templates" / "campaigns" / "nh3bh3.yaml"


def write_variant(folder: Path, order: str, labels: int, seed: int) -> Path:
    """Write the campaign with another order of picks, seed and budget, its files named by absolute paths."""
    campaign: dict[str, Any] = yaml.safe_load(CAMPAIGN.read_text())
    campaign["name"] = f"{order}-{seed}"
    campaign["seed"] = seed
    campaign["budget"]["labels"] = labels
    for section in (*campaign["systems"], *campaign["test"]["frames"]):
        for key in ("structure", "path"):
            if key in section:
                section[key] = str(CAMPAIGN.parent / section[key])
    if order == "random":
        place = next(n for n, step in enumerate(campaign["select"]) if step["kind"] == "window")
        campaign["select"][place]["keep"] = "all"
        campaign["select"].insert(place + 1, {"kind": "random"})
        # It spends what the active campaign spent, whether or not the committee agrees before.
        campaign["convergence"]["max_unsure_fraction"] = 0.0
    path = folder / f"{campaign['name']}.yaml"
    path.write_text(yaml.safe_dump(campaign))
    return path


def run(folder: Path, order: str, labels: int, seed: int) -> dict[str, Any]:
    """Run one campaign to its end and return its status."""
    command = find_command("sparc-fw")
    assert command is not None
    path = write_variant(folder, order, labels, seed)
    with (folder / f"{path.stem}.log").open("w") as log:
        arguments = [command, "run", path.name, "--workers", "1", "--resume"]
        subprocess.run(arguments, cwd=folder, check=True, stdout=log, stderr=log)
    shown = subprocess.run([command, "status", path.stem, "--json"], cwd=folder, check=True, capture_output=True)
    status: dict[str, Any] = json.loads(shown.stdout)
    return status


def figures(status: dict[str, Any]) -> dict[str, float]:
    """What is compared: labels, errors of the promoted model and of iteration 0."""
    promoted = status["promoted"]
    member = status["iterations"][promoted["iteration"]]["members"][promoted["member"]]
    return {
        "labels": status["labels_spent"],
        "first force RMSE eV/Å": status["iterations"][0]["test"]["force_rmse"],
        "force RMSE eV/Å": member["test"]["force_rmse"],
        "energy RMSE meV/atom": 1000 * member["test"]["energy_rmse"],
        "scan RMSE meV": 1000 * member["scan_rmse"],
    }


def tell(status: dict[str, Any]) -> None:
    """Print one campaign: a line per iteration, then what is compared."""
    print(f"{status['campaign']}: {status['sentence']}")
    for row in status["iterations"]:
        fractions = " / ".join(f"{100 * row['fractions'][name]:.1f}" for name in ("accurate", "candidate", "failed"))
        test = row["test"]
        print(
            f"  {row['iteration']}: {row['labels']} ({row['labels_failed']}) labels, "
            f"test {test['force_rmse']:.3f} eV/Å {1000 * test['energy_rmse']:.1f} meV/atom, "
            f"scan {1000 * row['scan_rmse']:.1f} meV, "
            f"accurate/candidate/failed {fractions} %, {row['verdict']}"
        )
    print("  promoted:", {name: round(value, 3) for name, value in figures(status).items()}, flush=True)


def main(folder: Path, seeds: list[int]) -> None:
    """Run and print; random picks spend as many labels as the active campaign of their seed did."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[dict[str, float]]] = {}
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for order in ("deviation", "random"):
            budgets = [int(row["labels"]) for row in found.get("deviation", [])] or [300] * len(seeds)
            rows = list(pool.map(partial(run, folder, order), budgets, seeds))
            for status in rows:
                tell(status)
            found[order] = [figures(status) for status in rows]
    for order, rows_found in found.items():
        for name in rows_found[0]:
            values = [row[name] for row in rows_found]
            print(f"{order}: {name} {np.mean(values):.3f} ± {np.std(values):.3f} over {len(values)} seeds")
    for active, random in zip(found["deviation"], found["random"], strict=True):
        if active["labels"] != random["labels"]:
            raise SystemExit(f"labels differ, {active['labels']:.0f} and {random['labels']:.0f}: not comparable")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]).absolute(), [int(argument) for argument in sys.argv[2:]] or [1, 2, 3])
