"""The campaign nh3bh3 over several seeds, and random picks at equal numbers of labels.

Usage: ``python scripts/benchmarks/nh3bh3_seeds.py FOLDER [SEED ...]``: runs in FOLDER, one campaign after the other,
with two workers each; seeds 1, 2 and 3 where none are named. Campaigns that are there already are only reported.
Test errors are those of the promoted model.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sparc_fw.backend import find_command

CAMPAIGN = Path(__file__).parents[2] / "fw_templates" / "campaigns" / "nh3bh3.yaml"


def write_variant(folder: Path, selector: str, labels: int, seed: int) -> Path:
    """Write the campaign with another selector, seed and budget, its files named by absolute paths."""
    campaign: dict[str, Any] = yaml.safe_load(CAMPAIGN.read_text())
    campaign["name"] = f"{selector}-{seed}"
    campaign["seed"] = seed
    campaign["selector"]["kind"] = selector
    campaign["budget"]["labels"] = labels
    for section in (*campaign["systems"], *campaign["test"]["frames"]):
        for key in ("structure", "path"):
            if key in section:
                section[key] = str(CAMPAIGN.parent / section[key])
    if selector == "random":
        # It spends what the active campaign spent, whether or not the committee agrees before.
        campaign["convergence"]["max_unsure_fraction"] = 0.0
    path = folder / f"{campaign['name']}.yaml"
    path.write_text(yaml.safe_dump(campaign))
    return path


def run(folder: Path, selector: str, labels: int, seed: int) -> dict[str, Any]:
    """Run one campaign to its end and return its status."""
    command = find_command("sparc-fw")
    assert command is not None
    path = write_variant(folder, selector, labels, seed)
    subprocess.run([command, "run", path.name, "--workers", "2", "--resume"], cwd=folder, check=True)
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
        "scan RMSE meV": 1000 * member["scan_rmse"],
    }


def main(folder: Path, seeds: list[int]) -> None:
    """Run and print."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[dict[str, float]]] = {"trust_window": [], "random": []}
    for seed in seeds:
        rows["trust_window"].append(figures(run(folder, "trust_window", 300, seed)))
        rows["random"].append(figures(run(folder, "random", int(rows["trust_window"][-1]["labels"]), seed)))
    for selector, found in rows.items():
        for seed, row in zip(seeds, found, strict=True):
            print(selector, seed, {name: round(value, 3) for name, value in row.items()})
        for name in found[0]:
            values = [row[name] for row in found]
            print(f"{selector}: {name} {np.mean(values):.3f} ± {np.std(values):.3f} over {len(values)} seeds")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]).absolute(), [int(argument) for argument in sys.argv[2:]] or [1, 2, 3])
